"""HR's job role assignments → accessplanit's user job roles (vendor's guide: overview)."""

from __future__ import annotations

from typing import Literal

from prefect import State, flow
from pydantic import Field

from reconciliation.spec import Guard, Limit, MatchRule, ProcessSpec, Scope

from ._declared import among, from_hr, mapping, within
from ._process import run_flow
from .options import Form, RunOptions
from .run_name import at_start

ASSIGNMENTS = mapping("assignments")
SPEC = ProcessSpec(
    name="assignments_from_hr",
    title="Job role assignments from HR",
    direction="from_hr",
    opposite="assignments_to_hr",
    pair="assignments",
    **ASSIGNMENTS.ownership("from_hr"),
    feed="assignments",
    entity="UserUserType",
    key="assignment_id",
    updated="written_at",
    created=None,
    target_updated="updated_at",
    entity_key="id",
    new_key="new:",
    person="employee_id",
    fields=from_hr(ASSIGNMENTS),
    match=(MatchRule(together=("user_id", "user_type_id")),),
    scope=Scope(gone="report", closed=(("valid_to", "today"),)),
    guard=Guard(create=Limit(percent=50, absolute=1000)),
)


class Filters(Form):
    """Which assignments are loaded into accessplanit."""

    roles: list[str] = Field(
        default=[], description="IDs of the job roles whose assignments are sent. Empty: all."
    )
    gone: Literal["report", "close"] = Field(
        default="report",
        description="An assignment whose row a sweep no longer finds in HR: report lists it, close "
        "ends it today.",
    )


def narrowed(filters: Filters) -> ProcessSpec:
    """:data:`SPEC` with these filters."""
    return within(SPEC, *among("job_role_id", filters.roles), gone=filters.gone)


@flow(name="job_roles_from_hr", flow_run_name=at_start(SPEC), persist_result=False)
def job_roles_from_hr(filters: Filters = Filters(), run: RunOptions = RunOptions()) -> State[None]:
    """Loads job roles that HR has given to somebody or ended into accessplanit (vendor's guide)."""
    return run_flow(narrowed(filters), run.order())
