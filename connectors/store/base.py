"""What all parts of the sync store share: the engine, the salt, upserts, moments, stored frames and
errors."""

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
"""Maximum number of values in one SQL ``IN``."""


class Part:
    """A part of the sync store. All parts share one engine."""

    engine: sa.Engine

    def salt(self) -> bytes:
        """Returns the secret salt for digests that people see outside the store. It is created once
        in each store."""
        table = t.salt
        with failing(), self.engine.begin() as connection:
            if connection.execute(sa.select(table.c.value)).first() is None:
                connection.execute(table.insert().values(value=secrets.token_hex(16)))
            # Two runs may each have inserted a salt. Both use the smallest.
            return bytes.fromhex(
                connection.execute(sa.select(sa.func.min(table.c.value))).scalar_one()
            )


@contextmanager
def failing() -> Iterator[None]:
    """Converts database errors to StoreFailed."""
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
    """Builds INSERT … ON CONFLICT DO UPDATE.

    Args:
        engine: decides the SQL dialect.
        table: the table.
        names: the columns to write.
        keys: the columns of the unique key.
        keep: columns whose values an existing row keeps.
        where: returns the condition under which an existing row is changed. It gets the new row.
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
    """Converts a moment to the store's form: UTC without an offset."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def aware(moment: datetime) -> datetime:
    """Converts a moment from the store to an aware datetime in UTC."""
    return moment.replace(tzinfo=UTC)


def packed(data: pd.DataFrame) -> bytes:
    """Serialises a frame as an Arrow IPC file with lz4 compression."""
    sink = pa.BufferOutputStream()
    pyarrow.feather.write_feather(
        pa.table({n: arrow(data[n]) for n in data.columns}), sink, compression="lz4"
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content


def unpacked(data: bytes) -> pd.DataFrame:
    """Reads a frame that :func:`packed` has written."""
    table = pyarrow.feather.read_table(pa.BufferReader(data))
    return frame({name: table[name].combine_chunks() for name in table.column_names})
