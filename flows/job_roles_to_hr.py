"""Job roles and their assignments: accessplanit → HR (vendor's guide: overview)."""

from __future__ import annotations

from prefect import State, flow
from pydantic import Field

from reconciliation.spec import MatchRule, ProcessSpec, Reference, Scope

from ._declared import among, mapping, to_hr, within
from ._process import run_flow
from .options import Form, RunOptions
from .run_name import at_start

ASSIGNMENTS = mapping("assignments")
JOB_ROLES = mapping("job_roles")
ROLES = ProcessSpec(
    name="job_roles_to_hr",
    title="Job roles to HR",
    feed="UserType",
    entity="job_roles",
    entity_key="job_role_id",
    fields=to_hr(JOB_ROLES),
    scope=Scope(gone="report"),
)

SPEC = ProcessSpec(
    name="assignments_to_hr",
    title="Job role assignments to HR",
    opposite="assignments_from_hr",
    pair="assignments",
    **ASSIGNMENTS.ownership("to_hr"),
    feed="UserUserType",
    entity="assignments",
    entity_key="assignment_id",
    person="user_id",
    new_key="",
    fields=to_hr(ASSIGNMENTS),
    custom=ASSIGNMENTS.custom_of("accessplanit"),
    target_updated="written_at",
    match=(MatchRule(together=("employee_id", "job_role_id")),),
    references=(
        Reference(column="job_role_id", entity="job_roles", key="job_role_id", what="job role"),
    ),
    scope=Scope(gone="close", closed=(("valid_to", "today"),)),
)


class Filters(Form):
    """Which assignments are loaded into HR. The job roles themselves always are."""

    roles: list[str] = Field(
        default=[], description="IDs of the job roles whose assignments are loaded. Empty: all."
    )


def job_roles(filters: Filters) -> ProcessSpec:
    """:data:`ROLES`, which no filter narrows."""
    return ROLES


def narrowed(filters: Filters) -> ProcessSpec:
    """:data:`SPEC` with these filters."""
    return within(SPEC, *among("user_type_id", filters.roles))


@flow(name="job_roles_to_hr", flow_run_name=at_start(ROLES), persist_result=False)
def job_roles_to_hr(filters: Filters = Filters(), run: RunOptions = RunOptions()) -> State[None]:
    """Loads job roles, then the assignments of people to them, into HR (vendor's guide: overview).

    Only a sweep finds assignments that were removed.
    """
    return run_flow(job_roles(filters), run.order(), narrowed(filters))
