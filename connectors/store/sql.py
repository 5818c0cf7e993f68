"""The sync store through SQLAlchemy: SQLite by default, any number of runs side by side."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from reconciliation.errors import StoreFailed
from reconciliation.frame import arrow, of, strings
from reconciliation.match import LINKS
from reconciliation.plan import Plan
from reconciliation.ports import QUARANTINE, Hashes, Settlement
from reconciliation.report import RunReport
from reconciliation.spec import ProcessSpec
from reconciliation.watermark import Watermark

from ..database import connect, migrate
from . import schema as t

IN = 5000
"""Values in one IN."""
RETRIES_AT_ONCE = 2000
"""Quarantined records that one run looks at again, the longest waiting first."""
EAGER_ATTEMPTS = 3
"""So many runs look at a quarantined record again at once; then the pause doubles, from an hour."""


class SyncStore:
    """Implements :class:`reconciliation.ports.Store`.

    Raises:
        StoreFailed: the database cannot be reached or its tables cannot be made.
    """

    def __init__(self, url: str) -> None:
        with _failing():
            self.engine = connect(url)
            migrate(self.engine, Path(__file__).parent / "migrations")

    def close(self) -> None:
        """Closes the connections."""
        self.engine.dispose()

    # -- what a run asks -------------------------------------------------------------------------------------------

    def known(self, process: str) -> Hashes:
        """The hashes of all landed records, sorted."""
        with _failing(), self.engine.connect() as connection:
            result = connection.execute(sa.select(t.record.c.hash).where(t.record.c.process == process))
            # From the driver's cursor: SQLAlchemy's rows cost three times as much, and there is one per source record.
            fetch = result.cursor.fetchmany
            parts = [np.array(rows, dtype=np.int64).ravel() for rows in iter(lambda: fetch(50_000), [])]
        found = np.concatenate([np.empty(0, dtype=np.int64), *parts])
        found.sort()
        return found

    def watermark(self, process: str, fingerprint: str) -> Watermark:
        """How far this process with this scope has come."""
        w = t.watermark.c
        with _failing(), self.engine.connect() as connection:
            row = connection.execute(
                sa.select(w.moment, w.as_of, w.waiting).where(w.process == process, w.fingerprint == fingerprint)
            ).first()
        return Watermark(_aware(row.moment), row.as_of, row.waiting) if row else Watermark()

    def links(self, entity: str, source_keys: Sequence[str] | None = None, target_keys: Sequence[str] | None = None) -> pd.DataFrame:
        """The links of these keys; all if none are given."""
        c = t.link.c
        query = sa.select(c.source_key, c.target_key).where(c.entity == entity)
        rows: dict[str, str] = {}
        with _failing(), self.engine.connect() as connection:
            if source_keys is None and target_keys is None:
                rows = {r[0]: r[1] for r in connection.execute(query).all()}
            for column, keys in ((c.source_key, source_keys or ()), (c.target_key, target_keys or ())):
                for i in range(0, len(keys), IN):
                    rows |= {r[0]: r[1] for r in connection.execute(query.where(column.in_(keys[i : i + IN]))).all()}
        return of(LINKS, rows.items())

    def retryable(self, process: str, now: datetime) -> list[str]:
        """Keys in quarantine whose next attempt is due, or whose person has arrived."""
        q, one = t.quarantine.c, t.link.alias()
        arrived = sa.exists().where(one.c.source_key == q.waits_for, one.c.entity == "employees")
        due = sa.case((q.waits_for.is_(None), q.next_attempt <= _naive(now)), else_=arrived)
        query = sa.select(q.key).where(q.process == process, q.status == "open", q.key.is_not(None), due)
        with _failing(), self.engine.connect() as connection:
            keys = connection.execute(query.order_by(q.last_seen, q.key).limit(RETRIES_AT_ONCE)).scalars()
            return list(dict.fromkeys(str(key) for key in keys))

    def retry_now(self, process: str, keys: Sequence[str] | None) -> int:
        """Lets the next run look at these open entries again (all of the process if none are named); returns how many."""
        q = t.quarantine.c
        query = t.quarantine.update().where(q.process == process, q.status == "open", q.key.is_not(None))
        if keys is not None:
            query = query.where(q.key.in_(keys))
        with _failing(), self.engine.begin() as connection:
            return int(connection.execute(query.values(next_attempt=q.first_seen)).rowcount)

    def known_bad(self, process: str) -> set[int]:
        """Hashes of the rejected records that are open in quarantine."""
        q = t.quarantine.c
        query = sa.select(q.hash).where(q.process == process, q.status == "open", q.stage == "rejected")
        with _failing(), self.engine.connect() as connection:
            return set(connection.execute(query).scalars())

    # -- what a run leaves -----------------------------------------------------------------------------------------

    def save_plan(self, plan: Plan, process: str, now: datetime) -> None:
        """Keeps the plan under its digest; the same plan twice is kept once."""
        row = {
            "digest": plan.digest,
            "process": process,
            "made": _naive(now),
            "changes": _file(plan.changes),
            "before": _file(plan.before),
        }
        with _failing(), self.engine.begin() as connection:
            connection.execute(self._upsert(t.plan, row, ["digest"]), row)

    def start(self, run: str, process: str, mode: str, now: datetime) -> None:
        """Notes that a run has begun."""
        with _failing(), self.engine.begin() as connection:
            connection.execute(t.run.insert().values(id=run, process=process, mode=mode, started=_naive(now)))

    def settle(self, run: str, spec: ProcessSpec, settlement: Settlement, report: RunReport, now: datetime) -> None:
        """Writes everything that a run leaves, in one transaction: records, links, quarantine, watermark, the run."""
        with _failing(), self.engine.begin() as connection:
            self._land(connection, spec.name, settlement.landed)
            links = settlement.links
            rows = zip(strings(links["source_key"]), strings(links["target_key"]), strict=True)
            values = [{"entity": spec.entity, "source_key": s, "target_key": k, "since": _naive(now)} for s, k in rows]
            if values:
                connection.execute(self._upsert(t.link, values[0], ["entity", "source_key"], keep=["since"]), values)
            self._quarantine(connection, run, spec, settlement, now)
            mark = settlement.watermark
            row = {
                "process": spec.name,
                "fingerprint": spec.fingerprint(),
                "moment": _naive(mark.moment),
                "as_of": mark.as_of,
                "waiting": mark.waiting,
            }
            connection.execute(self._upsert(t.watermark, row, ["process", "fingerprint"]), row)
            self._end(connection, run, "completed", None, now, report)

    def finish(self, run: str, outcome: Literal["completed", "failed"], reason: str | None, now: datetime) -> None:
        """Notes how a run ended that settled nothing."""
        with _failing(), self.engine.begin() as connection:
            self._end(connection, run, outcome, reason, now, None)

    def _end(self, connection: sa.Connection, run: str, outcome: str, reason: str | None, now: datetime, report: RunReport | None) -> None:
        figures = json.loads(json.dumps(asdict(report), default=str)) if report else None
        values = {"ended": _naive(now), "outcome": outcome, "reason": reason, "report": figures}
        connection.execute(t.run.update().where(t.run.c.id == run).values(values))

    def _land(self, connection: sa.Connection, process: str, landed: pd.DataFrame) -> None:
        columns = strings(landed["key"]), arrow(landed["hash"]).to_numpy().tolist()
        if self.engine.dialect.name == "sqlite":
            # At driver speed: this is the one table with a row per source record.
            text = 'INSERT INTO record (process, "key", hash) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET hash = excluded.hash'
            rows = list(zip([process] * len(landed), *columns, strict=True))
            if rows:
                connection.exec_driver_sql(text, rows)
            return
        values = [{"process": process, "key": k, "hash": h} for k, h in zip(*columns, strict=True)]
        if values:
            connection.execute(self._upsert(t.record, values[0], ["process", "key"]), values)

    def _quarantine(self, connection: sa.Connection, run: str, spec: ProcessSpec, settlement: Settlement, now: datetime) -> None:
        q = t.quarantine.c
        moment = now.astimezone(UTC).replace(tzinfo=None)
        mine = (q.process == spec.name) & (q.status == "open")
        came = [str(key) for key in strings(settlement.quarantine["key"]) if key is not None]
        if connection.execute(sa.select(q.id).where(mine).limit(1)).first():
            landed = strings(settlement.landed["key"])
            for i in range(0, len(landed), IN):
                connection.execute(
                    t.quarantine.update().where(mine, q.key.in_(landed[i : i + IN])).values(status="replayed", last_seen=moment)
                )
        open_entries = sa.select(q.id, q.key, q.hash, q.attempts).where(mine)
        rows = list(connection.execute(open_entries.where(q.key.is_(None))))
        for i in range(0, len(came), IN):
            rows += connection.execute(open_entries.where(q.key.in_(came[i : i + IN])))
        # A record without a key is known by its bytes: several that are alike are one entry.
        seen = {(row.key, row.hash if row.key is None else None): row for row in rows}
        fresh: dict[object, dict[str, Any]] = {}
        again: list[dict[str, Any]] = []
        for row in zip(*(arrow(settlement.quarantine[name]).to_pylist() for name in QUARANTINE), strict=True):
            values: dict[str, Any] = dict(zip(QUARANTINE, row, strict=True))
            identity = (values["key"], values["hash"] if values["key"] is None else None)
            before = seen.get(identity)
            attempts = before.attempts + 1 if before else 1
            pause = timedelta(hours=2.0 ** min(attempts - EAGER_ATTEMPTS, 8)) if attempts > EAGER_ATTEMPTS else timedelta(0)
            values |= {"attempts": attempts, "last_seen": moment, "next_attempt": moment + pause, "run": run}
            if before:
                again.append({**values, "row": before.id})
            else:
                fresh[identity] = {**values, "process": spec.name, "feed": spec.feed, "first_seen": moment, "status": "open"}
        if fresh:
            connection.execute(t.quarantine.insert(), list(fresh.values()))
        if again:
            changed: dict[str, Any] = {name: sa.bindparam(name) for name in again[0] if name not in ("row", "key")}
            connection.execute(t.quarantine.update().where(q.id == sa.bindparam("row")).values(changed), again)
        if settlement.looked_again:
            connection.execute(t.quarantine.update().where(mine, q.key.is_(None), q.run != run).values(status="vanished", last_seen=moment))

    def _upsert(self, table: sa.Table, row: dict[str, Any], keys: Sequence[str], keep: Sequence[str] = ()) -> Any:
        """``keep``: columns that an existing row keeps."""
        insert = (sqlite.insert if self.engine.dialect.name == "sqlite" else postgresql.insert)(table)
        changed = {name: insert.excluded[name] for name in row if name not in keys and name not in keep}
        return insert.on_conflict_do_update(index_elements=list(keys), set_=changed)

    # -- what people ask -------------------------------------------------------------------------------------------

    def runs(self, limit: int) -> list[dict[str, Any]]:
        """The latest runs, newest first."""
        with _failing(), self.engine.connect() as connection:
            rows = connection.execute(sa.select(t.run).order_by(t.run.c.started.desc()).limit(limit)).mappings()
            return [dict(row) for row in rows]

    def quarantined(self, process: str | None = None, limit: int = 200) -> list[dict[str, Any]]:
        """Open entries of the quarantine, oldest first."""
        q = t.quarantine.c
        query = sa.select(t.quarantine).where(q.status == "open", *([q.process == process] if process else []))
        with _failing(), self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query.order_by(q.first_seen, q.id).limit(limit)).mappings()]

    def quarantine_entry(self, entry: int) -> dict[str, Any] | None:
        """One entry, whatever its status."""
        with _failing(), self.engine.connect() as connection:
            row = connection.execute(sa.select(t.quarantine).where(t.quarantine.c.id == entry)).mappings().first()
            return dict(row) if row else None

    def quarantine_counts(self) -> dict[tuple[str, str], int]:
        """(process, stage) -> open entries."""
        q = t.quarantine.c
        query = sa.select(q.process, q.stage, sa.func.count()).where(q.status == "open").group_by(q.process, q.stage)
        with _failing(), self.engine.connect() as connection:
            return {(row[0], row[1]): int(row[2]) for row in connection.execute(query)}

    def budget(self, limit: int, hour_seconds: float) -> StoredBudget:
        """The request budget shared by all runs on this store."""
        return StoredBudget(self.engine, limit, hour_seconds)


class StoredBudget:
    """Implements :class:`connectors.transport.Budget`. Takes requests from the store a few at a time."""

    SHARE = 20
    """Requests taken at once: one write to the store for so many requests."""

    def __init__(self, engine: sa.Engine, limit: int, hour_seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._engine, self._limit, self._hour, self._clock = engine, limit, hour_seconds, clock
        self._held: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def take(self, endpoint: str) -> float:
        """0 if a request may be made now, else the seconds until the hour is over."""
        with self._lock:
            moment = self._clock()
            hour = int(moment // self._hour)
            held_hour, held = self._held.get(endpoint, (hour, 0))
            if held_hour != hour or held == 0:
                held = self._draw(endpoint, hour)
            if held == 0:
                return float((hour + 1) * self._hour - moment)
            self._held[endpoint] = (hour, held - 1)
            return 0.0

    def _draw(self, endpoint: str, hour: int) -> int:
        b = t.budget.c
        mine = (b.endpoint == endpoint) & (b.hour == hour)
        with _failing(), self._engine.begin() as connection:
            insert = sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
            row = insert(t.budget).values(endpoint=endpoint, hour=hour, used=0)
            # Writing first takes the lock, so that two runs cannot both see the same remainder.
            connection.execute(row.on_conflict_do_update(index_elements=["endpoint", "hour"], set_={"used": b.used}))
            used = connection.execute(sa.select(b.used).where(mine)).scalar_one()
            share = max(0, min(self.SHARE, self._limit - used))
            connection.execute(t.budget.update().where(mine).values(used=used + share))
            return int(share)


def _file(data: pd.DataFrame) -> bytes:
    sink = pa.BufferOutputStream()
    pyarrow.feather.write_feather(pa.table({n: arrow(data[n]) for n in data.columns}), sink, compression="lz4")
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _naive(moment: datetime | None) -> datetime | None:
    return moment.astimezone(UTC).replace(tzinfo=None) if moment else None


def _aware(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment else None


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError, ImportError) as error:
        raise StoreFailed(
            f"The sync store cannot be used ({type(error).__name__})",
            "The operator must check that it runs and that HRSYNC_STORE__URL is right, then run again; nothing was lost.",
        ) from None
