"""Guide i and what its overview announces: targets, completions, expiries and renewals reach HR."""

from __future__ import annotations

from datetime import datetime

from prefect import State, flow

from reconciliation.spec import Clause, FieldMap, ProcessSpec, Scope

from ._process import Mode, Order, run_flow

STATUSES = ("Target", "In Progress", "Completed", "On Hold")

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
    scope=Scope(clauses=(Clause(column="status", values=STATUSES),), gone="close", closed=(("state", "revoked"),)),
)


def scoped(
    statuses: list[str] | None = None,
    awards: list[str] | None = None,
    future_targets_only: bool = False,
    custom_fields: list[str] | None = None,
    expiring_within_days: int = 90,
) -> ProcessSpec:
    """:data:`SPEC` narrowed to the filters that the flow of this file explains."""
    clauses = [Clause(column="status", values=tuple(statuses or STATUSES))]
    if awards:
        clauses.append(Clause(column="award_id", values=tuple(awards)))
    if future_targets_only:
        clauses.append(Clause(column="target_date", op="after", when=Clause(column="status", values=("Target",))))
    update = {
        "scope": SPEC.scope.model_copy(update={"clauses": tuple(clauses)}),
        "custom": tuple(custom_fields or ()),
        "expiring_within_days": expiring_within_days,
    }
    return SPEC.model_copy(update=update)


@flow(name="awards_to_hr", flow_run_name="awards_to_hr {mode}", persist_result=False)
def awards_to_hr(
    mode: Mode = "apply",
    statuses: list[str] | None = None,
    awards: list[str] | None = None,
    future_targets_only: bool = False,
    custom_fields: list[str] | None = None,
    expiring_within_days: int = 90,
    since: datetime | None = None,
    full: bool = False,
    sweep: bool = False,
    approve: str | None = None,
) -> State[None]:
    """Targets, completions, expiries and renewals of awards reach HR (guide i, overview).

    Args:
        mode: apply writes; plan only counts what would be written.
        statuses: award statuses in scope; none given: Target, In Progress, Completed and On Hold.
        awards: IDs of the awards (AwardID) to load; none given: all.
        future_targets_only: leave out targets whose date has passed.
        custom_fields: custom fields of user awards to carry along (CF_…).
        expiring_within_days: from so many days before its expiry date on, an award is "expiring".
        since: read what changed from this moment on (UTC if it has no offset), whatever was read before.
        full: read everything again; what is unchanged is not written.
        sweep: read everything and compare it with all of HR: finds what was changed there, and what is gone here.
        approve: the digest of a kept plan: exactly that one is applied, and nothing is read.
    """
    order = Order(mode=mode, since=since, full=full, sweep=sweep, approve=approve)
    return run_flow(scoped(statuses, awards, future_targets_only, custom_fields, expiring_within_days), order)
