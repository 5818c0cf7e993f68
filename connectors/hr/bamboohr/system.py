"""BambooHR as an HR system."""

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

    Every change is a request or two of its own, and each row has a receipt of its own. What a run
    has read of people and training types it keeps until it ends.
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
        """Nothing: all rows are the system's own."""
        return Erased()

    def population(self, entity: str) -> int:
        """How many people there are; BambooHR does not count awards, so their number is taken for
        that of awards too."""
        return self._people.population()

    def read(
        self,
        entity: str,
        columns: Mapping[str, str],
        lookups: Mapping[str, Sequence[str]] | None = None,
        since: datetime | None = None,
    ) -> Snapshot:
        """People are read whole, a thousand at a time; awards one person at a time, for the people
        asked for. ``since`` is not used."""
        read = self._people.read if entity == "employees" else self._awards.read
        return read(columns, lookups)

    def rejections(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Receipts of people that BambooHR would refuse, and of awards that it has no place for."""
        return (
            people.rejections(changes)
            if entity == "employees"
            else self._awards.rejections(changes)
        )

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """One change after the other.

        Raises:
            TargetFailed, CredentialsRefused: BambooHR cannot be asked. The error carries the
                receipts of what it had answered; the next run finds out about the rest.
        """
        rows, names = one_by_one(changes), managed(changes)
        new = self._awards.new_types(rows) if entity == "awards" else {}
        receipts: list[Receipt] = []
        for row in rows:
            try:
                if entity == "employees":
                    made = self._people.write(names, row)
                else:
                    made = self._awards.write(row, new)
            except Rejected as refused:
                receipts.append((str(row["key"]), "failed", str(refused), None))
            except HrsyncError as fault:
                raise after(of(RECEIPTS, receipts), fault) from None
            else:
                receipts.append((str(row["key"]), _outcome(row, made), None, None))
        return of(RECEIPTS, receipts)


def _outcome(row: Mapping[str, Any], made: bool) -> str:
    if made:
        return "created"
    return PAST_TENSE["update" if row["kind"] == "create" else row["kind"]]
