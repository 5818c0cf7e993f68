"""Implements the sync store with SQLAlchemy, on SQLite by default or on PostgreSQL. Any number of
runs can use it at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from reconciliation.draft import Draft
from reconciliation.errors import Misconfigured
from reconciliation.frame import of, strings
from reconciliation.ports import Batch
from reconciliation.settle import QUARANTINE, Settled
from reconciliation.spec import PEOPLE, ProcessSpec

from ..database import connect, migrate
from . import schema as t
from .base import failing
from .budget import StoredBudget
from .hints import Hints
from .ledger import Ledger
from .links import Links
from .privacy import Privacy
from .quarantine import BY_HAND, Quarantine
from .records import Records
from .sweeps import Sweeps


class SyncStore(Ledger, Records, Links, Quarantine, Hints, Sweeps, Privacy):
    """Implements :class:`reconciliation.ports.Store` and the queries of the console. Each base
    class is one part, in its own module.

    Raises:
        StoreFailed: the database cannot be reached or its tables cannot be created.
        Misconfigured: the database does not exist and ``create`` is false, or a newer release has
            used it.
    """

    def __init__(self, url: str, lease_seconds: float = 60.0, *, create: bool = True) -> None:
        self.lease_seconds = lease_seconds
        self._tokens = {}
        if not create:
            _must_exist(url)
        with failing():
            self.engine = connect(url)
            migrate(
                self.engine,
                Path(__file__).parent / "migrations",
                "hrsync_store_version",
                known_by="watermark",
            )

    def close(self) -> None:
        """Closes the connections."""
        self.engine.dispose()

    def budget(self, limit: int, hour_seconds: float) -> StoredBudget:
        """Returns the request budget that all runs on this store share.

        Args:
            limit: maximum number of requests per endpoint and hour.
            hour_seconds: length of that hour, in seconds.
        """
        return StoredBudget(self.engine, limit, hour_seconds)

    def look_again(
        self, specs: Sequence[ProcessSpec], person: str, employee: str, reason: str, now: datetime
    ) -> None:
        """Lets the next runs read again a person's own record and all that belong to the person.

        Args:
            specs: the processes concerned.
            person: the user's ID in accessplanit.
            employee: the key of the person's row in HR.
            reason: the reason to show to people.
            now: the current time (UTC).
        """
        for spec in specs:
            key = person if spec.direction == "to_hr" else employee
            if spec.person:
                self.hint(spec.name, PEOPLE[spec.direction][0], [key], now)
            else:
                self.look_at(spec, [key], reason, now)

    def look_at(self, spec: ProcessSpec, keys: Sequence[str], reason: str, now: datetime) -> None:
        """Lets the next run read these records again.

        They are put into the quarantine, held for ``reason``, because a run reads quarantined
        records by their keys.
        """
        with failing(), self.engine.begin() as connection:
            self.unland(connection, spec.name, keys)
            entries = [(key, "held", "(link)", reason, None, None, None) for key in keys]
            self.quarantine(connection, BY_HAND, spec, of(QUARANTINE, entries), [], now)

    def settle(
        self,
        run: str,
        draft: Draft,
        settled: Settled,
        last: Batch | None,
        now: datetime,
        failure: str | None = None,
    ) -> tuple[str, ...]:
        """Writes all results of a run in one transaction: the receipts of its last batch, records,
        links, quarantine, watermark, and the run itself.

        If ``failure`` is given, the run ends as failed for this reason and the watermark does not
        move. Returns the changes to the feed's fields that were not reported before.
        """
        spec, report = draft.spec, draft.report
        with failing(), self.engine.begin() as connection:
            self.hold_lease(connection, spec, run)
            if last is not None:
                self.enter(connection, spec, last, now)
            self.land(connection, spec.name, settled.landed)
            self.unland(connection, spec.name, strings(settled.forgotten))
            self.lose(connection, spec, settled.lost)
            self.note_gone(
                connection,
                spec.name,
                settled.gone,
                strings(settled.landed["key"]),
                whole=draft.whole,
            )
            relinked = self.relinked(connection, spec, settled.links)
            self.tie(connection, spec, settled.links, now)
            self.agree(connection, spec.pair, settled.agreed)
            self.quarantine(
                connection, run, spec, settled.quarantine, strings(settled.landed["key"]), now
            )
            self.note_scope(connection, spec, now)
            self.arrive(connection, spec, settled.links, relinked, now)
            self.show_opposite(connection, spec, settled.written, now)
            report.drift = self.news(connection, spec.name, draft.drift, now)
            if failure is None:
                self.release(
                    connection,
                    run,
                    spec.name,
                    draft.retried,
                    now,
                    looked_again=draft.looked_again,
                    whole=draft.whole,
                )
                self.move(connection, spec, draft.before, draft.after)
                self.hear(connection, run, spec.name, draft.hints, now)
            if draft.whole:
                self.drop_parts(connection, spec)
            if failure is None:
                # If the plan was a draft that this run has applied, close it. This changes nothing
                # for other plans.
                self.end_drafts(
                    connection, t.plan.c.digest == draft.compared.plan.digest, "applied"
                )
            self.end(connection, run, "failed" if failure else "completed", failure, now, report)
        return report.drift


def _must_exist(url: str) -> None:
    """Raises Misconfigured if the URL is of a SQLite file that does not exist."""
    file = sa.make_url(url).database
    if url.startswith("sqlite") and file and not Path(file).exists():
        raise Misconfigured(
            f"There is no sync store at {file}",
            "Set HRSYNC_HOME (or HRSYNC_STORE__URL) to its location. 'hrsync up' and 'hrsync "
            "run' create a new one.",
        )
