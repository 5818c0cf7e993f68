"""Reads and writes an HR database through SQLAlchemy: a staging database that an HR suite imports
from, SQLite by default."""

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
from .schema import everything, mandatory_of, metadata, table_of

COMMIT = 20000
"""Number of rows written in one transaction. After a crash, the fate of the last transaction may be
unknown."""
LOOKUP = 5000
"""Maximum number of values in one ``IN``."""


class SqlSettings(BaseModel):
    """A staging database that an HR suite imports from, and how changed rows are found in it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    url: SecretStr | None = Field(
        None,
        description="SQLAlchemy URL of SQLite or PostgreSQL; if not set, the SQLite file hr.db "
        "below HRSYNC_HOME",
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
        """Reads the text ``null`` in an environment variable as no value."""
        return None if value == "null" else value


class SqlHr:
    """Implements :class:`reconciliation.ports.HrSystem` over the tables of :mod:`.schema`.

    Raises:
        TargetFailed: the database cannot be reached or its tables cannot be created.
        Misconfigured: the URL is not valid, or a newer release has used the database.
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
        """Erases nothing: all rows belong to the HR system itself."""
        return Erased()

    def population(self, entity: str) -> int:
        """Returns the number of rows of the entity."""
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
        """Reads rows of ``entity``, each once, with the key and ``columns`` (name -> kind). For
        ``lookups`` and ``since`` see :meth:`reconciliation.ports.HrSystem.read`.

        A row is rejected if the value of a cell does not fit the column's kind. SQLite stores such
        values, and one such row must not make the other rows unreadable.
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
        """Reads as :meth:`read` does, within the caller's transaction. Errors of the driver are
        passed on as they are."""
        table = table_of(entity, columns)
        key = _key(table)
        kinds = {str(key.name): "text", **columns}
        statement = sa.select(*(_uninterpreted(table.c[n], k) for n, k in kinds.items()))
        if since is not None:
            # SQLite's CURRENT_TIMESTAMP is text without a fraction of a second. As text it sorts
            # before the same second with a fraction, so the bound is one second earlier.
            low = since.astimezone(UTC).replace(tzinfo=None) - timedelta(seconds=1)
            statement = statement.where(table.c["written_at"] >= low)
        if lookups is None:
            return self._typed(kinds, _rows(connection, statement))
        statement = statement.add_columns(*(sa.cast(table.c[n], sa.Text) for n in lookups))
        statements = [
            statement.where(
                _may_match(table, name, values[i : i + LOOKUP], connection.dialect.name)
            )
            for name, values in lookups.items()
            for i in range(0, len(values), LOOKUP)
        ]
        by_key = {row[0]: row for each in statements for row in _rows(connection, each)}
        rows = list(by_key.values())
        return self._typed(kinds, _matching(table, list(kinds), lookups, rows))

    def _typed(self, kinds: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> Snapshot:
        read, rejected = typed(kinds, rows, self.no_end)
        return Snapshot(read, rejected=rejected)

    def rejections(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Returns receipts of changes that lack a mandatory value, or whose text could not be read
        back. All other checks are left to the database."""
        return unwritable(changes, mandatory_of(entity))

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Upserts all ``changes`` (creates, updates and closes) in one transaction. If a key occurs
        more than once, its last row is written.

        Raises:
            Refused: the database refused at least one row; nothing was written.
            TargetFailed: the database cannot be used.
        """
        with speaking():
            return transaction(
                self.engine, lambda connection: self.write(connection, entity, changes)
            )

    def write(self, connection: sa.Connection, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Writes as :meth:`apply` does, within the caller's transaction. Errors of the driver are
        passed on as they are."""
        columns = managed(changes)
        table = table_of(entity, columns)
        last = changes.drop_duplicates("key", keep="last").reset_index(drop=True)
        write = _write_sqlite if connection.dialect.name == "sqlite" else _write_postgresql
        existing = write(connection, table, columns, last)
        return as_found(changes, existing)


def _upsert(insert: Any, names: Sequence[str], now: sa.ColumnElement[Any]) -> Any:
    """Adds ON CONFLICT DO UPDATE to an INSERT.

    Args:
        insert: the INSERT of the dialect.
        names: its columns, with the key first.
        now: the expression for the current time in UTC, for ``written_at``.
    """
    changed = {name: insert.excluded[name] for name in names[1:]}
    return insert.on_conflict_do_update(
        index_elements=[names[0]], set_={**changed, "written_at": now}
    )


