"""Guide i and what its overview announces: targets, completions, expiries and renewals reach HR."""

from __future__ import annotations

from reconciliation.spec import Clause, FieldMap, ProcessSpec, Scope

SPEC = ProcessSpec(
    name="awards_to_hr",
    title="Awards to HR",
    feed="UserAward",
    entity="awards",
    entity_key="award_record_id",
    person="user_id",
    award_states=True,
    fields=(
        FieldMap(source="user_id", target="accessplanit_user_id"),
        FieldMap(source="user_full_name", target="employee_name", compare=False),
        FieldMap(source="award_id", target="award_id"),
        FieldMap(source="award_label", target="award_label"),
        FieldMap(source="status", target="status"),
        FieldMap(source="target_date", target="target_date", kind="day"),
        FieldMap(source="completed_on", target="completed_on", kind="day"),
        FieldMap(source="expires_on", target="expires_on", kind="day"),
        FieldMap(source="renewed", target="renewed", kind="flag"),
        FieldMap(source="created_at", target="source_created_at", kind="moment", compare=False),
        FieldMap(source="updated_at", target="source_updated_at", kind="moment", compare=False),
    ),
    scope=Scope(clauses=(Clause(column="status", values=("Target", "In Progress", "Completed", "On Hold")),)),
)
