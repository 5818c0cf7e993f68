"""Erasing one person, and pruning what is past its retention."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from reconciliation.errors import StalePlan

from . import schema as t
from .base import IN, failing, naive, packed, unpacked
from .history import History
from .plans import OPEN, Plans


class Privacy(History, Plans):
    """What the store forgets."""

    def forget(self, person: str, further: Sequence[str], now: datetime) -> dict[str, int]:
        """Erases the data of one accessplanit user: rows per table.

        ``person``: the user's ID. ``further``: other keys that are that person's, such as of their employee and of
        their awards in HR. Plans lose the person's rows. What remains is a tombstone that says when and how much, not
        who; it prevents nothing: if accessplanit still has the person, the next run sees a new one.

        Raises:
            StalePlan: a plan is being applied, which would write down again what is to be forgotten.
        """
        with failing(), self.engine.begin() as connection:
            open_ = t.plan.c.status.in_(OPEN) & self.applying()
            if connection.execute(sa.select(t.plan.c.digest).where(open_).limit(1)).first():
                raise StalePlan(
                    "Nothing was forgotten: a plan is being applied", "Wait for its run to end (hrsync status), then run again."
                )
            e, link = t.ledger.c, t.link.c
            own = set(connection.execute(sa.select(e.key).where(e.person == person, e.key.is_not(None))).scalars())
            linked = set(connection.execute(sa.select(link.target_key).where(link.source_key == person)).scalars())
            known = {person, *further, *own, *linked}
            # Records in accessplanit that are rows of that person in HR.
            records = [s for s, k in connection.execute(sa.select(link.source_key, link.target_key)).tuples() if k in known]
            keys = sorted({*known, *records})
            erased = {
                "hints": self._unhint(connection, person, keys),
                "plans": self._redact(connection, set(keys)),
                "versions": self.forget_versions(connection, person, set(keys)),
                "ledger": self._erase_entries(connection, person, keys),
                "links": _delete(connection, t.link, link.source_key, [person]) + _delete(connection, t.link, link.target_key, keys),
                "agreements": _delete(connection, t.agreement, t.agreement.c.key, keys),
                "records": _delete(connection, t.record, t.record.c.key, keys),
                "quarantine": _delete(connection, t.quarantine, t.quarantine.c.key, keys)
                + _delete(connection, t.quarantine, t.quarantine.c.waits_for, [person]),
                "sweeps": connection.execute(t.sweep_part.delete()).rowcount,
            }
            connection.execute(t.tombstone.insert().values(id=uuid.uuid4().hex, at=naive(now), erased=erased))
        if self.engine.dialect.name == "sqlite":
            # What was deleted must not stay readable in free pages or in the log.
            with failing(), self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.exec_driver_sql("VACUUM")
        return erased

    def _unhint(self, connection: sa.Connection, person: str, keys: list[str]) -> int:
        """Hints of the person, of their records, and of those that are theirs by the look of their keys (``person~course``)."""
        h, q = t.hint.c, t.quarantine.c
        waited = list(connection.execute(sa.select(q.key).where(q.waits_for == person, q.key.is_not(None))).scalars())
        rows = connection.execute(t.hint.delete().where(h.key.startswith(f"{person}~", autoescape=True))).rowcount
        return int(rows) + _delete(connection, t.hint, h.key, [*keys, *waited])

    def _erase_entries(self, connection: sa.Connection, person: str, keys: list[str]) -> int:
        """The entries stay, so that counts add up; whom they were about does not."""
        blank = {"key": None, "person": None, "fields": None, "note": None}
        e = t.ledger.c
        rows = connection.execute(t.ledger.update().where(e.person == person).values(blank)).rowcount
        for i in range(0, len(keys), IN):
            rows += connection.execute(t.ledger.update().where(e.key.in_(keys[i : i + IN])).values(blank)).rowcount
        return int(rows)

    def _redact(self, connection: sa.Connection, keys: set[str]) -> int:
        """Takes the person's rows out of every kept plan; returns of how many."""
        found = 0
        # A draft holds records, links and reasons beside its changes: it is given up rather than searched.
        waits = t.plan.c.status.in_(OPEN)
        connection.execute(t.plan_part.delete())
        connection.execute(t.plan.update().where(waits).values(status="stale", draft=None))
        for digest in list(connection.execute(sa.select(t.plan.c.digest)).scalars()):
            row = connection.execute(sa.select(t.plan.c.changes, t.plan.c.before).where(t.plan.c.digest == digest)).one()
            kept: dict[str, Any] = {}
            for name in ("changes", "before"):
                data = unpacked(getattr(row, name))
                cut = _blanked(data, keys)
                if cut is not None:
                    kept[name] = packed(cut)
            if kept:
                found += 1
                connection.execute(t.plan.update().where(t.plan.c.digest == digest).values(**kept, redacted=True))
        return found

    def prune(self, before: datetime, history: datetime, hour_seconds: float = 3600.0) -> dict[str, int]:
        """Deletes plans (and with them the before and after of ledger entries), closed quarantine entries, hints, figures of runs,
        refusals, and requests counted (by hours of ``hour_seconds``), from before this moment; rows per table. A plan that an
        open intent needs stays.

        What the plans say of rows is kept as versions; of these go the ones that were replaced before ``history``.
        """
        edge, p, q, past = naive(before), t.plan.c, t.quarantine.c, int(before.timestamp() // hour_seconds)
        needed = sa.select(t.intent.c.digest).where(t.intent.c.closed.is_(None))
        with failing(), self.engine.begin() as connection:
            old = list(connection.execute(sa.select(p.digest).where(p.made < edge, p.digest.not_in(needed), ~self.applying())).scalars())
            closed = t.quarantine.delete().where(q.status.in_(("replayed", "vanished")), q.last_seen < edge)
            raw = t.quarantine.update().where(q.status == "discarded", q.last_seen < edge, q.raw.is_not(None))
            replaced = self.compact(connection, history)
            return {
                "versions": replaced,
                "plans": _delete(connection, t.plan, p.digest, old),
                "plan parts": _delete(connection, t.plan_part, t.plan_part.c.digest, old),
                "quarantine": int(connection.execute(closed).rowcount) + int(connection.execute(raw.values(raw=None)).rowcount),
                "runs": int(connection.execute(t.run.delete().where(t.run.c.started < edge)).rowcount),
                "sweeps": int(connection.execute(t.sweep_part.delete().where(t.sweep_part.c.began < edge)).rowcount),
                "hints": int(connection.execute(t.hint.delete().where(t.hint.c.received < edge)).rowcount),
                "leases": int(connection.execute(t.lease.delete().where(t.lease.c.until < edge)).rowcount),
                "deliveries": int(connection.execute(t.delivery.delete().where(t.delivery.c.received < edge)).rowcount),
                "refusals": int(connection.execute(t.refusal.delete().where(t.refusal.c.day < edge.date())).rowcount),
                "hours": int(connection.execute(t.budget.delete().where(t.budget.c.hour < past)).rowcount),
            }


def _blanked(data: pd.DataFrame, keys: set[str]) -> pd.DataFrame | None:
    """``data`` with the rows of ``keys`` emptied in their places (the ledger counts them); ``None`` if it has none."""
    mask = data["key"].isin(keys)
    if not mask.any():
        return None
    kept = data.copy()
    kept.loc[mask, [name for name in data.columns if name != "kind"]] = pd.NA
    return kept


def _delete(connection: sa.Connection, table: sa.Table, column: sa.ColumnElement[Any], values: Sequence[str]) -> int:
    rows = 0
    for i in range(0, len(values), IN):
        rows += connection.execute(table.delete().where(column.in_(values[i : i + IN]))).rowcount
    return rows
