"""Guide i: users who are targeted to achieve an award."""

from __future__ import annotations

from datetime import datetime

from prefect import State, flow

from reconciliation.spec import Clause, MatchRule, ProcessSpec, Scope

from ._declared import AWARD_TARGETS, to_hr
from ._process import run_flow
from ._run import Mode, Order

TARGET = Clause(column="status", values=("Target",))

SPEC = ProcessSpec(
    name="award_targets_to_hr",
    title="Award targets to HR",
    opposite="award_targets_from_hr",
    pair="award_targets",
    **AWARD_TARGETS.ownership("to_hr"),
    feed="UserAward",
    entity="award_targets",
    entity_key="award_target_id",
    person="user_id",
    new_key="",
    fields=to_hr(AWARD_TARGETS),
    custom=AWARD_TARGETS.custom_of("accessplanit"),
    target_updated="written_at",
    match=(MatchRule(together=("employee_id", "award_id"), only=(("status", "Target"),)),),
    scope=Scope(
        clauses=(TARGET,), leaves="follow", gone="close", closed=(("status", "Withdrawn"),)
    ),
)


def scoped(
    awards: list[str] | None = None,
    future_targets_only: bool = False,
    custom_fields: list[str] | None = None,
) -> ProcessSpec:
    """:data:`SPEC` narrowed to the filters that the flow of this file explains."""
    clauses = [TARGET]
    if awards:
        clauses.append(Clause(column="award_id", values=tuple(awards)))
    if future_targets_only:
        clauses.append(Clause(column="target_date", op="after"))
    scope = SPEC.scope.model_copy(update={"clauses": tuple(clauses)})
    return SPEC.model_copy(
        update={"scope": scope, "custom": (*SPEC.custom, *(custom_fields or ()))}
    )


@flow(name="award_targets_to_hr", flow_run_name="award_targets_to_hr {mode}", persist_result=False)
def award_targets_to_hr(
    mode: Mode = "apply",
    awards: list[str] | None = None,
    future_targets_only: bool = False,
    custom_fields: list[str] | None = None,
    since: datetime | None = None,
    full: bool = False,
    sweep: bool = False,
    hinted: bool = False,
    approve: str | None = None,
) -> State[None]:
    """Users who are targeted to achieve an award, and what became of these targets, reach HR (guide
    i).

    Args:
        mode: apply writes; plan only counts what would be written.
        awards: IDs of the awards (AwardID) whose targets are loaded; none given: all.
        future_targets_only: leave out targets whose date has passed; those that HR has are followed
            all the same.
        custom_fields: custom fields of user awards to carry along (CF_…).
        since: read what changed from this moment on (UTC if it has no offset), whatever was read
            before.
        full: read everything again; what is unchanged is not written.
        sweep: read everything and compare it with all of HR: finds what was changed there, and what
            is gone here.
        hinted: read only the records that webhooks have named since the last run.
        approve: the digest of a kept plan: exactly that one is applied, and nothing is read.
    """
    order = Order(mode=mode, since=since, full=full, sweep=sweep, hinted=hinted, approve=approve)
    return run_flow(scoped(awards, future_targets_only, custom_fields), order)
