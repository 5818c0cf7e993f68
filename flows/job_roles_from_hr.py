"""What the guide's overview announces: job roles that HR has given to somebody, or ended."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from prefect import State, flow

from reconciliation.spec import Clause, Guard, Limit, MatchRule, ProcessSpec, Scope

from ._declared import ASSIGNMENTS, from_hr
from ._process import run_flow
from ._run import Mode, Order

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


def scoped(
    roles: list[str] | None = None, gone: Literal["report", "close"] = "report"
) -> ProcessSpec:
    """:data:`SPEC` narrowed to the filters that the flow of this file explains."""
    clauses = (Clause(column="job_role_id", values=tuple(roles)),) if roles else ()
    return SPEC.model_copy(
        update={"scope": SPEC.scope.model_copy(update={"clauses": clauses, "gone": gone})}
    )


@flow(name="job_roles_from_hr", flow_run_name="job_roles_from_hr {mode}", persist_result=False)
def job_roles_from_hr(
    mode: Mode = "apply",
    roles: list[str] | None = None,
    gone: Literal["report", "close"] = "report",
    since: datetime | None = None,
    full: bool = False,
    sweep: bool = False,
    hinted: bool = False,
    approve: str | None = None,
) -> State[None]:
    """Job roles that HR has given to somebody are assigned in accessplanit, ended ones end there.

    Args:
        mode: apply writes; plan only counts what would be written.
        roles: IDs of the job roles whose assignments are sent; none given: all.
        gone: what becomes of an assignment whose row a sweep finds gone from HR: it is reported, or
            ends today.
        since: read what changed from this moment on (UTC if it has no offset), whatever was read
            before.
        full: read everything again; what is unchanged is not written.
        sweep: read everything and compare it with all of accessplanit: finds what was changed
            there, and what is gone here.
        hinted: read only the records that webhooks have named since the last run.
        approve: the digest of a kept plan: exactly that one is applied, and nothing is read.
    """
    return run_flow(
        scoped(roles, gone),
        Order(mode=mode, since=since, full=full, sweep=sweep, hinted=hinted, approve=approve),
    )
