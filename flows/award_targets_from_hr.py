"""HR's award targets → accessplanit's user awards (vendor's guide: overview)."""

from __future__ import annotations

from prefect import State, flow
from pydantic import Field

from reconciliation.spec import Clause, Guard, Limit, MatchRule, ProcessSpec, Scope

from ._declared import among, from_hr, mapping, within
from ._process import run_flow
from .options import Form, RunOptions
from .run_name import at_start

TARGET = Clause(column="status", values=("Target",))

AWARD_TARGETS = mapping("award_targets")
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


class Filters(Form):
    """Which award targets are loaded into accessplanit."""

    awards: list[str] = Field(
        default=[], description="IDs of the awards (AwardID) whose targets are sent. Empty: all."
    )


def narrowed(filters: Filters) -> ProcessSpec:
    """:data:`SPEC` with these filters."""
    return within(SPEC, TARGET, *among("award_id", filters.awards))


@flow(name="award_targets_from_hr", flow_run_name=at_start(SPEC), persist_result=False)
def award_targets_from_hr(
    filters: Filters = Filters(), run: RunOptions = RunOptions()
) -> State[None]:
    """Loads award targets that HR has set into accessplanit (vendor's guide: overview).

    They get the status Target. Changes of the target date are loaded, too.
    """
    return run_flow(narrowed(filters), run.order())
