"""What the guide's overview announces: job roles, and who has which."""

from __future__ import annotations

from datetime import datetime

from prefect import State, flow

from reconciliation.spec import Clause, MatchRule, ProcessSpec, Reference, Scope

from ._declared import ASSIGNMENTS, JOB_ROLES, to_hr
from ._process import run_flow
from ._run import Mode, Order

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


def scoped(roles: list[str] | None = None) -> ProcessSpec:
    """:data:`SPEC` narrowed to the filters that the flow of this file explains."""
    clauses = (Clause(column="user_type_id", values=tuple(roles)),) if roles else ()
    return SPEC.model_copy(update={"scope": SPEC.scope.model_copy(update={"clauses": clauses})})


@flow(name="job_roles_to_hr", flow_run_name="job_roles_to_hr {mode}", persist_result=False)
def job_roles_to_hr(
    mode: Mode = "apply",
    roles: list[str] | None = None,
    since: datetime | None = None,
    full: bool = False,
    sweep: bool = False,
    hinted: bool = False,
    approve: str | None = None,
) -> State[None]:
    """Job roles reach HR, then who has which, from and to which day; what was removed is found by
    sweeps.

    Args:
        mode: apply writes; plan only counts what would be written.
        roles: IDs of the job roles whose assignments are loaded; none given: all.
        since: read what changed from this moment on (UTC if it has no offset), whatever was read
            before.
        full: read everything again; what is unchanged is not written.
        sweep: read everything and compare it with all of HR: finds what was changed there, and what
            is gone here.
        hinted: read only the records that webhooks have named since the last run.
        approve: the digest of a kept plan: exactly that one is applied, and nothing is read.
    """
    order = Order(mode=mode, since=since, full=full, sweep=sweep, hinted=hinted, approve=approve)
    return run_flow(ROLES, order, scoped(roles))
