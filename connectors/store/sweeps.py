"""Stores the parts of an unfinished sweep, so that it can be resumed after an interruption."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from reconciliation.ask import Range
from reconciliation.snapshot import Snapshot
from reconciliation.spec import ProcessSpec
from reconciliation.sweep import FRESH

from . import schema as t
from .base import aware, failing, naive, packed, unpacked, upsert
from .runs import Runs

ATTEMPTS = 5
"""Number of runs after which an unfinished sweep is discarded. The next one starts over."""


class Sweeps(Runs):
    """Parts of sweeps."""

    def sweeping_since(self, spec: ProcessSpec, now: datetime) -> datetime | None:
        """Returns the start of the unfinished sweep that this run can resume, or ``None``.

        A sweep is discarded if it is too old, if too many runs have tried to finish it, or if this
        process or that of the opposite direction has written since: its parts may then be older
        than the data on both sides.
        """
        fingerprint, i, r = spec.fingerprint(), t.intent.c, t.run.c
        with failing(), self.engine.begin() as connection:
            began = connection.execute(
                sa.select(sa.func.min(t.sweep_part.c.began)).where(self._mine(spec))
            ).scalar()
            if began is None:
                return None
            tries = sa.select(sa.func.count()).where(
                r.process == spec.name,
                r.fingerprint == fingerprint,
                r.mode == "sweep",
                r.started >= began,
            )
            wrote = (
                sa.select(i.id)
                .where(i.process.in_([spec.name, spec.opposite or spec.name]), i.at > began)
                .limit(1)
            )
            old = aware(began) < now - FRESH
            if (
                old
                or connection.execute(tries).scalar_one() >= ATTEMPTS
                or connection.execute(wrote).first()
            ):
                self.drop_parts(connection, spec)
                return None
            return aware(began)

    def part(self, spec: ProcessSpec, part: Range) -> Snapshot | None:
        """Returns a stored part of the unfinished sweep, or ``None`` if it must be read."""
        s = t.sweep_part.c
        with failing(), self.engine.connect() as connection:
            row = connection.execute(
                sa.select(s.rows, s.rejected, s.figures).where(
                    self._mine(spec), s.part == _name(part)
                )
            ).first()
        if row is None:
            return None
        figures = row.figures
        return Snapshot(
            unpacked(row.rows),
            True,
            unpacked(row.rejected),
            figures["read"],
            0,
            figures["duplicates"],
            tuple(figures["appeared"]),
            tuple(figures["vanished"]),
        )

    def keep_part(
        self,
        spec: ProcessSpec,
        part: Range,
        read: Snapshot,
        began: datetime,
        run: str | None = None,
    ) -> None:
        """Stores a complete part of the sweep that began at ``began``. If ``run`` is given, its
        lease is checked."""
        figures = {
            "read": read.read,
            "duplicates": read.duplicates,
            "appeared": read.appeared,
            "vanished": read.vanished,
        }
        row = {
            "process": spec.name,
            "fingerprint": spec.fingerprint(),
            "part": _name(part),
            "began": naive(began),
            "rows": packed(read.frame),
            "rejected": packed(read.rejected),
            "figures": figures,
        }
        with failing(), self.engine.begin() as connection:
            if run:
                self.hold_lease(connection, spec, run)
            connection.execute(
                upsert(self.engine, t.sweep_part, list(row), ["process", "fingerprint", "part"]),
                row,
            )

    def drop_parts(self, connection: sa.Connection, spec: ProcessSpec) -> None:
        """Deletes the parts of a sweep."""
        connection.execute(t.sweep_part.delete().where(self._mine(spec)))

    @staticmethod
    def _mine(spec: ProcessSpec) -> sa.ColumnElement[bool]:
        return (t.sweep_part.c.process == spec.name) & (
            t.sweep_part.c.fingerprint == spec.fingerprint()
        )


def _name(part: Range) -> str:
    return f"{part.low or ''}/{part.high or ''}"
