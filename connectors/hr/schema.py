"""Declares HR's entities. Each is a table of the SQL HR database; other HR systems may have some of
its columns.

Moments are UTC. ``custom`` is JSON text. The database itself sets ``written_at``, the time of a
row's last change. A column or table that is added here is added to an existing database when it is
next opened (:func:`connectors.database.add_missing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles

from reconciliation.capabilities import Holds
from reconciliation.errors import Misconfigured
from reconciliation.frame import Kind

metadata = sa.MetaData()
_TYPES: dict[str, Any] = {
    "text": sa.Text,
    "day": sa.Date,
    "moment": sa.DateTime,
    "flag": sa.Boolean,
    "number": sa.BigInteger,
}
_KINDS: dict[type, Kind] = {
    sa.Text: "text",
    sa.Date: "day",
    sa.DateTime: "moment",
    sa.Boolean: "flag",
    sa.BigInteger: "number",
}


class _UtcNow(sa.sql.functions.FunctionElement[Any]):
    """The SQL expression for the current time in UTC, in any time zone of the session."""

    inherit_cache = True


@compiles(_UtcNow)
def _utc_now(element: _UtcNow, compiler: Any, **options: Any) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(_UtcNow, "postgresql")
def _utc_now_postgresql(element: _UtcNow, compiler: Any, **options: Any) -> str:
    return "(now() AT TIME ZONE 'UTC')"


def _entity(
    name: str,
    key: str,
    columns: str,
    *,
    mandatory: str = "",
    folded: str = "",
    indexed: str = "",
    identifier: bool = False,
    stamped: bool = False,
    defaults: dict[str, str] | None = None,
) -> sa.Table:
    """Declares an entity. Columns are listed in one text, separated by spaces.

    Args:
        name: the name of the entity and its table.
        key: the column that identifies a row.
        columns: the other columns, each with ``:kind`` (``frame.Kind``) if it is not text.
        mandatory: columns that must not be null. To add one to an existing table, write a migration
            that gives the existing rows a value.
        folded: columns with identifiers, which are looked up in any spelling
            (``reconciliation.identifiers``).
        indexed: other columns by which rows are looked up.
        identifier: whether the key is an identifier that people type. If so, it is looked up in any
            spelling too.
        stamped: whether HR updates rows itself. If so, a trigger sets ``written_at``.
        defaults: column -> the value of new rows for which HR gives none.
    """
    parts = [part.partition(":") for part in columns.split()]
    table = sa.Table(
        name,
        metadata,
        sa.Column(key, sa.Text, primary_key=True),
        *(
            sa.Column(
                column,
                _TYPES[kind or "text"],
                nullable=column not in mandatory.split(),
                server_default=(defaults or {}).get(column),
            )
            for column, _, kind in parts
        ),
        sa.Column("custom", sa.Text),
        sa.Column("written_at", sa.DateTime, server_default=_UtcNow(), nullable=False),
        info={"folded": frozenset([*folded.split(), *([key] if identifier else [])])},
    )
    for column in folded.split():
        sa.Index(f"ix_{name}_{column}", sa.func.lower(table.c[column]))
    for column in indexed.split():
        sa.Index(f"ix_{name}_{column}", table.c[column])
    if stamped:
        _stamp(name, key)
    return table


def _stamp(table: str, key: str) -> None:
    """Adds a trigger to the table when it is created. It sets ``written_at`` at each update that
    does not change it itself."""
    sqlite_trigger = (
        f"CREATE TRIGGER {table}_stamp AFTER UPDATE ON {table}"
        " WHEN NEW.written_at IS OLD.written_at"
        f" BEGIN UPDATE {table} SET written_at = CURRENT_TIMESTAMP WHERE {key} = NEW.{key}; END"
    )
    postgresql_trigger = (
        "CREATE OR REPLACE FUNCTION hrsync_stamp() RETURNS trigger AS $$"
        " BEGIN NEW.written_at := now() AT TIME ZONE 'UTC'; RETURN NEW; END $$ LANGUAGE plpgsql;"
        f" CREATE TRIGGER {table}_stamp BEFORE UPDATE ON {table} FOR EACH ROW"
        " WHEN (NEW.written_at IS NOT DISTINCT FROM OLD.written_at)"
        " EXECUTE FUNCTION hrsync_stamp()"
    )

    @sa.event.listens_for(metadata.tables[table], "after_create")
    def _created(_table: sa.Table, connection: sa.Connection, **_options: Any) -> None:
        is_sqlite = connection.dialect.name == "sqlite"
        connection.exec_driver_sql(sqlite_trigger if is_sqlite else postgresql_trigger)


def table_of(entity: str, columns: Sequence[str] | Mapping[str, str] = ()) -> sa.Table:
    """Returns the table of an entity.

    Raises:
        Misconfigured: the entity or one of ``columns`` does not exist.
    """
    table = metadata.tables.get(entity)
    if table is None:
        raise Misconfigured(
            f"The HR database has no entity '{entity}'",
            f"Use one of {', '.join(metadata.tables)}.",
        )
    unknown = [name for name in columns if name not in table.c]
    if unknown:
        raise Misconfigured(
            f"The HR entity {entity} has no column {', '.join(unknown)}",
            "Map only to columns that connectors/hr/schema.py declares.",
        )
    return table


def columns_of(entity: str) -> dict[str, Kind]:
    """Maps the names of the entity's columns to their kinds. The key comes first.

    Raises:
        Misconfigured: the entity does not exist.
    """
    return {str(column.name): _KINDS[type(column.type)] for column in table_of(entity).columns}


def mandatory_of(entity: str) -> tuple[str, ...]:
    """Returns the columns, other than the key, in which every row must be given a value."""
    return tuple(
        str(column.name)
        for column in table_of(entity).columns
        if not (column.nullable or column.primary_key or column.server_default)
    )


def everything(updated_column: str | None = None) -> dict[str, Holds]:
    """Returns the capabilities of a system that can hold every entity with every column.

    Args:
        updated_column: ``written_at`` if the system knows the time of each row's last change;
            otherwise ``None``.
    """
    entities = {}
    for entity in metadata.tables:
        (key, _), *columns = columns_of(entity).items()
        entities[entity] = Holds(
            key=key,
            columns={name: kind for name, kind in columns if name != "written_at"},
            read_only={name: kind for name, kind in columns if name == updated_column},
            mandatory=mandatory_of(entity),
        )
    return entities


_entity(
    "employees",
    "employee_id",
    "accessplanit_id employee_number forenames surname email phone mobile job_title status "
    "company_id company_name"
    " access_role_id access_role full_address marketing_opt_in:flag source_created_at:moment "
    "source_updated_at:moment"
    " address town county postcode country custom_for_accessplanit",
    mandatory="surname",
    folded="accessplanit_id employee_number email",
    identifier=True,
    stamped=True,
)
_entity(
    "awards",
    "award_record_id",
    "employee_id accessplanit_user_id employee_name award_id award_label status "
    "target_date:day completed_on:day"
    " expires_on:day renewed:flag state superseded_by source_created_at:moment "
    "source_updated_at:moment",
    mandatory="employee_id award_id",
    indexed="employee_id",
)
_entity(
    "award_targets",
    "award_target_id",
    "employee_id accessplanit_user_id employee_name award_id award_label status target_date:day"
    " source_created_at:moment source_updated_at:moment",
    mandatory="employee_id award_id",
    indexed="employee_id",
    defaults={"status": "Target"},
    stamped=True,
)
_entity(
    "job_roles",
    "job_role_id",
    "label description source_updated_at:moment status",
    mandatory="label",
)
_entity(
    "assignments",
    "assignment_id",
    "employee_id job_role_id valid_from:day valid_to:day source_updated_at:moment "
    "accessplanit_user_id job_role_label"
    " source_created_at:moment",
    mandatory="employee_id job_role_id",
    indexed="employee_id",
    stamped=True,
)
_entity(
    "registrations",
    "registration_id",
    "employee_id course_date_id course_label starts_at:moment ends_at:moment status company_id "
    "company_name"
    " managers_emails source_created_at:moment source_updated_at:moment accessplanit_user_id "
    "employee_name email"
    " description course_id training_provider_id course_starts",
    mandatory="employee_id course_date_id",
    indexed="employee_id",
)
_entity(
    "course_requests",
    "course_request_id",
    "employee_id course_date_id course_label starts_at:moment status approver "
    "decided_at:moment venue"
    " source_created_at:moment source_updated_at:moment accessplanit_user_id employee_name "
    "email company_id company_name"
    " managers_emails description course_name ends_at:moment decision course_starts forenames "
    "surname",
    mandatory="employee_id course_date_id",
    indexed="employee_id",
    stamped=True,
)
_entity(
    "role_compliance",
    "compliance_id",
    "employee_id accessplanit_user_id job_role_id job_role_label award_id award_label state "
    "expires_on:day target_date:day as_of:day",
    mandatory="employee_id job_role_id award_id state",
    indexed="employee_id",
)
