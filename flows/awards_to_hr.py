"""accessplanit's user awards → HR's awards: completions, expiries, renewals and revocations
(vendor's guide: overview)."""

from __future__ import annotations

from prefect import State, flow
from pydantic import Field

from reconciliation.spec import AwardStates, Clause, ProcessSpec, Scope

from ._declared import among, mapping, to_hr, within
from ._process import run_flow
from .options import Form, RunOptions
from .run_name import at_start

STATUSES = ("In Progress", "Completed", "On Hold")

AWARDS = mapping("awards")
SPEC = ProcessSpec(
    name="awards_to_hr",
    title="Awards to HR",
    feed="UserAward",
    entity="awards",
    entity_key="award_record_id",
    person="user_id",
    rules=(AwardStates(),),
    fields=to_hr(AWARDS),
    custom=AWARDS.custom_of("accessplanit"),
    scope=Scope(
        clauses=(Clause(column="status", values=STATUSES),),
        leaves="follow",
        gone="close",
        closed=(("state", "revoked"),),
    ),
)


class Filters(Form):
    """Which awards are loaded into HR."""

    statuses: list[str] = Field(
        default=[], description=f"Award statuses in scope. Empty: {', '.join(STATUSES)}."
    )
    awards: list[str] = Field(default=[], description="IDs of the awards (AwardID). Empty: all.")
    custom_fields: list[str] = Field(
        default=[], description="Custom fields of user awards to load (CF_…)."
    )
    expiring_within_days: int = Field(
        default=90,
        ge=0,
        description='An award is "expiring" from this number of days before its expiry.',
    )


def narrowed(filters: Filters) -> ProcessSpec:
    """Returns :data:`SPEC` with these filters."""
    award_states = AwardStates(expiring_within_days=filters.expiring_within_days)
    rules = [award_states if isinstance(rule, AwardStates) else rule for rule in SPEC.rules]
    clauses = [
        *among("status", filters.statuses or STATUSES),
        *among("award_id", filters.awards),
    ]
    chosen = within(SPEC, *clauses, custom_fields=filters.custom_fields)
    return chosen.model_copy(update={"rules": tuple(rules)})


@flow(name="awards_to_hr", flow_run_name=at_start(SPEC), persist_result=False)
def awards_to_hr(filters: Filters = Filters(), run: RunOptions = RunOptions()) -> State[None]:
    """Loads completions, expiries, renewals and revocations of awards into HR (vendor's guide)."""
    return run_flow(narrowed(filters), run.order())
