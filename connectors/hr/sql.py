"""An HR database through SQLAlchemy: a staging database that an HR suite imports, SQLite by default."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from reconciliation.errors import Misconfigured, Refused, TargetFailed
from reconciliation.frame import ARROW, arrow, concat, empty, frame
from reconciliation.plan import managed
from reconciliation.receipts import RECEIPTS, done
from reconciliation.snapshot import Snapshot

from ..database import connect, migrate
from .schema import metadata

BATCH = 5000
"""Rows handed to the driver at a time."""
COMMIT = 20000
"""Rows in one transaction: what a crash can undo, and leaves in doubt."""
LOOKUP = 5000
"""Values in one IN."""
CUSTOM = "custom_for_accessplanit"
"""Column with the custom fields of accessplanit that HR keeps, as a JSON object."""
Broken = tuple[str | None, str, str, str | None]
"""A row that cannot be read: its key, the column, the reason, the row itself."""


class SqlHr:
    """Implements :class:`reconciliation.ports.Target` over the tables of :mod:`.schema`.

    Raises:
        TargetFailed: the database cannot be reached or its tables cannot be made.
    """

    def __init__(self, url: str, batch: int = COMMIT) -> None:
        self.batch = batch
        try:
            self.engine = connect(url)
            self.name = self.engine.url.render_as_string(hide_password=True)
            migrate(self.engine, Path(__file__).parent / "migrations")
        except (SQLAlchemyError, OSError, ImportError) as error:
            raise _unreachable(error) from None

    def close(self) -> None:
        """Closes the connections."""
        self.engine.dispose()

    def population(self, entity: str) -> int:
        """How many rows the entity has."""
        try:
            with self.engine.connect() as connection:
                return int(connection.execute(sa.select(sa.func.count()).select_from(_table(entity))).scalar_one())
        except SQLAlchemyError as error:
            raise _unreachable(error) from None

    def read(self, entity: str, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None) -> Snapshot:
        """Rows of ``entity`` with its key and ``columns`` (name -> kind), each once; ``lookups`` as the port says."""
        table = _table(entity, columns)
        key = _key(table)
        chosen = [key, *(table.c[name] for name in columns)]
        kinds = {str(key.name): "text", **columns}
        try:
            with self.engine.connect() as connection:
                statement = sa.select(*chosen)
                if lookups is None:
                    return Snapshot(_frame(kinds, connection.execute(statement).all()))
                parts = [
                    _frame(kinds, connection.execute(statement.where(_one_of(table, name, values[i : i + LOOKUP]))).all())
                    for name, values in lookups.items()
                    for i in range(0, len(values), LOOKUP)
                ]
        except SQLAlchemyError as error:
            raise _unreachable(error) from None
        rows = concat(parts) if parts else empty(kinds)
        return Snapshot(rows if len(parts) < 2 else rows.drop_duplicates(str(key.name), ignore_index=True))

    def rows(
        self,
        entity: str,
        columns: Mapping[str, str],
        lookups: Mapping[str, Sequence[str]] | None,
        since: tuple[str, datetime] | None = None,
    ) -> tuple[pd.DataFrame, list[Broken]]:
        """As :meth:`read`, of rows that people have written: those that hold what is no date are told apart.

        since: (column, moment): rows changed then or later.
        """
        table = _table(entity, list(columns))
        key = _key(table)
        kinds = {str(key.name): "text", **columns}
        # As text: SQLite keeps whatever somebody wrote into a date, and one such row must not hide the others.
        chosen = [sa.cast(table.c[n], sa.Text) if k in ("day", "moment") else table.c[n] for n, k in kinds.items()]
        statements = [sa.select(*chosen)]
        if lookups is not None:
            statements = [
                sa.select(*chosen).where(_one_of(table, name, values[i : i + LOOKUP]))
                for name, values in lookups.items()
                for i in range(0, len(values), LOOKUP)
            ]
        if since is not None:
            moment = since[1].astimezone(UTC).replace(tzinfo=None)
            statements = [s.where(table.c[since[0]] >= moment) for s in statements]
        try:
            with self.engine.connect() as connection:
                found = {row[0]: row for statement in statements for row in connection.execute(statement)}
        except SQLAlchemyError as error:
            raise _unreachable(error) from None
        good: list[list[Any]] = []
        broken: list[Broken] = []
        for row in found.values():
            parsed, wrong = _parsed(kinds, row)
            if wrong is None:
                good.append(parsed)
            else:
                broken.append((row[0], wrong, "is no date", json.dumps(dict(zip(kinds, row, strict=True)), default=str)))
        return _frame(kinds, good), broken

    def unfit(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """None: the database says itself what it refuses."""
        return empty(RECEIPTS)

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Creates, updates and closes by upsert, in one transaction.

        Raises:
            Refused: the database refuses at least one row; nothing was written.
        """
        columns = managed(changes)
        upsert = _Upsert(self.engine, _table(entity, columns), columns)
        try:
            with self.engine.begin() as connection:
                for start in range(0, len(changes), BATCH):
                    upsert.execute(connection, upsert.rows(changes.iloc[start : start + BATCH]))
        except (IntegrityError, DataError) as error:
            raise Refused(_reason(error)) from None
        except SQLAlchemyError as error:
            raise _unreachable(error) from None
        return done(changes)


