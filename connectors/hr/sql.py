"""An HR database through SQLAlchemy: a staging database that an HR suite imports, SQLite by
default."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import psycopg
import pyarrow as pa
import sqlalchemy as sa
from pyarrow.csv import WriteOptions, write_csv
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, SQLAlchemyError

from reconciliation.capabilities import Capabilities
from reconciliation.errors import Refused, TargetFailed
from reconciliation.frame import arrow
from reconciliation.identifiers import identifier
from reconciliation.person import Erased, Person
from reconciliation.plan import managed
from reconciliation.receipts import as_found
from reconciliation.snapshot import Snapshot
from reconciliation.values import NO_END

from ..database import add_missing, connect, migrate, shown, transaction, trouble
from .cells import typed, unwritable
from .connector import Connector
from .schema import everything, metadata, table_of

COMMIT = 20000
"""Rows in one transaction: what a crash can undo, and leaves in doubt."""
LOOKUP = 5000
"""Values in one IN."""


class SqlSettings(BaseModel):
    """A staging database that an HR suite imports, and how it tells what has changed."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: SecretStr | None = Field(
        None, description="SQLAlchemy URL of SQLite or PostgreSQL; none: SQLite below HRSYNC_HOME"
    )
    updated_column: Literal["written_at"] | None = Field(
        "written_at",
        description="column with the moment (UTC) of a row's last change; null: "
        "changes are found by content",
    )

    no_end: tuple[date, ...] = Field(
        tuple(sorted(NO_END)), description="dates that stand for no date"
    )

    @field_validator("updated_column", mode="before")
    @classmethod
    def _null(cls, value: object) -> object:
        """The text ``null`` in an environment variable stands for no value."""
        return None if value == "null" else value


