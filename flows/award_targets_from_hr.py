"""What the guide's overview announces: award targets that HR has set become user awards in
accessplanit."""

from __future__ import annotations

from datetime import datetime

from prefect import State, flow

from reconciliation.spec import Clause, Guard, Limit, MatchRule, ProcessSpec, Scope

from ._declared import AWARD_TARGETS, from_hr
from ._process import run_flow
from ._run import Mode, Order

TARGET = Clause(column="status", values=("Target",))

SPEC = ProcessSpec(
    name="award_targets_from_hr",
    title="Award targets from HR",
    direction="from_hr",
    opposite="award_targets_to_hr",
    pair="award_targets",
    **AWARD_TARGETS.ownership("from_hr"),
    feed="award_targets",
    entity="UserAward",
    key="award_target_id",
    updated="written_at",
    created=None,
    target_updated="updated_at",
    entity_key="id",
    new_key="new:",
    person="employee_id",
    fields=tuple(f for f in from_hr(AWARD_TARGETS) if f.target != "user_id"),
    match=(MatchRule(together=("user_id", "award_id"), only=(("status", "Target"),)),),
    scope=Scope(clauses=(TARGET,)),
    guard=Guard(create=Limit(percent=50, absolute=1000)),
)


def scoped(awards: list[str] | None = None) -> ProcessSpec:
    """:data:`SPEC` narrowed to the filters that the flow of this file explains."""
    clauses = [TARGET, *([Clause(column="award_id", values=tuple(awards))] if awards else [])]
    return SPEC.model_copy(
        update={"scope": SPEC.scope.model_copy(update={"clauses": tuple(clauses)})}
    )


@flow(
    name="award_targets_from_hr", flow_run_name="award_targets_from_hr {mode}", persist_result=False
)
def award_targets_from_hr(
    mode: Mode = "apply",
    awards: list[str] | None = None,
    since: datetime | None = None,
    full: bool = False,
    sweep: bool = False,
    hinted: bool = False,
    approve: str | None = None,
) -> State[None]:
    """Award targets that HR has set are made in accessplanit, with the status Target; changed
    target dates follow.

    Args:
        mode: apply writes; plan only counts what would be written.
        awards: IDs of the awards (AwardID) whose targets are sent; none given: all.
        since: read what changed from this moment on (UTC if it has no offset), whatever was read
            before.
        full: read everything again; what is unchanged is not written.
        sweep: read everything and compare it with all of accessplanit: finds what was changed
            there, and what is gone here.
        hinted: read only the records that webhooks have named since the last run.
        approve: the digest of a kept plan: exactly that one is applied, and nothing is read.
    """
    return run_flow(
        scoped(awards),
        Order(mode=mode, since=since, full=full, sweep=sweep, hinted=hinted, approve=approve),
    )
