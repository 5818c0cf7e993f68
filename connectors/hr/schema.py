"""The tables of the SQL HR database. Moments are UTC; ``custom`` is JSON text; ``written_at`` is
the database's own."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()
_TYPES: dict[str, Any] = {
    "text": sa.Text,
    "day": sa.Date,
    "moment": sa.DateTime,
    "flag": sa.Boolean,
}


def _entity(
    name: str,
    key: str,
    columns: str,
    *,
    mandatory: str = "",
    folded: str = "",
    indexed: str = "",
    identifier: bool = False,
    defaults: dict[str, str] | None = None,
) -> sa.Table:
    """``columns``: names, with ``:kind`` where it is not text. folded: looked up as identifiers,
    whatever their spelling; the key too if it is an ``identifier`` that people type."""
    parts = [part.partition(":") for part in columns.split()]
    table = sa.Table(
        name,
        metadata,
        sa.Column(key, sa.Text, primary_key=True),
        *(
            sa.Column(
                n,
                _TYPES[kind or "text"],
                nullable=n not in mandatory.split(),
                server_default=(defaults or {}).get(n),
            )
            for n, _, kind in parts
        ),
        sa.Column("custom", sa.Text),
        sa.Column(
            "written_at", sa.DateTime, server_default=sa.func.current_timestamp(), nullable=False
        ),
        info={"folded": frozenset([*folded.split(), *([key] if identifier else [])])},
    )
    for column in folded.split():
        sa.Index(f"ix_{name}_{column}", sa.func.lower(table.c[column]))
    for column in indexed.split():
        sa.Index(f"ix_{name}_{column}", table.c[column])
    return table


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
)
_entity(
    "role_compliance",
    "compliance_id",
    "employee_id accessplanit_user_id job_role_id job_role_label award_id award_label state "
    "expires_on:day target_date:day as_of:day",
    mandatory="employee_id job_role_id award_id state",
    indexed="employee_id",
)