class SqlHr:
    """Implements :class:`reconciliation.ports.HrSystem` over the tables of :mod:`.schema`.

    Raises:
        TargetFailed: the database cannot be reached or its tables cannot be made.
    """

    def __init__(
        self,
        url: str,
        batch: int = COMMIT,
        *,
        updated_column: str | None = "written_at",
        no_end: Collection[date] = NO_END,
    ) -> None:
        self.batch, self.no_end = batch, no_end
        self.capabilities = capabilities(updated_column)
        try:
            self.engine = connect(url)
            self.name = shown(self.engine.url)
            migrate(
                self.engine,
                Path(__file__).parent / "migrations",
                "hrsync_hr_version",
                known_by="employees",
            )
            add_missing(self.engine, metadata)
        except (SQLAlchemyError, OSError, ImportError) as error:
            raise _unreachable(error) from None

    def close(self) -> None:
        """Closes the connections."""
        self.engine.dispose()

    def forget(self, person: Person) -> Erased:
        """Nothing: all rows are the system's own."""
        return Erased()

    def population(self, entity: str) -> int:
        """How many rows the entity has."""
        with speaking(), self.engine.connect() as connection:
            return int(
                connection.execute(
                    sa.select(sa.func.count()).select_from(table_of(entity))
                ).scalar_one()
            )

    def read(
        self,
        entity: str,
        columns: Mapping[str, str],
        lookups: Mapping[str, Sequence[str]] | None = None,
        since: datetime | None = None,
    ) -> Snapshot:
        """Rows of ``entity`` with its key and ``columns`` (name -> kind), each once; ``lookups``
        and ``since`` as the port says.

        A row with a cell that is not of its column's kind is rejected: SQLite keeps whatever
        somebody wrote, and one such row must not hide the others.
        """
        with speaking(), self.engine.connect() as connection:
            return self.select(connection, entity, columns, lookups, since)

    def select(
        self,
        connection: sa.Connection,
        entity: str,
        columns: Mapping[str, str],
        lookups: Mapping[str, Sequence[str]] | None,
        since: datetime | None = None,
    ) -> Snapshot:
        """:meth:`read` within a transaction; raises what the driver raises."""
        table = table_of(entity, columns)
        key = _key(table)
        kinds = {str(key.name): "text", **columns}
        statement = sa.select(*(_as_it_is(table.c[n], k) for n, k in kinds.items()))
        if since is not None:
            # SQLite's own moments are texts of whole seconds, which sort before the same second
            # with a fraction.
            low = since.astimezone(UTC).replace(tzinfo=None) - timedelta(seconds=1)
            statement = statement.where(table.c["written_at"] >= low)
        if lookups is None:
            return self._typed(kinds, _rows(connection, statement))
        statement = statement.add_columns(*(sa.cast(table.c[n], sa.Text) for n in lookups))
        statements = [
            statement.where(_one_of(table, name, values[i : i + LOOKUP], connection.dialect.name))
            for name, values in lookups.items()
            for i in range(0, len(values), LOOKUP)
        ]
        rows = list(
            {row[0]: row for each in statements for row in _rows(connection, each)}.values()
        )
        return self._typed(kinds, _found(table, list(kinds), lookups, rows))

    def _typed(self, kinds: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> Snapshot:
        read, rejected = typed(kinds, rows, self.no_end)
        return Snapshot(read, rejected=rejected)

    def rejections(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Receipts of changes with text that could not be read back; everything else the database
        refuses itself."""
        return unwritable(changes)

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Creates, updates and closes by upsert, in one transaction; of a key that comes twice the
        last row counts.

        Raises:
            Refused: the database refuses at least one row; nothing was written.
        """
        with speaking():
            return transaction(
                self.engine, lambda connection: self.write(connection, entity, changes)
            )

    def write(self, connection: sa.Connection, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """:meth:`apply` within a transaction; raises what the driver raises."""
        columns = managed(changes)
        table = table_of(entity, columns)
        last = changes.drop_duplicates("key", keep="last").reset_index(drop=True)
        write = _by_driver if connection.dialect.name == "sqlite" else _by_copy
        there = write(connection, table, columns, last)
        return as_found(changes, there)


def _upsert(insert: Any, names: Sequence[str], now: sa.ColumnElement[Any]) -> Any:
    """An INSERT of ``names``, the first of which is the key, with ON CONFLICT DO UPDATE. now: the
    database's moment, in UTC."""
    changed = {name: insert.excluded[name] for name in names[1:]}
    return insert.on_conflict_do_update(
        index_elements=[names[0]], set_={**changed, "written_at": now}
    )


def _by_driver(
    connection: sa.Connection, table: sa.Table, columns: Sequence[str], changes: pd.DataFrame
) -> list[str]:
    """Writes tuples at driver speed, past SQLAlchemy: a third of the time of its own parameter
    handling.

    Returns the keys of the creates that the table had already.
    """
    key = _key(table)
    names = [str(key.name), *columns]
    insert = sqlite.insert(table).values({n: sa.bindparam(n) for n in names})
    compiled = _upsert(insert, names, sa.func.current_timestamp()).compile(
        dialect=connection.dialect
    )
    values = [
        _plain(changes, name, key).to_numpy(zero_copy_only=False).tolist()
        for name in compiled.positiontup or names
    ]
    newest = connection.exec_driver_sql(
        f"SELECT coalesce(max(rowid), 0) FROM {table.name}"
    ).scalar_one()
    cursor: Any = connection.connection.cursor()
    cursor.executemany(str(compiled), zip(*values, strict=True))
    # A row that is made gets a number above all others.
    made = connection.exec_driver_sql(
        f"SELECT count(*) FROM {table.name} WHERE rowid > ?", (newest,)
    ).scalar_one()
    if made == len(changes):
        return []
    creates = changes.loc[changes["kind"] == "create", "key"].tolist()
    older = (
        f"SELECT json_group_array(k.value) FROM json_each(?) AS k JOIN {table.name} AS t ON "
        f"t.{key.name} = k.value WHERE t.rowid <= ?"
    )
    there = (
        connection.exec_driver_sql(older, (json.dumps(creates), newest)).scalar_one()
        if creates
        else "[]"
    )
    return [str(key) for key in json.loads(there)]


def _by_copy(
    connection: sa.Connection, table: sa.Table, columns: Sequence[str], changes: pd.DataFrame
) -> list[str]:
    """COPY into a temporary table, then one INSERT … SELECT … ON CONFLICT. Returns as
    :func:`_by_driver`."""
    key = _key(table)
    names = [str(key.name), *columns]
    quoted = ", ".join(f'"{name}"' for name in names)
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS SELECT {quoted} FROM {table.name} "
        "WITH NO DATA"
    )
    rendered = pa.BufferOutputStream()
    # Arrow quotes every text, so that an empty one is told apart from none.
    write_csv(
        pa.table({name: _plain(changes, name, key) for name in names}),
        rendered,
        WriteOptions(include_header=False),
    )
    with connection.connection.cursor().copy(
        f"COPY incoming ({quoted}) FROM STDIN WITH (FORMAT csv)"
    ) as copy:
        copy.write(rendered.getvalue())
    incoming = sa.table("incoming", *(sa.column(name, table.c[name].type) for name in names))
    insert = postgresql.insert(table).from_select(names, sa.select(incoming))
    upsert = _upsert(insert, names, sa.func.timezone("UTC", sa.func.now()))
    new: sa.ColumnElement[bool] = sa.literal_column("xmax = 0")
    made = {row[0]: row[1] for row in connection.execute(upsert.returning(key, new))}
    connection.exec_driver_sql("DROP TABLE incoming")
    creates = changes.loc[changes["kind"] == "create", "key"].tolist()
    return [name for name in creates if not made[name]]


def _plain(changes: pd.DataFrame, name: str, key: sa.Column[Any]) -> pa.Array:
    """A column for the driver; dates are texts, as SQLAlchemy's own SQLite types write them and
    PostgreSQL reads them."""
    array = arrow(changes["key" if name == key.name else name])
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.timestamp("us"))
    return array.cast(pa.string()) if pa.types.is_temporal(array.type) else array


def _as_it_is(column: sa.Column[Any], kind: str) -> sa.ColumnElement[Any]:
    """A column without the driver's reading of it: for SQLAlchemy any text in a Boolean is true,
    and an odd date ends the query."""
    return (
        sa.cast(column, sa.Text)
        if kind in ("day", "moment")
        else sa.type_coerce(column, sa.types.NullType())
    )


def _rows(connection: sa.Connection, statement: sa.Select[Any]) -> Sequence[Any]:
    """All rows. Where SQLite holds text that is not UTF-8, its bytes become half characters, which
    no reader accepts."""
    try:
        return connection.execute(statement).all()
    except OperationalError as error:
        driver: Any = connection.connection.dbapi_connection
        if connection.dialect.name != "sqlite" or "decode to UTF-8" not in str(error.orig):
            raise
        usual, driver.text_factory = (
            driver.text_factory,
            lambda text: text.decode("utf-8", errors="surrogateescape"),
        )
        try:
            return connection.execute(statement).all()
        finally:
            driver.text_factory = usual


def _open(settings: SqlSettings, home: Path) -> SqlHr:
    url = (
        settings.url.get_secret_value()
        if settings.url
        else f"sqlite:///{home.absolute() / 'hr.db'}"
    )
    return SqlHr(url, updated_column=settings.updated_column, no_end=settings.no_end)


def capabilities(updated_column: str | None) -> Capabilities:
    """All entities with all columns. Without ``updated_column`` the database does not tell when a
    row was changed."""
    return Capabilities(system="the HR database", entities=everything(updated_column))


def _key(table: sa.Table) -> sa.Column[Any]:
    return next(iter(table.primary_key.columns))


def _one_of(
    table: sa.Table, name: str, values: Sequence[str], dialect: str
) -> sa.ColumnElement[bool]:
    """Rows that may have one of ``values`` in a column: for an identifier also those whose value
    the database cannot compare itself, because it is not plain ASCII or has space around it
    (:func:`_found` decides)."""
    column = table.c[name]
    if name not in table.info["folded"]:
        return column.in_(values)
    odd = column.op("GLOB")("*[^ -~]*") if dialect == "sqlite" else column.op("~")("[^ -~]")
    plain = sorted({identifier(value) for value in values})
    return sa.func.lower(column).in_(plain) | odd | (column != sa.func.trim(column))


def _found(
    table: sa.Table, names: Sequence[str], lookups: Mapping[str, Sequence[str]], rows: Sequence[Any]
) -> list[Any]:
    """The rows that have one of the values asked for in one of the columns, by the normalisation
    that matching uses.

    A row ends with the values of the look-up columns.
    """
    wanted = {
        n: {identifier(v) if n in table.info["folded"] else v for v in values}
        for n, values in lookups.items()
    }
    start = len(names)
    found = []
    for row in rows:
        asked = zip(lookups, row[start:], strict=True)
        if any(
            v is not None and (identifier(str(v)) if n in table.info["folded"] else v) in wanted[n]
            for n, v in asked
        ):
            found.append(row[:start])
    return found


OF_THE_ROW = ("22", "23")
"""Classes of SQLSTATE that are about what a row holds: data exceptions and broken constraints. All
others are about the database."""


@contextmanager
def speaking() -> Iterator[None]:
    """What a database says, as what it means for us.

    Raises:
        Refused: it refuses a row. TargetFailed: it cannot be used.
    """
    try:
        yield
    except (IntegrityError, DataError) as error:
        raise Refused(_reason(error.orig)) from None
    except (sqlite3.IntegrityError, sqlite3.DataError) as error:
        # What goes past SQLAlchemy for speed has errors of its own.
        raise Refused(_reason(error)) from None
    except (SQLAlchemyError, sqlite3.Error, psycopg.OperationalError) as error:
        raise _unreachable(error) from None
    except psycopg.Error as error:
        if str(error.sqlstate or "")[:2] not in OF_THE_ROW:
            raise _unreachable(error) from None
        raise Refused(_reason(error)) from None


OURS = re.compile(r"(?:NOT NULL|UNIQUE|CHECK|FOREIGN KEY) constraint failed(?:: [\w., ]+)?")
"""What SQLite says of a constraint: names only. A trigger may say anything."""
STATES = {
    "23502": "NOT NULL constraint failed",
    "23503": "FOREIGN KEY constraint failed",
    "23505": "UNIQUE constraint failed",
    "23514": "CHECK constraint failed",
    "22001": "a value is too long",
    "22003": "a number is out of range",
    "22007": "a value is not a valid date",
    "22008": "a date is out of range",
    "22021": "a text holds characters that the database does not keep",
    "22P02": "a value is not of the column's kind",
}
"""SQLSTATE -> what it means. The server's own words may hold the row's values."""


def _reason(error: Any) -> str:
    """Why the database refused a row: our words and names of columns, never a value."""
    state, diag = getattr(error, "sqlstate", None), getattr(error, "diag", None)
    if state is None:
        found = OURS.match(str(error))
        return found[0] if found else "the database refuses the row"
    where = ".".join(
        name
        for name in (getattr(diag, "table_name", None), getattr(diag, "column_name", None))
        if name
    )
    what = STATES.get(state, f"the database refuses the row ({state})")
    return f"{what}: {where}" if where else what


def _unreachable(error: Exception) -> TargetFailed:
    what, remedy = trouble(error, "HRSYNC_SQL__URL")
    return TargetFailed(f"The HR database {what}", remedy)


CONNECTOR = Connector(
    "SQL staging database",
    SqlSettings,
    _open,
    lambda settings: capabilities(settings.updated_column),
)
