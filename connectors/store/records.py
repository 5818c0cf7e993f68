"""How far each process has read, and what it has seen: hashes of landed records, watermarks, the
fields of its feed."""

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
        """The hashes of all landed records, sorted. Records with an open quarantine entry are left
        out: one that is put back as it was must be looked at again, so that its entry ends."""
        r, q = t.record.c, t.quarantine.c
        again = sa.select(r.hash).join_from(
            t.record, t.quarantine, (r.process == q.process) & (r.key == q.key)
        )
        with failing(), self.engine.connect() as connection:
            entered = (
                connection.execute(again.where(r.process == process, q.status == "open"))
                .scalars()
                .all()
            )
            result = connection.execute(
                sa.select(t.record.c.hash).where(t.record.c.process == process)
            )
            # From the driver's cursor: SQLAlchemy's rows cost three times as much, and there is one
            # per source record.
            fetch = result.cursor.fetchmany
            parts = [
                np.array(rows, dtype=np.int64).ravel() for rows in iter(lambda: fetch(50_000), [])
            ]
        found = np.concatenate([np.empty(0, dtype=np.int64), *parts])
        found.sort()
        return found[~np.isin(found, entered)] if entered else found

    def watermark(self, process: str, fingerprint: str) -> Watermark:
        """How far this process with this scope has come."""
        with failing(), self.engine.connect() as connection:
            return self.watermark_in(connection, process, fingerprint)

    def watermark_in(self, connection: sa.Connection, process: str, fingerprint: str) -> Watermark:
        """:meth:`watermark` as seen by a transaction."""
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
        """Which record (``source_key``) each row of the target (``key``) comes from that this
        process has linked or loaded."""
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
        """Keys of the records that the source has no more, as an earlier run has found out, and
        whose row the target still has."""
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
        """Remembers records that are gone, and forgets those that are ``back``. whole: after a
        sweep no others are gone."""
        g = t.gone.c
        known = set(connection.execute(sa.select(g.key).where(g.process == process)).scalars())
        over = known - set(gone) if whole else known & set(back)
        for keys in _some(sorted(over)):
            connection.execute(t.gone.delete().where(g.process == process, g.key.in_(keys)))
        fresh = [
            {"process": process, "key": key} for key in dict.fromkeys(gone) if key not in known
        ]
        if fresh:
            connection.execute(t.gone.insert(), fresh)

    def lose(self, connection: sa.Connection, spec: ProcessSpec, lost: pd.DataFrame) -> None:
        """Drops the links of records (``sweep.ORIGIN``) that neither side has any more."""
        if not spec.match:
            return
        c = t.link.c
        ours, theirs = (
            (c.source_key, c.target_key)
            if spec.direction == "to_hr"
            else (c.target_key, c.source_key)
        )
        pairs = [
            {"s": s, "k": k}
            for s, k in zip(strings(lost["source_key"]), strings(lost["key"]), strict=True)
        ]
        if pairs:
            mine = t.link.delete().where(
                c.entity == spec.links, ours == sa.bindparam("s"), theirs == sa.bindparam("k")
            )
            connection.execute(mine, pairs)

    def land(self, connection: sa.Connection, process: str, landed: pd.DataFrame) -> None:
        """Remembers the hashes of records that need no second look."""
        columns = strings(landed["key"]), arrow(landed["hash"]).to_numpy().tolist()
        if self.engine.dialect.name == "sqlite":
            # At driver speed: this is the one table with a row per source record.
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
            changed = upsert(
                self.engine,
                t.record,
                ["process", "key", "hash"],
                ["process", "key"],
                where=lambda new: t.record.c.hash != new.hash,
            )
            connection.execute(changed, values)

    def unland(self, connection: sa.Connection, process: str, keys: Sequence[str | None]) -> None:
        """Forgets the hashes of records: they are looked at when they come again."""
        r = t.record.c
        for some in _some(keys):
            connection.execute(t.record.delete().where(r.process == process, r.key.in_(some)))

    def note_scope(self, connection: sa.Connection, spec: ProcessSpec, now: datetime) -> None:
        """Keeps what a process is, with its filters, so that what it leaves behind can be read
        again in the same way."""
        row = {
            "process": spec.name,
            "fingerprint": spec.fingerprint(),
            "spec": spec.model_dump_json(),
            "used": naive(now),
        }
        connection.execute(upsert(self.engine, t.scope, list(row), ["process", "fingerprint"]), row)

    def scope(self, process: str, fingerprint: str | None) -> ProcessSpec:
        """A process as it was when it was known by ``fingerprint``; as its latest run had it, if
        none is given.

        Raises:
            Misconfigured: no run has left it.
        """
        s = t.scope.c
        query = sa.select(s.spec).where(s.process == process).order_by(s.used.desc()).limit(1)
        query = query if fingerprint is None else query.where(s.fingerprint == fingerprint)
        with failing(), self.engine.connect() as connection:
            found = connection.execute(query).scalar()
        if found is None:
            raise Misconfigured(
                f"It is not known with which filters {process} has read these records",
                "Run its deployment once: it looks at them again, and what stays can be replayed.",
            )
        return ProcessSpec.model_validate_json(found)

    def show_opposite(
        self, connection: sa.Connection, spec: ProcessSpec, written: Sequence[str], now: datetime
    ) -> None:
        """What this process has written is looked at again by the process of the other direction,
        whatever that one knows of it."""
        if spec.opposite is None or not written:
            return
        q = t.quarantine.c
        self.unland(connection, spec.opposite, written)
        for i in range(0, len(written), IN):
            rests = t.quarantine.update().where(
                q.process == spec.opposite, q.status == "open", q.key.in_(written[i : i + IN])
            )
            connection.execute(rests.where(q.stage != "gone").values(next_attempt=naive(now)))

    def move(
        self, connection: sa.Connection, spec: ProcessSpec, before: Watermark, after: Watermark
    ) -> None:
        """Moves the watermark from ``before`` to ``after``; leaves it where another run has moved
        it meanwhile."""
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
        """Of what is odd about a feed's fields, what was not reported yet; what is no longer odd is
        forgotten."""
        if drift is None:
            return ()
        d = t.drift.c
        known = dict(
            connection.execute(sa.select(d.field, d.change).where(d.process == process))
            .tuples()
            .all()
        )
        fresh = [(field, change) for field, change in drift if known.get(field) != change]
        over = [field for field in known if field not in dict(drift)]
        if over:
            connection.execute(t.drift.delete().where(d.process == process, d.field.in_(over)))
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
    for start in range(0, len(keys), IN):
        yield keys[start : start + IN]
