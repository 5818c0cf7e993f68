"""Stores the start and end of runs, and the leases that let only one run of a process write."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from reconciliation.errors import StoreFailed
from reconciliation.ports import Outcome
from reconciliation.report import RunReport
from reconciliation.spec import ProcessSpec

from . import schema as t
from .base import Part, aware, failing, naive

LOOK_AGAIN = 0.5
"""Seconds between attempts to take a lease."""


class Runs(Part):
    """Runs and leases."""

    lease_seconds: float = 60.0
    """Length of a lease, in seconds. A run that was killed blocks the others for this time. All
    programs that use one store must use the same length."""
    clock: Callable[[], datetime] = staticmethod(lambda: datetime.now(UTC))
    _tokens: dict[tuple[str, str], int]
    """The fencing number of each lease that this object has taken and not released, by process and
    run."""

    @contextmanager
    def lease(self, process: str, run: str, patience: float = 0.0) -> Iterator[bool]:
        """Takes the lease of a process, without which a run cannot write. Yields false if another
        run is alive and still holds the lease after ``patience`` seconds.

        While the context lasts, a thread renews the lease three times in its length. At the end the
        lease is released. A run that was killed does neither, so its lease lapses. If another run
        holds the lease, this method first finds out whether that run is alive: it waits until the
        lease is renewed or lapses, even if ``patience`` is over.

        A run whose lease has lapsed cannot get it back. Each time a lease is taken, it gets the
        next fencing number. Every write of a run checks that number in the same transaction. So a
        run that has lost its lease, for example because its machine slept, cannot write while the
        next one works.
        """
        deadline, first = time.monotonic() + patience, None
        while not self._take(process, run):
            current = self._holding(process)
            renewed = first is not None and current != first
            if renewed and time.monotonic() >= deadline:
                yield False
                return
            first = first or current
            time.sleep(LOOK_AGAIN)
        ended = threading.Event()

        def keep() -> None:
            while not ended.wait(self.lease_seconds / 3):
                with suppress(StoreFailed):
                    if not self._renew(process, run):
                        return

        renewing = threading.Thread(target=keep, daemon=True, name=f"lease {process}")
        renewing.start()
        try:
            yield True
        finally:
            ended.set()
            renewing.join()
            with suppress(StoreFailed):
                self._give_back(process, run)

    def _take(self, process: str, run: str) -> bool:
        """Takes a lease if no run holds it.

        If a lease ends later than twice its length from now, a wrong clock wrote it. Such a lease
        counts as lapsed. The new fencing number keeps its holder from writing.
        """
        if (process, run) in self._tokens:
            return False
        now, length = self.clock(), timedelta(seconds=self.lease_seconds)
        lease = t.lease.c
        free = (
            (lease.until < naive(now)) | (lease.run == "") | (lease.until > naive(now + 2 * length))
        )
        insert = (sqlite.insert if self.engine.dialect.name == "sqlite" else postgresql.insert)(
            t.lease
        )
        values = {"run": run, "until": naive(now + length)}
        taking = insert.values(process=process, token=1, **values).on_conflict_do_update(
            index_elements=["process"],
            set_={**values, "token": t.lease.c.token + 1},
            where=free & (lease.run != run),
        )
        with failing(), self.engine.begin() as connection:
            token = connection.execute(taking.returning(t.lease.c.token)).scalar()
        if token is not None:
            self._tokens[process, run] = token
        return token is not None

    def _holding(self, process: str) -> tuple[int, datetime] | None:
        """Returns the fencing number and the end of a process's lease. Renewing the lease changes
        its end, taking it again changes both."""
        lease = t.lease.c
        with failing(), self.engine.connect() as connection:
            row = connection.execute(
                sa.select(lease.token, lease.until).where(lease.process == process)
            ).first()
        return (row.token, row.until) if row else None

    def _valid(self, process: str, run: str) -> sa.ColumnElement[bool]:
        """Returns the SQL condition for the lease of this run. A lease that has lapsed, or that
        another run has taken, does not meet it."""
        lease, token = t.lease.c, self._tokens.get((process, run), 0)
        return (
            (lease.process == process)
            & (lease.run == run)
            & (lease.token == token)
            & (lease.until >= naive(self.clock()))
        )

    def _renew(self, process: str, run: str) -> bool:
        """Renews a lease. Returns false if it is lost."""
        until = naive(self.clock() + timedelta(seconds=self.lease_seconds))
        with failing(), self.engine.begin() as connection:
            return (
                connection.execute(
                    t.lease.update().where(self._valid(process, run)).values(until=until)
                ).rowcount
                == 1
            )

    def _give_back(self, process: str, run: str) -> None:
        """Releases a lease, unless it is lost."""
        valid = self._valid(process, run)
        del self._tokens[process, run]
        with failing(), self.engine.begin() as connection:
            connection.execute(
                t.lease.update().where(valid).values(run="", until=naive(self.clock()))
            )

    def hold_lease(self, connection: sa.Connection, spec: ProcessSpec, run: str) -> None:
        """Checks that the run has its leases, and locks them until the transaction ends. Call it
        first in every transaction in which a run writes.

        Raises:
            StoreFailed: the run has lost its lease.
        """
        for name in (spec.name, spec.pair):
            if (
                name
                and connection.execute(
                    t.lease.update().where(self._valid(name, run)).values(run=run)
                ).rowcount
                != 1
            ):
                raise StoreFailed(
                    "This run has lost its lease, because it was not renewed in time; another "
                    "run of this process may have taken over",
                    "No action needed: the next run does the work. If it happens often, look "
                    "for a stalled machine or a wrong clock.",
                )

    def start(
        self, run: str, spec: ProcessSpec, mode: str, now: datetime, flow_run: str | None = None
    ) -> None:
        """Stores the start of a run."""
        values = {
            "id": run,
            "process": spec.name,
            "mode": mode,
            "started": naive(now),
            "fingerprint": spec.fingerprint(),
            "flow_run": flow_run,
        }
        with failing(), self.engine.begin() as connection:
            connection.execute(t.run.insert().values(values))

    def finish(self, run: str, outcome: Outcome, reason: str | None, now: datetime) -> None:
        """Stores the outcome of a run that wrote no results."""
        with failing(), self.engine.begin() as connection:
            self.end(connection, run, outcome, reason, now, None)

    def end(
        self,
        connection: sa.Connection,
        run: str,
        outcome: str,
        reason: str | None,
        now: datetime,
        report: RunReport | None,
    ) -> None:
        """Stores the outcome of a run and, if there is a report, its figures."""
        values: dict[str, Any] = {"ended": naive(now), "outcome": outcome, "reason": reason}
        if report is not None:
            values["report"] = json.loads(json.dumps(asdict(report), default=str))
        connection.execute(t.run.update().where(t.run.c.id == run).values(values))

    def covered(self, process: str, fingerprint: str, moment: datetime, sweep: bool) -> bool:
        """Whether a completed run of this process and scope began at or after ``moment``. With
        ``sweep`` only sweeps count."""
        r = t.run.c
        modes = ("sweep",) if sweep else ("apply", "sweep")
        completed = (
            (r.process == process)
            & (r.fingerprint == fingerprint)
            & (r.outcome == "completed")
            & r.mode.in_(modes)
        )
        with failing(), self.engine.connect() as connection:
            return (
                connection.execute(
                    sa.select(r.id).where(completed, r.started >= naive(moment)).limit(1)
                ).first()
                is not None
            )

    def runs(self, limit: int) -> list[dict[str, Any]]:
        """Returns the latest runs, newest first. The outcome is ``None`` while a run is active, and
        ``died`` if it has not ended but holds no lease."""
        holders = sa.select(t.lease.c.run).where(t.lease.c.until >= naive(self.clock()))
        with failing(), self.engine.connect() as connection:
            rows = (
                connection.execute(sa.select(t.run).order_by(t.run.c.started.desc()).limit(limit))
                .mappings()
                .all()
            )
            active = set(connection.execute(holders).scalars())
        return [dict(row) | ({"outcome": "died"} if _has_died(row, active) else {}) for row in rows]

    def started(self, run: str) -> datetime | None:
        """Returns the start of a run (UTC), or ``None`` if the run is unknown."""
        with failing(), self.engine.connect() as connection:
            start = connection.execute(sa.select(t.run.c.started).where(t.run.c.id == run)).scalar()
        return aware(start) if start else None


def _has_died(run: Mapping[Any, Any], active: set[str]) -> bool:
    """Whether a run has not ended but holds no lease. A preview never has a lease, so it cannot be
    recognised as dead."""
    return run["ended"] is None and run["mode"] != "plan" and run["id"] not in active
