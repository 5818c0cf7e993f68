"""Implements an HR system over BambooHR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from reconciliation.errors import HrsyncError
from reconciliation.frame import of
from reconciliation.person import Erased, Person
from reconciliation.plan import managed, one_by_one
from reconciliation.receipts import PAST_TENSE, RECEIPTS, after
from reconciliation.snapshot import Snapshot

from . import people
from .api import Api, Rejected
from .awards import Awards
from .people import People
from .settings import BamboohrSettings, capabilities

Receipt = tuple[str, str, str | None, None]
"""A row of ``receipts.RECEIPTS``."""


class BambooHr:
    """Implements :class:`reconciliation.ports.HrSystem` for people and completed awards.

    Each change needs one or more requests and gets its own receipt. People and training types are
    read once per run.
    """

    batch = 100

    def __init__(self, settings: BamboohrSettings) -> None:
        self.settings, self.api = settings, Api(settings)
        self.name, self.capabilities = self.api.url, capabilities(settings)
        self._people = People(self.api, settings)
        self._awards = Awards(self.api, settings, self._people)

    def close(self) -> None:
        """Closes the connection."""
        self.api.close()

    def forget(self, person: Person) -> Erased:
        """Erases nothing: hrsync keeps no copies of this system's rows."""
        return Erased()

    def population(self, entity: str) -> int:
        """Returns the number of people. It is used for awards too, because BambooHR does not count
        them."""
        return self._people.population()

    def read(
        self,
        entity: str,
        columns: Mapping[str, str],
        lookups: Mapping[str, Sequence[str]] | None = None,
        since: datetime | None = None,
    ) -> Snapshot:
        """Reads all people, a thousand at a time, or the awards of the requested people, one person
        at a time. ``since`` is ignored."""
        read = self._people.read if entity == "employees" else self._awards.read
        return read(columns, lookups)

    def rejections(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Returns receipts of people that BambooHR would refuse, or of awards that it cannot
        hold."""
        return (
            people.rejections(changes)
            if entity == "employees"
            else self._awards.rejections(changes)
        )

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Sends one change after the other.

        Raises:
            TargetFailed, CredentialsRefused: BambooHR cannot be reached. The error carries the
                receipts of the changes that were answered; the next run checks the others.
        """
        rows, names = one_by_one(changes), managed(changes)
        new = self._awards.new_types(rows) if entity == "awards" else {}
        receipts: list[Receipt] = []
        for row in rows:
            try:
                if entity == "employees":
                    created = self._people.write(names, row)
                else:
                    created = self._awards.write(row, new)
            except Rejected as refused:
                receipts.append((str(row["key"]), "failed", str(refused), None))
            except HrsyncError as fault:
                raise after(of(RECEIPTS, receipts), fault) from None
            else:
                receipts.append((str(row["key"]), _outcome(row, created=created), None, None))
        return of(RECEIPTS, receipts)


def _outcome(row: Mapping[str, Any], *, created: bool) -> str:
    """Returns what happened: a planned create is an update if the row existed already."""
    if created:
        return "created"
    return PAST_TENSE["update" if row["kind"] == "create" else row["kind"]]