def _write_sqlite(
    connection: sa.Connection, table: sa.Table, columns: Sequence[str], changes: pd.DataFrame
) -> list[str]:
    """Upserts ``changes``, in which each key occurs once. Returns the keys of the creates whose row
    existed already.

    The rows go directly to the driver, which takes a third of the time that SQLAlchemy's parameter
    handling takes.
    """
    key = _key(table)
    names = [str(key.name), *columns]
    insert = sqlite.insert(table).values({n: sa.bindparam(n) for n in names})
    compiled = _upsert(insert, names, sa.func.current_timestamp()).compile(
        dialect=connection.dialect
    )
    values = [
        _for_driver(changes, name, key).to_numpy(zero_copy_only=False).tolist()
        for name in compiled.positiontup or names
    ]
    last_rowid = connection.exec_driver_sql(
        f"SELECT coalesce(max(rowid), 0) FROM {table.name}"
    ).scalar_one()
    cursor: Any = connection.connection.cursor()
    cursor.executemany(str(compiled), zip(*values, strict=True))
    # SQLite gives a new row a higher rowid than all existing rows.
    created = connection.exec_driver_sql(
        f"SELECT count(*) FROM {table.name} WHERE rowid > ?", (last_rowid,)
    ).scalar_one()
    if created == len(changes):
        return []
    creates = changes.loc[changes["kind"] == "create", "key"].tolist()
    if not creates:
        return []
    existing = connection.exec_driver_sql(
        f"SELECT json_group_array(k.value) FROM json_each(?) AS k JOIN {table.name} AS t ON "
        f"t.{key.name} = k.value WHERE t.rowid <= ?",
        (json.dumps(creates), last_rowid),
    ).scalar_one()
    return [str(value) for value in json.loads(existing)]


def _write_postgresql(
    connection: sa.Connection, table: sa.Table, columns: Sequence[str], changes: pd.DataFrame
) -> list[str]:
    """Copies ``changes`` into a temporary table and upserts from it with one statement. Arguments
    and result are those of :func:`_write_sqlite`."""
    key = _key(table)
    names = [str(key.name), *columns]
    quoted = ", ".join(f'"{name}"' for name in names)
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE incoming ON COMMIT DROP AS SELECT {quoted} FROM {table.name} "
        "WITH NO DATA"
    )
    csv = pa.BufferOutputStream()
    # Arrow quotes every text. So PostgreSQL reads "" as an empty text and an unquoted empty cell
    # as null.
    write_csv(
        pa.table({name: _for_driver(changes, name, key) for name in names}),
        csv,
        WriteOptions(include_header=False),
    )
    with connection.connection.cursor().copy(
        f"COPY incoming ({quoted}) FROM STDIN WITH (FORMAT csv)"
    ) as copy:
        copy.write(csv.getvalue())
    incoming = sa.table("incoming", *(sa.column(name, table.c[name].type) for name in names))
    insert = postgresql.insert(table).from_select(names, sa.select(incoming))
    upsert = _upsert(insert, names, sa.func.timezone("UTC", sa.func.now()))
    # xmax is 0 for an inserted row, and not 0 for an updated one.
    inserted: sa.ColumnElement[bool] = sa.literal_column("xmax = 0")
    is_new = {row[0]: row[1] for row in connection.execute(upsert.returning(key, inserted))}
    connection.exec_driver_sql("DROP TABLE incoming")
    creates = changes.loc[changes["kind"] == "create", "key"].tolist()
    return [value for value in creates if not is_new[value]]


def _for_driver(changes: pd.DataFrame, name: str, key: sa.Column[Any]) -> pa.Array:
    """Returns a column of ``changes`` for the driver. Dates and moments become text, in the format
    that SQLAlchemy's SQLite types write and PostgreSQL reads."""
    array = arrow(changes["key" if name == key.name else name])
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.timestamp("us"))
    return array.cast(pa.string()) if pa.types.is_temporal(array.type) else array


def _uninterpreted(column: sa.Column[Any], kind: str) -> sa.ColumnElement[Any]:
    """Returns an expression that gives the stored values without converting them. If SQLAlchemy
    converted them, any text in a Boolean column would be true, and an invalid date would fail the
    query."""
    return (
        sa.cast(column, sa.Text)
        if kind in ("day", "moment")
        else sa.type_coerce(column, sa.types.NullType())
    )


def _rows(connection: sa.Connection, statement: sa.Select[Any]) -> Sequence[Any]:
    """Returns all rows. If SQLite holds text that is not UTF-8, its undecodable bytes become lone
    surrogates (``surrogateescape``), so that only the rows with such text are rejected."""
    try:
        return connection.execute(statement).all()
    except OperationalError as error:
        driver: Any = connection.connection.dbapi_connection
        if connection.dialect.name != "sqlite" or "decode to UTF-8" not in str(error.orig):
            raise
        default = driver.text_factory
        driver.text_factory = lambda text: text.decode("utf-8", errors="surrogateescape")
        try:
            return connection.execute(statement).all()
        finally:
            driver.text_factory = default


def _open(settings: SqlSettings, home: Path) -> SqlHr:
    url = (
        settings.url.get_secret_value()
        if settings.url
        else f"sqlite:///{home.absolute() / 'hr.db'}"
    )
    return SqlHr(url, updated_column=settings.updated_column, no_end=settings.no_end)


