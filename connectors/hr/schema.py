"""HR's entities: the tables of the SQL HR database, and the columns that other systems may hold.

Moments are UTC. ``custom`` is JSON text. ``written_at`` is set by the database itself. A column or
table that is added here is added to existing databases when they are next opened
(:func:`connectors.database.add_missing`).
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
    """The moment now in UTC, whatever the zone of the session."""

    inherit_cache = True


@compiles(_UtcNow)
def _utc_now(element: _UtcNow, compiler: Any, **options: Any) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(_UtcNow, "postgresql")
def _utc_now_of_postgresql(element: _UtcNow, compiler: Any, **options: Any) -> str:
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
    """Declares an entity.

    Args:
        name: name of the entity and its table.
        key: the column that identifies a row.
        columns: names, each with ``:kind`` (``frame.Kind``) if it is not text.
        mandatory: names of columns that every row must have. One that is added to an existing table
            needs a migration, which says what the rows that are there get.
        folded: names of columns that are looked up as identifiers, whatever their spelling.
        indexed: names of other columns that rows are looked up by.
        identifier: the key is an identifier that people type, and is looked up as one.
        stamped: HR changes rows itself. The database then sets ``written_at`` at each update.
        defaults: column -> the value that a row gets where HR gives none.
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
    """Lets the database set ``written_at`` when HR updates a row of the new table."""
    of_sqlite = (
        f"CREATE TRIGGER {table}_stamp AFTER UPDATE ON {table}"
        " WHEN NEW.written_at IS OLD.written_at"
        f" BEGIN UPDATE {table} SET written_at = CURRENT_TIMESTAMP WHERE {key} = NEW.{key}; END"
    )
    of_postgresql = (
        "CREATE OR REPLACE FUNCTION hrsync_stamp() RETURNS trigger AS $$"
        " BEGIN NEW.written_at := now() AT TIME ZONE 'UTC'; RETURN NEW; END $$ LANGUAGE plpgsql;"
        f" CREATE TRIGGER {table}_stamp BEFORE UPDATE ON {table} FOR EACH ROW"
        " WHEN (NEW.written_at IS NOT DISTINCT FROM OLD.written_at)"
        " EXECUTE FUNCTION hrsync_stamp()"
    )

    @sa.event.listens_for(metadata.tables[table], "after_create")
    def _created(_table: sa.Table, connection: sa.Connection, **_options: Any) -> None:
        sqlite = connection.dialect.name == "sqlite"
        connection.exec_driver_sql(of_sqlite if sqlite else of_postgresql)


def table_of(entity: str, columns: Sequence[str] | Mapping[str, str] = ()) -> sa.Table:
    """The table of an entity.

    Raises:
        Misconfigured: the entity, or one of ``columns``, is unknown.
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
            "Map to columns of connectors/hr/schema.py.",
        )
    return table


def columns_of(entity: str) -> dict[str, Kind]:
    """The entity's columns, name -> kind; its key first.

    Raises:
        Misconfigured: the entity is unknown.
    """
    return {str(column.name): _KINDS[type(column.type)] for column in table_of(entity).columns}


def everything(updated_column: str | None = None) -> dict[str, Holds]:
    """The capabilities of a system that holds every entity with every column.

    ``updated_column``: ``written_at`` if the system tells when a row was last changed.
    """
    entities = {}
    for entity in metadata.tables:
        (key, _), *columns = columns_of(entity).items()
        entities[entity] = Holds(
            key=key,
            columns={name: kind for name, kind in columns if name != "written_at"},
            read_only={name: kind for name, kind in columns if name == updated_column},
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
