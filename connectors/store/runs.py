"""The runs of the store: begun, ended, and under lease while they write."""

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
"""Seconds after which somebody who waits for a lease looks again."""


class Runs(Part):
    """Runs and leases."""

    lease_seconds: float = 60.0
    """How long a run that does not renew its lease keeps others waiting. All processes on a store
    use the same value."""
    clock: Callable[[], datetime] = staticmethod(lambda: datetime.now(UTC))
    _tokens: dict[tuple[str, str], int]
    """(process, run) -> the fencing number of a lease that was taken here and has not been given
    back."""

    @contextmanager
    def lease(self, process: str, run: str, patience: float = 0.0) -> Iterator[bool]:
        """Only the run that holds the lease of a process writes. Yields false if another run still
        holds it after ``patience`` seconds.

        A thread renews the lease three times in its length; it is released at the end. A killed run
        holds it until it lapses. A run that finds it held waits until it is renewed (its holder is
        at work) or has lapsed. A lapsed lease is lost for good: its run neither renews it nor takes
        it again. Each time a lease is taken, it gets the next fencing number. Every write of a run
        checks that number in the same transaction, so that a run which has lost its lease (a
        machine that slept) cannot write beside the next one.
        """
        deadline, seen = time.monotonic() + patience, None
        while not self._take(process, run):
            held = self._holding(process)
            if seen is not None and held != seen and time.monotonic() >= deadline:
                yield False
                return
            seen = seen or held
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
        """Takes a lease that nobody holds. One that ends later than twice its length from now was
        written by a clock that was wrong: it counts as lapsed, and its number fences its holder
        off."""
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
        """The fencing number and the end of a process's lease, by which one that was renewed, or
        taken anew, is told."""
        lease = t.lease.c
        with failing(), self.engine.connect() as connection:
            row = connection.execute(
                sa.select(lease.token, lease.until).where(lease.process == process)
            ).first()
        return (row.token, row.until) if row else None

    def _held(self, process: str, run: str) -> sa.ColumnElement[bool]:
        """The row of a lease that this run has taken and that has neither lapsed nor been taken by
        another run."""
        lease, token = t.lease.c, self._tokens.get((process, run), 0)
        return (
            (lease.process == process)
            & (lease.run == run)
            & (lease.token == token)
            & (lease.until >= naive(self.clock()))
        )

    def _renew(self, process: str, run: str) -> bool:
        until = naive(self.clock() + timedelta(seconds=self.lease_seconds))
        with failing(), self.engine.begin() as connection:
            return (
                connection.execute(
                    t.lease.update().where(self._held(process, run)).values(until=until)
                ).rowcount
                == 1
            )

    def _give_back(self, process: str, run: str) -> None:
        held = self._held(process, run)
        del self._tokens[process, run]
        with failing(), self.engine.begin() as connection:
            connection.execute(
                t.lease.update().where(held).values(run="", until=naive(self.clock()))
            )

    def hold_lease(self, connection: sa.Connection, spec: ProcessSpec, run: str) -> None:
        """The first statement of every transaction in which a run writes: nobody takes the lease
        until it ends.

        Raises:
            StoreFailed: the run has lost its lease.
        """
        for name in (spec.name, spec.pair):
            if (
                name
                and connection.execute(
                    t.lease.update().where(self._held(name, run)).values(run=run)
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
        """Notes that a run has begun."""
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
        """Notes how a run ended that settled nothing."""
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
        """Notes how a run ended, with its figures."""
        values: dict[str, Any] = {"ended": naive(now), "outcome": outcome, "reason": reason}
        if report is not None:
            values["report"] = json.loads(json.dumps(asdict(report), default=str))
        connection.execute(t.run.update().where(t.run.c.id == run).values(values))

    def covered(self, process: str, fingerprint: str, moment: datetime, sweep: bool) -> bool:
        """Whether a completed run of this process and scope began at or after ``moment``; a sweep,
        if one was wanted."""
        r = t.run.c
        modes = ("sweep",) if sweep else ("apply", "sweep")
        mine = (
            (r.process == process)
            & (r.fingerprint == fingerprint)
            & (r.outcome == "completed")
            & r.mode.in_(modes)
        )
        with failing(), self.engine.connect() as connection:
            return (
                connection.execute(
                    sa.select(r.id).where(mine, r.started >= naive(moment)).limit(1)
                ).first()
                is not None
            )

    def runs(self, limit: int) -> list[dict[str, Any]]:
        """The latest runs, newest first. The outcome is ``None`` while a run is at work, and
        ``died`` if nobody holds its lease."""
        held = sa.select(t.lease.c.run).where(t.lease.c.until >= naive(self.clock()))
        with failing(), self.engine.connect() as connection:
            rows = (
                connection.execute(sa.select(t.run).order_by(t.run.c.started.desc()).limit(limit))
                .mappings()
                .all()
            )
            at_work = set(connection.execute(held).scalars())
        return [
            dict(row) | ({"outcome": "died"} if _has_died(row, at_work) else {}) for row in rows
        ]

    def started(self, run: str) -> datetime | None:
        """When a run began."""
        with failing(), self.engine.connect() as connection:
            found = connection.execute(sa.select(t.run.c.started).where(t.run.c.id == run)).scalar()
        return aware(found) if found else None


def _has_died(run: Mapping[Any, Any], at_work: set[str]) -> bool:
    """Whether a run has not ended, and nobody holds its lease; a preview takes none."""
    return run["ended"] is None and run["mode"] != "plan" and run["id"] not in at_work
