"""Stores how far each process has read, and what: hashes of landed records, watermarks, and changes
to the fields of its feed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from reconciliation.errors import Misconfigured
from reconciliation.frame import arrow, of, strings
from reconciliation.ports import Hashes
from reconciliation.spec import ProcessSpec
from reconciliation.sweep import ORIGIN
from reconciliation.watermark import Watermark

from . import schema as t
from .base import IN, Part, aware, failing, naive, upsert


class Records(Part):
    """Landed records, watermarks and drift."""

    def known(self, process: str) -> Hashes:
        """Returns the sorted hashes of all landed records, except those with an open quarantine
        entry: if such a record returns to its old value, the run must see it to close the entry."""
        r, q = t.record.c, t.quarantine.c
        with_entry = sa.select(r.hash).join_from(
            t.record, t.quarantine, (r.process == q.process) & (r.key == q.key)
        )
        with failing(), self.engine.connect() as connection:
            quarantined = (
                connection.execute(with_entry.where(r.process == process, q.status == "open"))
                .scalars()
                .all()
            )
            result = connection.execute(
                sa.select(t.record.c.hash).where(t.record.c.process == process)
            )
            # Read from the driver's cursor, since there is one row per source record and
            # SQLAlchemy's rows take three times as long.
            fetch = result.cursor.fetchmany
            parts = [
                np.array(rows, dtype=np.int64).ravel() for rows in iter(lambda: fetch(50_000), [])
            ]
        hashes = np.concatenate([np.empty(0, dtype=np.int64), *parts])
        hashes.sort()
        return hashes[~np.isin(hashes, quarantined)] if quarantined else hashes

    def watermark(self, process: str, fingerprint: str) -> Watermark:
        """Returns the watermark of a process with this scope."""
        with failing(), self.engine.connect() as connection:
            return self.watermark_in(connection, process, fingerprint)

    def watermark_in(self, connection: sa.Connection, process: str, fingerprint: str) -> Watermark:
        """As :meth:`watermark`, within a transaction."""
        w = t.watermark.c
        row = connection.execute(
            sa.select(w.moment, w.as_of, w.waiting).where(
                w.process == process, w.fingerprint == fingerprint
            )
        ).first()
        return (
            Watermark(aware(row.moment) if row.moment else None, row.as_of, row.waiting)
            if row
            else Watermark()
        )

    def origin(self, spec: ProcessSpec) -> pd.DataFrame:
        """Returns the source record (``source_key``) of each target row (``key``) that this process
        has linked or loaded."""
        if spec.match:
            sides = (t.link.c.source_key, t.link.c.target_key)
            query = sa.select(*(sides if spec.direction == "to_hr" else sides[::-1])).where(
                t.link.c.entity == spec.links
            )
        else:
            query = sa.select(t.record.c.key, t.record.c.key.label("target")).where(
                t.record.c.process == spec.name
            )
        with failing(), self.engine.connect() as connection:
            return of(ORIGIN, [tuple(row) for row in connection.execute(query)])

    def gone(self, process: str) -> list[str]:
        """Returns the keys of records that an earlier run has found deleted in the source, and
        whose rows are still in the target."""
        with failing(), self.engine.connect() as connection:
            return list(
                connection.execute(
                    sa.select(t.gone.c.key).where(t.gone.c.process == process)
                ).scalars()
            )

    def note_gone(
        self,
        connection: sa.Connection,
        process: str,
        gone: Sequence[str],
        back: Sequence[str | None],
        *,
        whole: bool,
    ) -> None:
        """Updates the list of records deleted in the source.

        Args:
            connection: the transaction.
            process: the process's name.
            gone: keys of records found deleted.
            back: keys of records that were read.
            whole: the run was a sweep, so ``gone`` replaces the list.
        """
        g = t.gone.c
        known = set(connection.execute(sa.select(g.key).where(g.process == process)).scalars())
        outdated = known - set(gone) if whole else known & set(back)
        for keys in _some(sorted(outdated)):
            connection.execute(t.gone.delete().where(g.process == process, g.key.in_(keys)))
        fresh = [
            {"process": process, "key": key} for key in dict.fromkeys(gone) if key not in known
        ]
        if fresh:
            connection.execute(t.gone.insert(), fresh)

    def lose(self, connection: sa.Connection, spec: ProcessSpec, lost: pd.DataFrame) -> None:
        """Deletes the links of records (``sweep.ORIGIN``) that no longer exist on either side."""
        if not spec.match:
            return
        c = t.link.c
        source, target = (
            (c.source_key, c.target_key)
            if spec.direction == "to_hr"
            else (c.target_key, c.source_key)
        )
        pairs = [
            {"s": s, "k": k}
            for s, k in zip(strings(lost["source_key"]), strings(lost["key"]), strict=True)
        ]
        if pairs:
            deletion = t.link.delete().where(
                c.entity == spec.links, source == sa.bindparam("s"), target == sa.bindparam("k")
            )
            connection.execute(deletion, pairs)

    def land(self, connection: sa.Connection, process: str, landed: pd.DataFrame) -> None:
        """Stores the hashes of records that were processed to the end. Later runs skip them while
        they are unchanged."""
        columns = strings(landed["key"]), arrow(landed["hash"]).to_numpy().tolist()
        if self.engine.dialect.name == "sqlite":
            # Without SQLAlchemy, for speed: only this table has a row per source record.
            text = (
                'INSERT INTO record (process, "key", hash) VALUES (?, ?, ?)'
                " ON CONFLICT DO UPDATE SET hash = excluded.hash WHERE hash <> excluded.hash"
            )
            rows = list(zip([process] * len(landed), *columns, strict=True))
            if rows:
                connection.exec_driver_sql(text, rows)
            return
        values = [{"process": process, "key": k, "hash": h} for k, h in zip(*columns, strict=True)]
        if values:
            statement = upsert(
                self.engine,
                t.record,
                ["process", "key", "hash"],
                ["process", "key"],
                where=lambda new: t.record.c.hash != new.hash,
            )
            connection.execute(statement, values)

    def unland(self, connection: sa.Connection, process: str, keys: Sequence[str | None]) -> None:
        """Deletes the hashes of records, so that a run processes them when it reads them again."""
        r = t.record.c
        for chunk in _some(keys):
            connection.execute(t.record.delete().where(r.process == process, r.key.in_(chunk)))

    def note_scope(self, connection: sa.Connection, spec: ProcessSpec, now: datetime) -> None:
        """Stores the definition of a process with its filters, so that records which it leaves in
        quarantine can be read again in the same way."""
        row = {
            "process": spec.name,
            "fingerprint": spec.fingerprint(),
            "spec": spec.model_dump_json(),
            "used": naive(now),
        }
        connection.execute(upsert(self.engine, t.scope, list(row), ["process", "fingerprint"]), row)

    def scope(self, process: str, fingerprint: str | None) -> ProcessSpec:
        """Returns a process as stored under ``fingerprint`` or, if that is ``None``, as its latest
        run had it.

        Raises:
            Misconfigured: it is not stored.
        """
        s = t.scope.c
        query = sa.select(s.spec).where(s.process == process).order_by(s.used.desc()).limit(1)
        query = query if fingerprint is None else query.where(s.fingerprint == fingerprint)
        with failing(), self.engine.connect() as connection:
            stored = connection.execute(query).scalar()
        if stored is None:
            raise Misconfigured(
                f"The filters with which {process} has read these records are not known",
                "Run its deployment once: it reads them again. Replay those that remain.",
            )
        return ProcessSpec.model_validate_json(stored)

    def show_opposite(
        self, connection: sa.Connection, spec: ProcessSpec, written: Sequence[str], now: datetime
    ) -> None:
        """Lets the process of the opposite direction read again what this process has written, even
        if it knows the record or has it in quarantine."""
        if spec.opposite is None or not written:
            return
        q = t.quarantine.c
        self.unland(connection, spec.opposite, written)
        for i in range(0, len(written), IN):
            entries = t.quarantine.update().where(
                q.process == spec.opposite, q.status == "open", q.key.in_(written[i : i + IN])
            )
            connection.execute(entries.where(q.stage != "gone").values(next_attempt=naive(now)))

    def move(
        self, connection: sa.Connection, spec: ProcessSpec, before: Watermark, after: Watermark
    ) -> None:
        """Moves the watermark from ``before`` to ``after``, unless another run has moved it
        meanwhile."""
        fingerprint = spec.fingerprint()
        if after == before or self.watermark_in(connection, spec.name, fingerprint) != before:
            return
        row = {
            "process": spec.name,
            "fingerprint": fingerprint,
            "moment": naive(after.moment) if after.moment else None,
            "as_of": after.as_of,
            "waiting": after.waiting,
        }
        connection.execute(
            upsert(self.engine, t.watermark, list(row), ["process", "fingerprint"]), row
        )

    def news(
        self,
        connection: sa.Connection,
        process: str,
        drift: tuple[tuple[str, str], ...] | None,
        now: datetime,
    ) -> tuple[str, ...]:
        """Returns the changes to a feed's fields that were not reported before, and stores
        ``drift`` as the current changes. With ``None`` nothing is stored."""
        if drift is None:
            return ()
        d = t.drift.c
        known = dict(
            connection.execute(sa.select(d.field, d.change).where(d.process == process))
            .tuples()
            .all()
        )
        fresh = [(field, change) for field, change in drift if known.get(field) != change]
        outdated = [field for field in known if field not in dict(drift)]
        if outdated:
            connection.execute(t.drift.delete().where(d.process == process, d.field.in_(outdated)))
        rows = [
            {"process": process, "field": field, "change": change, "since": naive(now)}
            for field, change in fresh
        ]
        if rows:
            connection.execute(
                upsert(self.engine, t.drift, list(rows[0]), ["process", "field"]), rows
            )
        return tuple(f"{field} {change}" for field, change in fresh)


def _some(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Splits keys into chunks for SQL ``IN``."""
    for start in range(0, len(keys), IN):
        yield keys[start : start + IN]
