"""The runs of the store: begun, ended, and under lease while they write."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from reconciliation.errors import StoreFailed
from reconciliation.ports import Outcome
from reconciliation.report import RunReport
from reconciliation.spec import ProcessSpec

from . import schema as t
from .base import Part, aware, failing, naive, upsert

LOOK_AGAIN = 0.5
"""Seconds after which somebody who waits for a lease looks again."""


class Runs(Part):
    """Runs and leases. ``lease_seconds``: how long a run that does not renew its lease keeps others waiting."""

    lease_seconds: float = 120.0
    clock: Callable[[], datetime] = staticmethod(lambda: datetime.now(UTC))

    @contextmanager
    def lease(self, process: str, run: str, patience: float = 0.0) -> Iterator[bool]:
        """Within it no other run of the process writes; false if another run holds it, and for ``patience`` seconds on.

        It is renewed three times in its length by a thread of its own, and given back at the end. A run that was
        killed holds it until it expires. Every write of a run checks it in its own transaction, so that a run whose
        lease has expired (a machine that slept) cannot write beside the next.
        """
        deadline = time.monotonic() + patience
        while not self._take(process, run):
            if time.monotonic() >= deadline:
                yield False
                return
            time.sleep(LOOK_AGAIN)
        ended = threading.Event()

        def renew() -> None:
            while not ended.wait(self.lease_seconds / 3):
                with suppress(StoreFailed):
                    self._take(process, run)

        threading.Thread(target=renew, daemon=True, name=f"lease {process}").start()
        try:
            yield True
        finally:
            ended.set()
            with suppress(StoreFailed), failing(), self.engine.begin() as connection:
                connection.execute(t.lease.delete().where(t.lease.c.process == process, t.lease.c.run == run))

    def _take(self, process: str, run: str) -> bool:
        now = self.clock()
        values = {"process": process, "run": run, "until": naive(now + timedelta(seconds=self.lease_seconds))}
        free = (t.lease.c.until < naive(now)) | (t.lease.c.run == run)
        statement = upsert(self.engine, t.lease, list(values), ["process"], where=lambda _: free).returning(t.lease.c.run)
        with failing(), self.engine.begin() as connection:
            return connection.execute(statement, values).first() is not None

    def hold_lease(self, connection: sa.Connection, spec: ProcessSpec, run: str) -> None:
        """The first statement of every transaction in which a run writes: nobody takes the lease until it ends.

        Raises:
            StoreFailed: the lease is not this run's any more.
        """
        names = [spec.name, *([spec.pair] if spec.pair else [])]
        mine = t.lease.c.process.in_(names) & (t.lease.c.run == run)
        if connection.execute(t.lease.update().where(mine).values(run=run)).rowcount != len(names):
            raise StoreFailed(
                "Another run of this process has taken over, because this one has not renewed its lease in time",
                "Nobody must act: the other run does the work. If it happens often, the operator must look for a machine that stalls.",
            )

    def start(self, run: str, spec: ProcessSpec, mode: str, now: datetime, flow_run: str | None = None) -> None:
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

    def end(self, connection: sa.Connection, run: str, outcome: str, reason: str | None, now: datetime, report: RunReport | None) -> None:
        """Notes how a run ended, with its figures."""
        values: dict[str, Any] = {"ended": naive(now), "outcome": outcome, "reason": reason}
        if report is not None:
            values["report"] = json.loads(json.dumps(asdict(report), default=str))
        connection.execute(t.run.update().where(t.run.c.id == run).values(values))

    def covered(self, process: str, fingerprint: str, moment: datetime, sweep: bool) -> bool:
        """Whether a completed run of this process and scope began at or after ``moment``; a sweep, if one was wanted."""
        r = t.run.c
        modes = ("sweep",) if sweep else ("apply", "sweep")
        mine = (r.process == process) & (r.fingerprint == fingerprint) & (r.outcome == "completed") & r.mode.in_(modes)
        with failing(), self.engine.connect() as connection:
            return connection.execute(sa.select(r.id).where(mine, r.started >= naive(moment)).limit(1)).first() is not None

    def runs(self, limit: int) -> list[dict[str, Any]]:
        """The latest runs, newest first."""
        with failing(), self.engine.connect() as connection:
            rows = connection.execute(sa.select(t.run).order_by(t.run.c.started.desc()).limit(limit)).mappings()
            return [dict(row) for row in rows]

    def started(self, run: str) -> datetime | None:
        """When a run began."""
        with failing(), self.engine.connect() as connection:
            found = connection.execute(sa.select(t.run.c.started).where(t.run.c.id == run)).scalar()
        return aware(found) if found else None