def capabilities(updated_column: str | None) -> Capabilities:
    """Returns the capabilities of the database: all entities with all columns. Without
    ``updated_column``, the time of a row's last change is unknown."""
    return Capabilities(system="the HR database", entities=everything(updated_column))


def _key(table: sa.Table) -> sa.Column[Any]:
    return next(iter(table.primary_key.columns))


def _may_match(
    table: sa.Table, name: str, values: Sequence[str], dialect: str
) -> sa.ColumnElement[bool]:
    """Returns a condition for the rows that may have one of ``values`` in the column ``name``.

    A database cannot normalise identifiers as matching does. The condition therefore also selects
    every row whose identifier has characters other than printable ASCII, or spaces around it.
    :func:`_matching` then drops the rows that do not match.
    """
    column = table.c[name]
    if name not in table.info["folded"]:
        return column.in_(values)
    odd = column.op("GLOB")("*[^ -~]*") if dialect == "sqlite" else column.op("~")("[^ -~]")
    plain = sorted({identifier(value) for value in values})
    return sa.func.lower(column).in_(plain) | odd | (column != sa.func.trim(column))


def _matching(
    table: sa.Table, names: Sequence[str], lookups: Mapping[str, Sequence[str]], rows: Sequence[Any]
) -> list[Any]:
    """Returns the rows that match any of the ``lookups``. Identifiers are normalised as in
    matching.

    Each row has the cells of ``names``, followed by those of the look-up columns; the latter are
    cut off.
    """
    wanted = {
        n: {identifier(v) if n in table.info["folded"] else v for v in values}
        for n, values in lookups.items()
    }
    start = len(names)
    matching = []
    for row in rows:
        lookup_cells = zip(lookups, row[start:], strict=True)
        if any(
            v is not None and (identifier(str(v)) if n in table.info["folded"] else v) in wanted[n]
            for n, v in lookup_cells
        ):
            matching.append(row[:start])
    return matching


OF_THE_ROW = ("22", "23")
"""SQLSTATE classes of errors in a row: data exceptions (22) and violated constraints (23). All
other classes are faults of the database."""


@contextmanager
def speaking() -> Iterator[None]:
    """Turns errors of SQLAlchemy and the drivers into errors of hrsync.

    Raises:
        Refused: the database refused a row.
        TargetFailed: the database cannot be used.
    """
    try:
        yield
    except (IntegrityError, DataError) as error:
        raise Refused(_reason(error.orig)) from None
    except (sqlite3.IntegrityError, sqlite3.DataError) as error:
        # Rows that go directly to the driver raise the driver's errors; see _write_sqlite.
        raise Refused(_reason(error)) from None
    except (SQLAlchemyError, sqlite3.Error, psycopg.OperationalError) as error:
        raise _unreachable(error) from None
    except psycopg.Error as error:
        if str(error.sqlstate or "")[:2] not in OF_THE_ROW:
            raise _unreachable(error) from None
        raise Refused(_reason(error)) from None


CONSTRAINT = re.compile(r"(?:NOT NULL|UNIQUE|CHECK|FOREIGN KEY) constraint failed(?:: [\w., ]+)?")
"""SQLite's message about a violated constraint, which contains names but no values. The message of
a trigger can contain values, so it is never shown."""
REASONS = {
    "23502": "NOT NULL constraint failed",
    "23503": "FOREIGN KEY constraint failed",
    "23505": "UNIQUE constraint failed",
    "23514": "CHECK constraint failed",
    "22001": "a value is too long",
    "22003": "a number is out of range",
    "22007": "a value is not a valid date",
    "22008": "a date is out of range",
    "22021": "a text contains characters that the database cannot store",
    "22P02": "a value has the wrong type for its column",
}
"""SQLSTATE -> reason. It replaces PostgreSQL's message, which can contain values of the row."""


def _reason(error: Any) -> str:
    """Returns why the database refused a row, with table and column names but without any value."""
    state, diag = getattr(error, "sqlstate", None), getattr(error, "diag", None)
    if state is None:
        # SQLite's errors have no SQLSTATE.
        constraint = CONSTRAINT.match(str(error))
        return constraint[0] if constraint else "the database refused the row"
    where = ".".join(
        name
        for name in (getattr(diag, "table_name", None), getattr(diag, "column_name", None))
        if name
    )
    reason = REASONS.get(state, f"the database refused the row ({state})")
    return f"{reason}: {where}" if where else reason


def _unreachable(error: Exception) -> TargetFailed:
    what, remedy = trouble(error, "HRSYNC_SQL__URL")
    return TargetFailed(f"The HR database {what}", remedy)


CONNECTOR = Connector(
    "SQL staging database",
    SqlSettings,
    _open,
    lambda settings: capabilities(settings.updated_column),
)
