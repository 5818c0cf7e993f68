"""Small worlds in memory for properties: a feed, an HR system that may misbehave, a real store on
SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
import xxhash

from connectors.accessplanit.feeds import FEEDS, kinds
from connectors.hr.schema import metadata as hr_metadata
from connectors.store import schema as t
from connectors.store.sql import SyncStore
from flows._run import Order, World, plainly, run_process
from reconciliation.ask import Ask, Range
from reconciliation.errors import Refused
from reconciliation.frame import ARROW, arrow, concat, empty, of
from reconciliation.ports import Hashes
from reconciliation.receipts import RECEIPTS, done
from reconciliation.report import RunReport
from reconciliation.snapshot import REJECTED, Snapshot, among
from reconciliation.spec import ProcessSpec

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
CREATED = datetime(2025, 3, 3, tzinfo=UTC)
UNREADABLE, KEYLESS = "unreadable", "keyless"

Record = dict[str, Any]


def user(key: str, at: int = 0, **more: Any) -> Record:
    """A user that was changed ``at`` minutes after noon of some day."""
    sound = {
        "id": key,
        "forenames": "Jo",
        "surname": "Lee",
        "status": "Enabled",
        "created_at": CREATED,
    }
    return sound | {"updated_at": NOW - timedelta(days=1) + timedelta(minutes=at)} | more


def award(key: str, holder: str, at: int = 0, **more: Any) -> Record:
    """A completed award that never expires."""
    sound = {
        "id": key,
        "user_id": holder,
        "award_id": "first-aid",
        "status": "Completed",
        "completed_on": date(2026, 1, 1),
    }
    return (
        sound
        | {"created_at": CREATED, "updated_at": NOW - timedelta(days=1) + timedelta(minutes=at)}
        | more
    )


@dataclass
class Feed:
    """Implements the Source port over records. broken: key -> UNREADABLE or KEYLESS. complete: as a
    read says of itself."""

    records: dict[str, Record]
    broken: dict[str, str] = field(default_factory=dict)
    complete: bool = True
    hidden: set[str] = field(default_factory=set)
    """Records that a windowed or swept read misses, though they are there."""
    name: str = "memory"
    requests: int = 0

    def kinds(self, feed: str) -> Mapping[str, str]:
        return kinds(FEEDS[feed])

    def updated_column(self, feed: str, column: str) -> str | None:
        return column

    def read(
        self,
        feed: str,
        columns: Sequence[str],
        custom: Sequence[str],
        ask: Ask,
        known: Hashes,
        seed: str,
    ) -> Snapshot:
        wanted = {name: kinds(FEEDS[feed])[name] for name in columns} | {"hash": "hash"}
        rows, rejected, skipped, read = [], [], 0, 0
        for key, record in self.records.items():
            if not self._asked(key, record, ask):
                continue
            read += 1
            state = self.broken.get(key)
            text = f"{state}{sorted(record.items(), key=str)}"
            mark = int.from_bytes(xxhash.xxh3_64_digest(text.encode(), int(seed, 16)), signed=True)
            if state:
                rejected.append(
                    (None if state == KEYLESS else key, "status", "is unreadable", "raw", mark)
                )
            elif ask.skip_known and among(np.array([mark]), known)[0]:
                skipped += 1
            else:
                rows.append((*(record.get(name) for name in columns), mark))
        return Snapshot(of(wanted, rows), self.complete, of(REJECTED, rejected), read, skipped)

    def _asked(self, key: str, record: Record, ask: Ask) -> bool:
        if ask.keys is not None:
            return key in ask.keys
        if key in self.hidden:
            return False
        if any(
            clause.op == "in" and record.get(clause.column) not in clause.values
            for clause in ask.clauses
        ):
            return False
        return all(
            self._within(record.get(asked.column), asked)
            for asked in (ask.range, *ask.also)
            if asked is not None
        )

    @staticmethod
    def _within(value: Any, asked: Range) -> bool:
        return (
            value is not None
            and (asked.low is None or value >= asked.low)
            and (asked.high is None or value < asked.high)
        )


class Hr:
    """Implements the Target port over frames. Every call that writes is noted in ``calls`` as
    (entity, key)."""

    name = "memory"

    def __init__(self, batch: int = 1000) -> None:
        self.batch = batch
        self.tables: dict[str, pd.DataFrame] = {}
        self.calls: list[tuple[str, str]] = []
        self.complete = True
        self.refuses: Callable[[str], bool] = lambda _: False
        for table in hr_metadata.sorted_tables:
            named = {"Text": "text", "Date": "day", "DateTime": "moment", "Boolean": "flag"}
            columns = {c.name: named[type(c.type).__name__] for c in table.columns}
            self.tables[table.name] = empty(columns)

    def key(self, entity: str) -> str:
        return str(self.tables[entity].columns[0])

    def population(self, entity: str) -> int:
        return len(self.tables[entity])

    def read(
        self, entity: str, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None
    ) -> Snapshot:
        rows = self.tables[entity]
        if lookups is not None:
            mask = np.zeros(len(rows), dtype=bool)
            for name, values in lookups.items():
                folded = rows[name].str.lower().isin([str(v).lower() for v in values])
                mask |= folded.fillna(False).to_numpy(dtype=bool)
            rows = rows[mask].reset_index(drop=True)
        if not self.complete:
            rows = rows.iloc[: len(rows) // 2]
        return Snapshot(rows[[self.key(entity), *columns]].reset_index(drop=True), self.complete)

    def rejections(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        return empty(RECEIPTS)

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        keys = [str(key) for key in changes["key"]]
        if any(self.refuses(key) for key in keys):
            raise Refused("is refused")
        self.calls += [(entity, key) for key in keys]
        old, name = self.tables[entity], self.key(entity)
        fresh = changes.rename(columns={"key": name})
        before = old.set_index(name, drop=False)
        rows = []
        for row in fresh.to_dict("records"):
            known = before.loc[row[name]].to_dict() if row[name] in before.index else {}
            rows.append({column: row.get(column, known.get(column)) for column in old.columns})
        kinds_ = {
            column: next(k for k, a in ARROW.items() if a == arrow(old[column]).type)
            for column in old.columns
        }
        new = of(kinds_, [tuple(None if pd.isna(v) else v for v in row.values()) for row in rows])
        kept = old[~old[name].isin(keys)].reset_index(drop=True)
        self.tables[entity] = concat([kept, new])
        return done(changes)

    def content(self, entity: str) -> dict[str, tuple[Any, ...]]:
        """Key -> the row's other values."""
        rows = self.tables[entity]
        named = [name for name in rows.columns if name != "written_at"]
        return {
            row[0]: row[1:]
            for row in zip(*(arrow(rows[name]).to_pylist() for name in named), strict=True)
        }


