"""What every part of the sync store stands on: the engine, upserts, moments, errors."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from reconciliation.errors import StoreFailed
from reconciliation.frame import arrow, frame

from ..database import trouble
from . import schema as t

IN = 5000
"""Values in one IN."""


class Part:
    """A part of the sync store, over the engine that all parts share."""

    engine: sa.Engine

    def salt(self) -> bytes:
        """What is mixed into digests that leave the store: the same for all who use it, and known
        to nobody else."""
        table = t.salt
        with failing(), self.engine.begin() as connection:
            if connection.execute(sa.select(table.c.value)).first() is None:
                connection.execute(table.insert().values(value=secrets.token_hex(16)))
            return bytes.fromhex(
                connection.execute(sa.select(sa.func.min(table.c.value))).scalar_one()
            )


@contextmanager
def failing() -> Iterator[None]:
    """Turns what a database raises into StoreFailed."""
    try:
        yield
    except (SQLAlchemyError, OSError, ImportError) as error:
        what, remedy = trouble(error, "HRSYNC_STORE__URL")
        raise StoreFailed(f"The sync store {what}", remedy) from None


def upsert(
    engine: sa.Engine,
    table: sa.Table,
    names: Sequence[str],
    keys: Sequence[str],
    keep: Sequence[str] = (),
    where: Callable[[Any], sa.ColumnElement[bool]] | None = None,
) -> Any:
    """INSERT … ON CONFLICT DO UPDATE. ``names``: the columns written; ``keep``: those that an
    existing row keeps.

    ``where``: an existing row is changed only if it meets this condition, which may look at the row
    that was to come.
    """
    insert = (sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert)(table)
    insert = insert.values({name: sa.bindparam(name) for name in names})
    changed = {
        name: insert.excluded[name] for name in names if name not in keys and name not in keep
    }
    return insert.on_conflict_do_update(
        index_elements=list(keys), set_=changed, where=where(insert.excluded) if where else None
    )


def naive(moment: datetime) -> datetime:
    """A moment as it stands in the store: UTC without an offset."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def aware(moment: datetime) -> datetime:
    """A moment of the store as the instant it is."""
    return moment.replace(tzinfo=UTC)


def packed(data: pd.DataFrame) -> bytes:
    """A frame as an Arrow IPC file, lz4-compressed."""
    sink = pa.BufferOutputStream()
    pyarrow.feather.write_feather(
        pa.table({n: arrow(data[n]) for n in data.columns}), sink, compression="lz4"
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content


def unpacked(data: bytes) -> pd.DataFrame:
    """The frame of :func:`packed`."""
    table = pyarrow.feather.read_table(pa.BufferReader(data))
    return frame({name: table[name].combine_chunks() for name in table.column_names})