class _Upsert:
    """INSERT … ON CONFLICT DO UPDATE over one table.

    SQLite is spoken to with tuples at driver speed (a third of the time of SQLAlchemy's own parameter handling);
    other databases through SQLAlchemy's types.
    """

    def __init__(self, engine: sa.Engine, table: sa.Table, columns: Sequence[str]) -> None:
        self.names = [str(_key(table).name), *columns]
        self.by_driver = engine.dialect.name == "sqlite"
        insert = sqlite.insert(table) if self.by_driver else postgresql.insert(table)
        insert = insert.values({name: sa.bindparam(name) for name in self.names})
        changed = {name: insert.excluded[name] for name in columns}
        self.statement = insert.on_conflict_do_update(
            index_elements=[self.names[0]], set_={**changed, "written_at": sa.func.current_timestamp()}
        )
        compiled = self.statement.compile(dialect=engine.dialect)
        self.text = str(compiled)
        self.order = list(compiled.positiontup or self.names)

    def rows(self, changes: pd.DataFrame) -> list[tuple[Any, ...]]:
        """One tuple per change, in the order of the statement's parameters."""
        column = {name: arrow(changes["key" if name == self.names[0] else name]) for name in self.names}
        order = self.order if self.by_driver else self.names
        return list(zip(*(_values(column[name], self.by_driver) for name in order), strict=True))

    def execute(self, connection: sa.Connection, rows: list[tuple[Any, ...]]) -> None:
        """Writes the rows; raises what the driver raises."""
        if self.by_driver:
            connection.exec_driver_sql(self.text, rows)
        else:
            connection.execute(self.statement, [dict(zip(self.names, row, strict=True)) for row in rows])


def _values(array: pa.Array, as_text: bool) -> list[Any]:
    """Python values for a driver; for SQLite dates as SQLAlchemy's own SQLite types write them."""
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.timestamp("us"))
    if pa.types.is_temporal(array.type):
        if not as_text:
            return array.to_pylist()  # type: ignore[no-any-return]
        array = array.cast(pa.string())
    return array.to_numpy(zero_copy_only=False).tolist()  # type: ignore[no-any-return]


def _frame(kinds: Mapping[str, str], rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    values = list(zip(*rows, strict=True)) or [()] * len(kinds)
    found: dict[str, pa.Array] = {}
    for (name, kind), column in zip(kinds.items(), values, strict=True):
        naive = pa.array(column, pa.timestamp("us") if kind == "moment" else ARROW[kind])
        found[name] = pc.assume_timezone(naive, "UTC") if kind == "moment" else naive
    return frame(found)


def _parsed(kinds: Mapping[str, str], row: Sequence[Any]) -> tuple[list[Any], str | None]:
    """A row with its dates read, and the column that holds none."""
    values = list(row)
    for place, (name, kind) in enumerate(kinds.items()):
        if kind in ("day", "moment") and values[place] is not None:
            try:
                moment = datetime.fromisoformat(str(values[place]))
            except ValueError:
                return values, name
            values[place] = moment.date() if kind == "day" else moment
    return values, None


def columns_of(entity: str) -> dict[str, str]:
    """The entity's columns, name -> kind; its key first.

    Raises:
        Misconfigured: there is no such entity.
    """
    kinds = {sa.Text: "text", sa.Date: "day", sa.DateTime: "moment", sa.Boolean: "flag"}
    return {str(c.name): kinds[type(c.type)] for c in _table(entity).columns}


def _table(entity: str, columns: Sequence[str] | Mapping[str, str] = ()) -> sa.Table:
    table = metadata.tables.get(entity)
    if table is None:
        raise Misconfigured(f"The HR database has no entity '{entity}'", f"The data engineer must use one of {', '.join(metadata.tables)}.")
    unknown = [name for name in columns if name not in table.c]
    if unknown:
        raise Misconfigured(
            f"The HR entity {entity} has no column {', '.join(unknown)}",
            "The data engineer must map to columns of connectors/hr/schema.py.",
        )
    return table


def _key(table: sa.Table) -> sa.Column[Any]:
    return next(iter(table.primary_key.columns))


def _one_of(table: sa.Table, name: str, values: Sequence[str]) -> sa.ColumnElement[bool]:
    if name in table.info["folded"]:
        return sa.func.lower(table.c[name]).in_([value.lower() for value in values])
    return table.c[name].in_(values)


def _reason(error: IntegrityError | DataError) -> str:
    """Why the database refused a row, without the row's values."""
    primary = getattr(getattr(error.orig, "diag", None), "message_primary", None)
    return str(primary or str(error.orig).splitlines()[0])


def _unreachable(error: Exception) -> TargetFailed:
    return TargetFailed(
        f"The HR database cannot be used ({type(error).__name__})",
        "The operator must check that it runs and that HRSYNC_HR__URL is right, then run again; nothing was lost.",
    )
