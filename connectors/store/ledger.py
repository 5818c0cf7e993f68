"""Keeps the ledger: an intent before changes are sent, and an entry for each receipt after. Entries
are only appended."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

import pandas as pd
import sqlalchemy as sa

from reconciliation.frame import strings
from reconciliation.plan import Plan
from reconciliation.ports import Batch, Intent
from reconciliation.receipts import RECEIPTS
from reconciliation.spec import ProcessSpec

from . import schema as t
from .base import failing, naive
from .plans import Plans

WRITTEN = ("intent", "place", "key", "person", "kind", "fields", "reason", "outcome", "note")
"""Columns of a ledger entry, in the order in which they are inserted."""
STORY = 1000
"""Maximum number of entries in one :meth:`Ledger.story`. The latest are shown."""


class Ledger(Plans):
    """Intents and receipts."""

    def intend(
        self, run: str, spec: ProcessSpec, digest: str, start: int, stop: int, now: datetime
    ) -> Intent:
        """Records that the changes ``start`` to ``stop`` of a plan are about to be sent."""
        row = {
            "process": spec.name,
            "entity": spec.entity,
            "run": run,
            "digest": digest,
            "start": start,
            "stop": stop,
            "at": naive(now),
        }
        with failing(), self.engine.begin() as connection:
            self.hold_lease(connection, spec, run)
            key = connection.execute(t.intent.insert().values(row)).inserted_primary_key
        return Intent(int(key[0]) if key else 0, digest, start, stop)

    def receive(
        self, run: str, spec: ProcessSpec, batch: Batch, now: datetime, *, closes: bool = True
    ) -> None:
        """Writes the receipts of an intent and, if ``closes``, closes it. An intent stays open
        while some of its changes have no receipt."""
        with failing(), self.engine.begin() as connection:
            self.hold_lease(connection, spec, run)
            self.enter(connection, spec, batch, now, closes=closes)

    def enter(
        self,
        connection: sa.Connection,
        spec: ProcessSpec,
        batch: Batch,
        now: datetime,
        *,
        closes: bool = True,
    ) -> None:
        """As :meth:`receive`, within a transaction. An untried change gets no entry, and existing
        entries are not changed."""
        entered = set(
            connection.execute(
                sa.select(t.ledger.c.place).where(t.ledger.c.intent == batch.intent.id)
            ).scalars()
        )
        rows = [row for row in self._entries(spec, batch) if row[1] not in entered]
        if rows and self.engine.dialect.name == "sqlite":
            # Without SQLAlchemy, for speed: there is a row for every change.
            names, marks = ", ".join(f'"{name}"' for name in WRITTEN), ", ".join("?" * len(WRITTEN))
            connection.exec_driver_sql(f"INSERT INTO ledger ({names}) VALUES ({marks})", rows)
        elif rows:
            connection.execute(
                t.ledger.insert(), [dict(zip(WRITTEN, row, strict=True)) for row in rows]
            )
        if closes:
            connection.execute(
                t.intent.update().where(t.intent.c.id == batch.intent.id).values(closed=naive(now))
            )

    def _entries(self, spec: ProcessSpec, batch: Batch) -> list[tuple[Any, ...]]:
        """Returns ledger entries (:data:`WRITTEN`) for the receipts of a batch."""
        changes, receipts = batch.changes, batch.receipts
        # There may be fewer receipts than changes, when an interrupted batch is resolved later.
        at = _positions(strings(changes["key"]), strings(receipts["key"]))
        change = {name: strings(_at(changes, name, at)) for name in ("kind", "fields", "reason")}
        person = (
            strings(_at(changes, spec.person_column, at))
            if spec.person_column
            else [None] * len(at)
        )
        _, outcome, note, _ = (strings(receipts[name]) for name in RECEIPTS)
        # If the target gave a new row a different key, that key is used from now on.
        key = strings(receipts["given"].fillna(receipts["key"]))
        if spec.person_column == "key":
            person = key
        places = [batch.intent.start + i for i in at]
        intents = [batch.intent.id] * len(at)
        rows = zip(
            intents,
            places,
            key,
            person,
            change["kind"],
            change["fields"],
            change["reason"],
            outcome,
            note,
            strict=True,
        )
        return [row for row in rows if row[7] != "untried"]

    def open_intents(self, process: str) -> list[tuple[Intent, Plan]]:
        """Returns the open intents of a process, each with its part of the plan. The rows of an
        erased person are empty."""
        i = t.intent.c
        query = (
            sa.select(i.id, i.digest, i.start, i.stop)
            .where(i.process == process, i.closed.is_(None))
            .order_by(i.id)
        )
        with failing(), self.engine.connect() as connection:
            intents = [Intent(*row) for row in connection.execute(query)]
        with_plans = []
        for intent in intents:
            plan = self.plan(intent.digest)
            if plan is not None:
                changes = plan.changes.iloc[intent.start : intent.stop].reset_index(drop=True)
                before = plan.before[plan.before["key"].isin(changes["key"].dropna())].reset_index(
                    drop=True
                )
                with_plans.append((intent, replace(plan, changes=changes, before=before)))
        return with_plans

    def story(self, key: str) -> list[dict[str, Any]]:
        """Returns the latest changes of an HR row or of an accessplanit user's records, oldest
        first.

        Each has seq, ``at`` (UTC), entity, process, run, digest, place, key, kind, fields, reason,
        outcome and note. While the plan is kept, it also has ``before`` and ``after`` with the
        values of the changed fields.
        """
        e, i = t.ledger.c, t.intent.c
        columns = (
            e.seq,
            i.at,
            i.entity,
            i.process,
            i.run,
            i.digest,
            e.place,
            e.key,
            e.kind,
            e.fields,
            e.reason,
            e.outcome,
            e.note,
        )
        query = (
            sa.select(*columns)
            .join_from(t.ledger, t.intent, e.intent == i.id)
            .where((e.key == key) | (e.person == key))
        )
        with failing(), self.engine.connect() as connection:
            rows = [
                dict(row)
                for row in connection.execute(query.order_by(e.seq.desc()).limit(STORY)).mappings()
            ]
        plans: dict[str, Plan | None] = {}
        for row in rows:
            digest = row["digest"]
            if digest and digest not in plans:
                plans[digest] = self.plan(digest)
            row.update(_values(plans.get(digest), row))
        return rows[::-1]

    def enter_link_change(
        self,
        spec: ProcessSpec,
        key: str,
        person: str,
        kind: Literal["link", "unlink"],
        reason: str,
        now: datetime,
    ) -> None:
        """Adds an entry for a link that a person has set or removed.

        Args:
            spec: the process that links the entity.
            key: the key of the row in HR, or of the record in accessplanit if there is no row.
            person: the user's ID in accessplanit.
            kind: the action.
            reason: the sentence that ``hrsync why`` shows.
            now: the current time (UTC).
        """
        head = {
            "process": spec.name,
            "entity": spec.entity,
            "run": uuid.uuid4().hex,
            "digest": "",
            "start": 0,
            "stop": 0,
            "at": naive(now),
            "closed": naive(now),
        }
        with failing(), self.engine.begin() as connection:
            intent = connection.execute(t.intent.insert().values(head)).inserted_primary_key
            entry = {
                "intent": intent[0] if intent else 0,
                "key": key,
                "person": person,
                "kind": kind,
                "reason": reason,
                "outcome": "done",
            }
            connection.execute(t.ledger.insert().values(entry))


def _at(changes: pd.DataFrame, name: str, places: list[int]) -> pd.Series[Any]:
    return changes[name].take(places)


def _positions(keys: list[str | None], wanted: list[str | None]) -> list[int]:
    """Returns the position in ``keys`` of each wanted key."""
    if keys == wanted:
        return list(range(len(keys)))
    place = {key: i for i, key in enumerate(keys)}
    return [place[key] for key in wanted]


def _values(plan: Plan | None, row: dict[str, Any]) -> dict[str, dict[str, str | None]]:
    """Returns ``before`` and ``after`` with the fields that an entry has changed, as text."""
    if plan is None or row["place"] is None or row["place"] >= len(plan.changes):
        return {}
    change = plan.changes.iloc[row["place"]]
    # Only a created row may have a different key in the ledger: the one that the target gave.
    if change["key"] != row["key"] and change["kind"] != "create":
        return {}
    names = [name for name in (row["fields"] or "").split(",") if name]
    # An entry without fields is about the whole row.
    names = names or [name for name in plan.before.columns if name != "key"]
    old = plan.before[plan.before["key"] == change["key"]]
    after = {name: _text(change[name]) for name in names}
    before = {name: _text(old.iloc[0][name]) for name in names} if len(old) else {}
    return {
        "before": before,
        "after": {
            name: value for name, value in after.items() if value is not None or name in before
        },
    }


def _text(value: Any) -> str | None:
    return None if pd.isna(value) else str(value)
