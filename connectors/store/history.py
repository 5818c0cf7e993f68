"""Keeps every known version of every target row, taken from plans, receipts and observations of the
target."""

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
"""Outcome of a change that altered the target -> origin (``how``) of the version."""
ENTRIES = {
    "intent": "number",
    "place": "number",
    "key": "text",
    "person": "text",
    "outcome": "text",
}
"""Columns and kinds of the ledger entries of an intent."""


class History(Part):
    """Versions of rows.

    Recent versions are derived from the kept plans and from the ledger, which has the outcome of
    each change. The table ``segment`` holds older ones, which :meth:`compact` has extracted, and
    states of the target that were observed though hrsync had not written them.
    """

    def versions(self, spec: ProcessSpec, until: datetime | None = None) -> pd.DataFrame:
        """Returns the versions of a process's target rows known by ``until``, or all of them:
        ``versions.VERSIONS`` and the columns of the entity, in the order in which they became
        known."""
        with failing(), self.engine.connect() as connection:
            return self._versions(connection, spec.name, until)

    def observe(self, spec: ProcessSpec, rows: pd.DataFrame, run: str, now: datetime) -> int:
        """Stores the current state of all target rows (``key`` and the managed columns). Returns
        the number of rows that differed from their last known version."""
        columns = [name for name in spec.columns() if name in rows]
        with failing(), self.engine.begin() as connection:
            changed = news(self._versions(connection, spec.name, None), rows, columns)
            person = spec.person_column
            rows = changed.assign(person=changed.get(person), known_from=aware(naive(now)), run=run)
            self.append(connection, spec.name, _as_versions(rows, spec.entity, spec.name))
        return len(changed)

    def append(self, connection: sa.Connection, process: str, versions: pd.DataFrame) -> None:
        """Stores versions as a new segment."""
        if len(versions):
            row = {
                "process": process,
                "until": naive(versions["known_from"].iloc[-1].to_pydatetime()),
                "rows": len(versions),
                "data": packed(versions),
            }
            connection.execute(t.segment.insert().values(row))

    def compact(self, connection: sa.Connection, edge: datetime) -> int:
        """Copies the versions in plans to segments, so that the plans can be pruned. Deletes the
        versions that were replaced before ``edge``, and returns how many."""
        i, s, dropped = t.intent.c, t.segment.c, 0
        fresh = i.closed.is_not(None) & ~i.segmented
        for process in (
            connection.execute(sa.select(i.process).where(fresh).distinct()).scalars().all()
        ):
            parts, intents = self._of_plans(connection, process)
            self.append(connection, process, _sorted(parts))
            # Mark only the intents that were read: a run may have closed others meanwhile.
            for start in range(0, len(intents), IN):
                connection.execute(
                    t.intent.update()
                    .where(i.id.in_(intents[start : start + IN]))
                    .values(segmented=True)
                )
        for process in connection.execute(sa.select(s.process).distinct()).scalars().all():
            stored = _sorted(self._of_segments(connection, process))
            remaining = surviving(stored, edge)
            if len(remaining) < len(stored):
                dropped += len(stored) - len(remaining)
                connection.execute(t.segment.delete().where(s.process == process))
                self.append(connection, process, remaining)
        return dropped

    def forget_versions(self, connection: sa.Connection, person: Person) -> int:
        """Deletes one person's versions from the segments, and mentions of the person in other
        versions. Returns the number of deleted versions."""
        s, deleted = t.segment.c, 0
        for number, data in connection.execute(sa.select(s.id, s.data)).tuples().all():
            versions = unpacked(data)
            theirs = person.theirs(versions)
            others = versions[~theirs].reset_index(drop=True)
            redacted = person.redacted(others)
            if theirs.any() or redacted is not others:
                deleted += int(theirs.sum())
                connection.execute(
                    t.segment.update()
                    .where(s.id == number)
                    .values(rows=len(redacted), data=packed(redacted))
                )
        return deleted

    def _versions(
        self, connection: sa.Connection, process: str, until: datetime | None
    ) -> pd.DataFrame:
        """As :meth:`versions`, within a transaction."""
        return known(
            _sorted(
                [*self._of_segments(connection, process), *self._of_plans(connection, process)[0]]
            ),
            until,
        )

    def _of_segments(self, connection: sa.Connection, process: str) -> list[pd.DataFrame]:
        """Returns the segments of a process, oldest first."""
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
        """Returns the versions in plans that are not in a segment yet, and the IDs of their
        intents. The versions are the rows before each plan and after each of its changes."""
        e, i, p = t.ledger.c, t.intent.c, t.plan.c
        unsegmented = (i.process == process) & i.closed.is_not(None) & ~i.segmented
        query = sa.select(
            i.id, i.digest, i.start, i.stop, i.run, i.closed, i.entity, p.made
        ).join_from(t.intent, t.plan, i.digest == p.digest)
        intents = connection.execute(query.where(unsegmented).order_by(i.closed, i.id)).all()
        # Read after the intents: entries are written before their intent is closed.
        of_intents = sa.select(e.intent, e.place, e.key, e.person, e.outcome).join_from(
            t.ledger, t.intent, e.intent == i.id
        )
        of_intents = of_intents.where(unsegmented, e.key.is_not(None)).order_by(e.seq)
        entries = of(ENTRIES, connection.execute(of_intents).tuples())
        effective = dict(list(entries[entries["outcome"].isin(SHOWN)].groupby("intent")))
        rows_before: list[pd.DataFrame] = []
        rows_after: list[pd.DataFrame] = []
        plans: dict[str, tuple[pd.DataFrame, pd.DataFrame]] = {}
        for row in intents:
            if row.digest not in plans:
                # Only one plan is in memory at a time: that of a first load is large.
                plan = connection.execute(
                    sa.select(p.changes, p.before).where(p.digest == row.digest)
                ).one()
                plans = {row.digest: (unpacked(plan.changes), unpacked(plan.before))}
            changes, before = plans[row.digest]
            # The key of a person who was forgotten is empty.
            sent = changes["key"].iloc[row.start : row.stop].dropna()
            rows_before.append(before[before["key"].isin(sent)].assign(intent=row.id))
            of_row = effective.get(row.id, entries[:0])
            rows = changes[before.columns].iloc[of_row["place"].to_numpy(dtype=np.int64)]
            from_ledger = {name: of_row[name].array for name in ("key", "person", "outcome")}
            rows_after.append(rows.assign(intent=row.id, **from_ledger))
        versions = (
            [_of_intents(rows_before, rows_after, intents, entries, process)] if intents else []
        )
        return versions, [row.id for row in intents]