class Stores:
    """One migrated store in memory, emptied for each example."""

    def __init__(self) -> None:
        self._store: SyncStore | None = None

    def fresh(self) -> SyncStore:
        if self._store is None:
            self._store = SyncStore("sqlite://")
        with self._store.engine.begin() as connection:
            for table in t.metadata.sorted_tables:
                connection.execute(table.delete())
        return self._store


STORES = Stores()


def run(
    spec: ProcessSpec,
    feed: Feed,
    hr: Any,
    store: Any,
    order: Order | None = None,
    now: datetime = NOW,
) -> RunReport:
    """One run in such a world; its report adds up."""
    report, _ = run_process(
        spec, World(feed, hr, store, "Europe/London", lambda: now), order or Order(), call=plainly
    )
    assert report.adds_up(), report
    return report


class Killed(BaseException):
    """The process is gone: nothing after it happens."""


class Mortal:
    """Wraps a port so that the ``place``-th call of all that share ``deaths`` never returns, nor
    any later one."""

    def __init__(self, inner: Any, deaths: Deaths) -> None:
        self._inner, self._deaths = inner, deaths

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value):
            return value

        def called(*args: Any, **kwargs: Any) -> Any:
            self._deaths.step(f"before {name}")
            result = value(*args, **kwargs)
            if isinstance(result, AbstractContextManager):
                return self._leased(result)
            self._deaths.step(f"after {name}")
            return result

        return called

    @contextmanager
    def _leased(self, lease: AbstractContextManager[bool]) -> Iterator[bool]:
        with lease as mine:
            yield mine


@dataclass
class Deaths:
    """Counts the steps of a run, and ends it at one of them."""

    place: int | None = None
    steps: int = 0
    at: str = ""

    def step(self, name: str) -> None:
        self.steps += 1
        if self.place is not None and self.steps > self.place:
            self.at = self.at or name
            raise Killed(name)


def mortal(
    spec: ProcessSpec,
    feed: Feed,
    hr: Any,
    store: Any,
    deaths: Deaths,
    order: Order | None = None,
    now: datetime = NOW,
) -> None:
    """A run that dies where ``deaths`` says, as if by SIGKILL: not even its ending is written
    down."""
    world = World(
        Mortal(feed, deaths),
        Mortal(hr, deaths),
        Mortal(store, deaths),
        "Europe/London",
        lambda: now,
    )
    try:
        run_process(spec, world, order or Order(), call=plainly)
    except Killed:
        with store.engine.begin() as connection:
            # The lease of a killed run expires by itself; nobody waits for that here.
            connection.execute(t.lease.delete())


def entries(store: SyncStore) -> list[tuple[Any, ...]]:
    """The ledger: entity, key, kind, outcome."""
    query = sa.select(
        t.intent.c.entity, t.ledger.c.key, t.ledger.c.kind, t.ledger.c.outcome
    ).join_from(t.ledger, t.intent, t.ledger.c.intent == t.intent.c.id)
    with store.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]
