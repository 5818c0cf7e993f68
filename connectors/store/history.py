"""The ledger's two times: every version of every row that it knows of, from receipts and plans, and
from what was seen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from reconciliation.frame import empty, of
from reconciliation.history.versions import VERSIONS, known, news, surviving, valid_from
from reconciliation.person import Person
from reconciliation.spec import ProcessSpec
from reconciliation.tables import typed

from . import schema as t
from .base import IN, Part, aware, failing, naive, packed, unpacked

SHOWN = {"created": "written", "updated": "written", "closed": "closed"}
"""Outcomes of changes that the target shows, and how their versions came about."""
ENTRIES = {
    "intent": "number",
    "place": "number",
    "key": "text",
    "person": "text",
    "outcome": "text",
}
"""What the ledger says of the changes of an intent."""


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
            person = spec.person_column
            rows = seen.assign(person=seen.get(person), known_from=aware(naive(now)), run=run)
            self.append(connection, spec.name, _as_versions(rows, spec.entity, spec.name))
        return len(seen)

    def append(self, connection: sa.Connection, process: str, versions: pd.DataFrame) -> None:
        """Adds versions as a segment."""
        if len(versions):
            row = {
                "process": process,
                "until": naive(versions["known_from"].iloc[-1].to_pydatetime()),
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
            kept = versions[~theirs].reset_index(drop=True)
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
        told = of(
            ENTRIES,
            connection.execute(entries.where(mine, e.key.is_not(None)).order_by(e.seq)).tuples(),
        )
        shown = dict(list(told[told["outcome"].isin(SHOWN)].groupby("intent")))
        seen: list[pd.DataFrame] = []
        done: list[pd.DataFrame] = []
        plans: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = {}
        for row in intents:
            if row.digest not in plans:
                # One at a time: a first load is one plan, and so is a run that found little.
                kept = connection.execute(
                    sa.select(p.changes, p.before).where(p.digest == row.digest)
                ).one()
                plans = {row.digest: (unpacked(kept.changes), unpacked(kept.before))}
            changes, before = plans[row.digest]
            # The key of a person who was forgotten is empty.
            sent = changes["key"].iloc[row.start : row.stop].dropna()
            seen.append(before[before["key"].isin(sent)].assign(intent=row.id))
            told_of = shown.get(row.id, told[:0])
            rows = changes[before.columns].iloc[told_of["place"].to_numpy(dtype=np.int64)]
            named = {name: told_of[name].array for name in ("key", "person", "outcome")}
            done.append(rows.assign(intent=row.id, **named))
        found = [_of_intents(seen, done, intents, told, process)] if intents else []
        return found, [row.id for row in intents]


def _of_intents(
    seen: list[pd.DataFrame],
    done: list[pd.DataFrame],
    intents: Sequence[Any],
    told: pd.DataFrame,
    process: str,
) -> pd.DataFrame:
    """Rows of plans as versions: what was ``seen`` when the plans of the ``intents`` were made, and
    what was ``done`` (with ``person`` and ``outcome``), intent by intent."""
    rows = [(n, i.id, i.run, aware(i.made), aware(i.closed)) for n, i in enumerate(intents)]
    facts = pd.DataFrame(rows, columns=["turn", "intent", "run", "made", "closed"])
    people = told[["intent", "key", "person"]].drop_duplicates(["intent", "key"], keep="last")
    before = _stacked(seen).merge(people, on=["intent", "key"], how="left")
    before = before.merge(facts, on="intent")
    after = _stacked(done).merge(facts, on="intent")
    before = before.assign(how="seen", known_from=before["made"])
    after = after.assign(how=after["outcome"].replace(SHOWN), known_from=after["closed"])
    both = pd.concat([before, after.drop(columns="outcome")], ignore_index=True)
    both = both.sort_values("turn", kind="stable", ignore_index=True)
    both = both.drop(columns=["turn", "intent", "made", "closed"])
    return _as_versions(both, intents[-1].entity, process)


def _as_versions(rows: pd.DataFrame, entity: str, process: str) -> pd.DataFrame:
    """``rows`` (with ``person``, ``how``, ``known_from`` and ``run``) as versions: the columns of
    VERSIONS first, then those of the entity."""
    head = typed(rows.assign(valid_from=valid_from(entity, rows), process=process), VERSIONS)
    return head.join(rows.drop(columns=[*VERSIONS], errors="ignore").reset_index(drop=True))


def _stacked(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """The rows of all parts; a column that an older mapping did not have is null there."""
    dtypes = {name: dtype for part in reversed(parts) for name, dtype in part.dtypes.items()}
    return pd.concat(parts, ignore_index=True).astype(dtypes)


def _sorted(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Versions in the order in which they were learnt."""
    full = [part for part in parts if len(part)]
    if not full:
        return empty(VERSIONS)
    return _stacked(full).sort_values("known_from", kind="stable", ignore_index=True)