def _of_intents(
    rows_before: list[pd.DataFrame],
    rows_after: list[pd.DataFrame],
    intents: Sequence[Any],
    entries: pd.DataFrame,
    process: str,
) -> pd.DataFrame:
    """Converts rows of plans to versions, intent by intent.

    Args:
        rows_before: the rows when the plan of each intent was made.
        rows_after: the changed rows, with ``person`` and ``outcome``.
        intents: the intents, in the order in which they were closed.
        entries: their ledger entries.
        process: the process's name.
    """
    rows = [(n, i.id, i.run, aware(i.made), aware(i.closed)) for n, i in enumerate(intents)]
    facts = pd.DataFrame(rows, columns=["turn", "intent", "run", "made", "closed"])
    people = entries[["intent", "key", "person"]].drop_duplicates(["intent", "key"], keep="last")
    before = _stacked(rows_before).merge(people, on=["intent", "key"], how="left")
    before = before.merge(facts, on="intent")
    after = _stacked(rows_after).merge(facts, on="intent")
    before = before.assign(how="seen", known_from=before["made"])
    after = after.assign(how=after["outcome"].replace(SHOWN), known_from=after["closed"])
    both = pd.concat([before, after.drop(columns="outcome")], ignore_index=True)
    both = both.sort_values("turn", kind="stable", ignore_index=True)
    both = both.drop(columns=["turn", "intent", "made", "closed"])
    return _as_versions(both, intents[-1].entity, process)


def _as_versions(rows: pd.DataFrame, entity: str, process: str) -> pd.DataFrame:
    """Converts rows (with ``person``, ``how``, ``known_from`` and ``run``) to versions: the columns
    of VERSIONS first, then those of the entity."""
    head = typed(rows.assign(valid_from=valid_from(entity, rows), process=process), VERSIONS)
    return head.join(rows.drop(columns=[*VERSIONS], errors="ignore").reset_index(drop=True))


def _stacked(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Concatenates the rows of all parts. A column that an older mapping did not have is null in
    its rows."""
    dtypes = {name: dtype for part in reversed(parts) for name, dtype in part.dtypes.items()}
    return pd.concat(parts, ignore_index=True).astype(dtypes)


def _sorted(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Concatenates versions and sorts them by the time at which they became known."""
    nonempty = [part for part in parts if len(part)]
    if not nonempty:
        return empty(VERSIONS)
    return _stacked(nonempty).sort_values("known_from", kind="stable", ignore_index=True)
