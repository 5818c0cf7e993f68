"""accessplanit's user awards with the status Target → HR's award targets (vendor's guide: i).

A user award with this status is one that the user should gain by a certain day.
"""

from __future__ import annotations

from prefect import State, flow
from pydantic import Field

from reconciliation.spec import Clause, MatchRule, ProcessSpec, Scope

from ._declared import among, mapping, to_hr, within
from ._process import run_flow
from .options import Form, RunOptions
from .run_name import at_start

TARGET = Clause(column="status", values=("Target",))

AWARD_TARGETS = mapping("award_targets")
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


class Filters(Form):
    """Which award targets are loaded into HR."""

    awards: list[str] = Field(
        default=[], description="IDs of the awards (AwardID) whose targets are loaded. Empty: all."
    )
    future_targets_only: bool = Field(
        default=False,
        description="Leave out targets that are due today or earlier. Targets already in HR are "
        "still updated.",
    )
    custom_fields: list[str] = Field(
        default=[], description="Custom fields of user awards to load (CF_…)."
    )


def narrowed(filters: Filters) -> ProcessSpec:
    """Returns :data:`SPEC` with these filters."""
    future = [Clause(column="target_date", op="after")] if filters.future_targets_only else []
    return within(
        SPEC,
        TARGET,
        *among("award_id", filters.awards),
        *future,
        custom_fields=filters.custom_fields,
    )


@flow(name="award_targets_to_hr", flow_run_name=at_start(SPEC), persist_result=False)
def award_targets_to_hr(
    filters: Filters = Filters(), run: RunOptions = RunOptions()
) -> State[None]:
    """Loads award targets of users into HR, and later the outcome of each (vendor's guide: i)."""
    return run_flow(narrowed(filters), run.order())
