"""The ledger's two times: every version of every row that it knows of, from receipts and plans, and
from what was seen."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import sqlalchemy as sa

from reconciliation.frame import ARROW, arrow, empty, frame, is_among, pick, strings, take
from reconciliation.person import Person
from reconciliation.spec import ProcessSpec
from reconciliation.versions import VERSIONS, known, news, surviving, valid_from

from . import schema as t
from .base import IN, Part, aware, failing, naive, packed, unpacked

SHOWN = {"created": "written", "updated": "written", "closed": "closed"}
"""Outcomes of changes that the target shows, and how their versions came about."""


class History(Part):
    """Versions of rows.

    The latest are in the plans that were carried out and in the ledger, which says what became of
    each change; ``segment`` keeps those that ``compact`` has taken from there, and what was seen
    without having been written.
    """

    def versions(self, spec: ProcessSpec, until: datetime | None = None) -> pd.DataFrame:
        """What is known of the rows of a process's target, ``until`` a moment:
        ``versions.VERSIONS`` and the columns of the entity, in the order in which it was learnt."""
        with failing(), self.engine.connect() as connection:
            return self._versions(connection, spec.name, until)

    def observe(self, spec: ProcessSpec, rows: pd.DataFrame, run: str, now: datetime) -> int:
        """Notes what all rows of the target look like (``key`` and the managed columns); returns
        how many were not known to be so."""
        columns = [name for name in spec.columns() if name in rows]
        with failing(), self.engine.begin() as connection:
            seen = news(self._versions(connection, spec.name, None), rows, columns)
            if len(seen):
                person = spec.person_column
                whose = arrow(seen[person]) if person in seen else pa.nulls(len(seen), pa.string())
                head = {"person": whose} | _since(seen, spec.entity, naive(now), spec.name, run)
                self.append(connection, spec.name, _ordered(seen, head))
        return len(seen)

    def append(self, connection: sa.Connection, process: str, versions: pd.DataFrame) -> None:
        """Adds versions as a segment."""
        if len(versions):
            known = arrow(versions["known_from"])
            row = {
                "process": process,
                "until": naive(known[len(known) - 1].as_py()),
                "rows": len(versions),
                "data": packed(versions),
            }
            connection.execute(t.segment.insert().values(row))

    def compact(self, connection: sa.Connection, edge: datetime) -> int:
        """Turns what plans say of rows into segments, so that the plans may be pruned, and drops
        the versions that were replaced before ``edge``; returns how many."""
        i, s, dropped = t.intent.c, t.segment.c, 0
        fresh = i.closed.is_not(None) & ~i.segmented
        for process in (
            connection.execute(sa.select(i.process).where(fresh).distinct()).scalars().all()
        ):
            found, intents = self._of_plans(connection, process)
            self.append(connection, process, _sorted(found))
            # Just those that were read: a run may close others meanwhile.
            for start in range(0, len(intents), IN):
                connection.execute(
                    t.intent.update()
                    .where(i.id.in_(intents[start : start + IN]))
                    .values(segmented=True)
                )
        for process in connection.execute(sa.select(s.process).distinct()).scalars().all():
            whole = _sorted(self._of_segments(connection, process))
            kept = surviving(whole, edge)
            if len(kept) < len(whole):
                dropped += len(whole) - len(kept)
                connection.execute(t.segment.delete().where(s.process == process))
                self.append(connection, process, kept)
        return dropped

    def forget_versions(self, connection: sa.Connection, person: Person) -> int:
        """Takes one person's versions out of the segments, and out of the others what names them;
        returns how many."""
        s, found = t.segment.c, 0
        for number, data in connection.execute(sa.select(s.id, s.data)).tuples().all():
            versions = unpacked(data)
            theirs = person.theirs(versions)
            kept = pick(versions, ~theirs)
            left = person.redacted(kept)
            if theirs.any() or left is not kept:
                found += int(theirs.sum())
                connection.execute(
                    t.segment.update()
                    .where(s.id == number)
                    .values(rows=len(left), data=packed(left))
                )
        return found

    def _versions(
        self, connection: sa.Connection, process: str, until: datetime | None
    ) -> pd.DataFrame:
        return known(
            _sorted(
                [*self._of_segments(connection, process), *self._of_plans(connection, process)[0]]
            ),
            until,
        )

    def _of_segments(self, connection: sa.Connection, process: str) -> list[pd.DataFrame]:
        s = t.segment.c
        return [
            unpacked(data)
            for data in connection.execute(
                sa.select(s.data).where(s.process == process).order_by(s.id)
            ).scalars()
        ]

    def _of_plans(
        self, connection: sa.Connection, process: str
    ) -> tuple[list[pd.DataFrame], list[int]]:
        """The versions in plans that are in no segment yet: what rows were like when a plan was
        made, and what became of them; and the intents that they are from."""
        e, i, p = t.ledger.c, t.intent.c, t.plan.c
        mine = (i.process == process) & i.closed.is_not(None) & ~i.segmented
        query = sa.select(
            i.id, i.digest, i.start, i.stop, i.run, i.closed, i.entity, p.made
        ).join_from(t.intent, t.plan, i.digest == p.digest)
        intents = connection.execute(query.where(mine).order_by(i.closed, i.id)).all()
        # After the intents: an entry is there before its intent is closed.
        entries = sa.select(e.intent, e.place, e.key, e.person, e.outcome).join_from(
            t.ledger, t.intent, e.intent == i.id
        )
        told: dict[int, list[Any]] = defaultdict(list)
        for number, *entry in connection.execute(
            entries.where(mine, e.key.is_not(None)).order_by(e.seq)
        ).tuples():
            told[number].append(entry)
        found: list[pd.DataFrame] = []
        plans: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = {}
        for row in intents:
            if row.digest not in plans:
                # One at a time: a first load is one plan, and so is a run that found little.
                kept = connection.execute(
                    sa.select(p.changes, p.before).where(p.digest == row.digest)
                ).one()
                plans = {row.digest: (unpacked(kept.changes), unpacked(kept.before))}
            changes, before = plans[row.digest]
            # Whoever was forgotten has no key any more.
            old = is_among(before["key"], changes["key"].iloc[row.start : row.stop])
            if old.any():
                rows = pick(before, old)
                people = {key: person for _, key, person, _ in told[row.id]}
                head = {
                    "person": pa.array([people.get(k) for k in strings(rows["key"])], pa.string()),
                    "how": _texts("seen", len(rows)),
                }
                found.append(
                    _ordered(rows, head | _since(rows, row.entity, row.made, process, row.run))
                )
            done = [
                (place, key, person, SHOWN[outcome])
                for place, key, person, outcome in told[row.id]
                if outcome in SHOWN
            ]
            if done:
                places, keys, persons, how = (list(column) for column in zip(*done, strict=True))
                rows = frame(
                    {
                        name: take(arrow(changes[name]), np.array(places, dtype=np.int64))
                        for name in before.columns
                    }
                )
                head = {
                    "key": pa.array(keys, pa.string()),
                    "person": pa.array(persons, pa.string()),
                    "how": pa.array(how, pa.string()),
                }
                found.append(
                    _ordered(rows, head | _since(rows, row.entity, row.closed, process, row.run))
                )
        return found, [row.id for row in intents]


def _since(
    rows: pd.DataFrame, entity: str, moment: datetime, process: str, run: str
) -> dict[str, pa.Array]:
    count = len(rows)
    times = {"known_from": _constant(aware(moment), count), "valid_from": valid_from(entity, rows)}
    return times | {"process": _texts(process, count), "run": _texts(run, count)}


def _ordered(rows: pd.DataFrame, head: dict[str, pa.Array]) -> pd.DataFrame:
    """``rows`` as versions: the columns of VERSIONS first, then those of the entity."""
    columns: dict[str, Any] = {
        name: head[name] if name in head else arrow(rows[name]) for name in VERSIONS
    }
    return frame(
        columns | {name: arrow(rows[name]) for name in rows.columns if name not in VERSIONS}
    )


def _sorted(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Versions in the order in which they were learnt; a column that an older mapping did not have
    is null there."""
    full = [part for part in parts if len(part)]
    if not full:
        return empty(VERSIONS)
    names = list(dict.fromkeys(name for part in full for name in part.columns))
    kinds = {name: arrow(part[name]).type for part in reversed(full) for name in part.columns}
    columns = {
        name: pa.chunked_array(
            [_column(part, name, kinds[name]) for part in full], kinds[name]
        ).combine_chunks()
        for name in names
    }
    whole = frame(columns)
    order = np.argsort(arrow(whole["known_from"]).cast(pa.int64()).to_numpy(), kind="stable")
    return whole if bool((np.diff(order) == 1).all()) else whole.iloc[order].reset_index(drop=True)


def _column(part: pd.DataFrame, name: str, kind: pa.DataType) -> pa.Array:
    return arrow(part[name]).cast(kind) if name in part else pa.nulls(len(part), kind)


def _texts(text: str, count: int) -> pa.Array:
    return pa.array([text] * count, pa.string())


def _constant(moment: datetime, count: int) -> pa.Array:
    return pa.array([moment] * count, ARROW["moment"])
