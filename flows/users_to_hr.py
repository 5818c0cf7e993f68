"""Guide a and c: new and updated users reach HR."""

from __future__ import annotations

from reconciliation.spec import Clause, FieldMap, MatchRule, ProcessSpec, Scope

SPEC = ProcessSpec(
    name="users_to_hr",
    title="Users to HR",
    feed="User",
    entity="employees",
    entity_key="employee_id",
    fields=(
        FieldMap(source="id", target="accessplanit_id"),
        FieldMap(source="external_id", target="employee_number"),
        FieldMap(source="forenames", target="forenames"),
        FieldMap(source="surname", target="surname"),
        FieldMap(source="email", target="email"),
        FieldMap(source="phone", target="phone"),
        FieldMap(source="mobile", target="mobile"),
        FieldMap(source="job_title", target="job_title"),
        FieldMap(source="status", target="status"),
        FieldMap(source="company_id", target="company_id"),
        FieldMap(source="company_name", target="company_name"),
        FieldMap(source="access_role_id", target="access_role_id"),
        FieldMap(source="access_role", target="access_role"),
        FieldMap(source="full_address", target="full_address"),
        FieldMap(source="marketing_opt_in", target="marketing_opt_in", kind="flag"),
        FieldMap(source="created_at", target="source_created_at", kind="moment", compare=False),
        FieldMap(source="updated_at", target="source_updated_at", kind="moment", compare=False),
    ),
    natural_key="external_id",
    match=(
        MatchRule(source="id", target="accessplanit_id"),
        MatchRule(source="external_id", target="employee_number"),
        MatchRule(source="email", target="email"),
    ),
    scope=Scope(clauses=(Clause(column="status", values=("Enabled", "New")),), closed=(("status", "Inactive"),)),
)
