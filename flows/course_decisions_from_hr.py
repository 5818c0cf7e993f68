"""Guide f: what HR has decided on course requests."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from prefect import State, flow

from reconciliation.spec import Clause, FieldMap, Guard, Limit, ProcessSpec, Scope

from ._process import run_flow
from ._run import Mode, Order

APPROVED, REJECTED = ("Approved", "Approve", "Yes"), ("Rejected", "Reject", "Declined", "No")
"""HR's words for its decisions."""
Rejection = Literal["Cancelled", "Waiting List", "Deferred", "On Hold"]


def _decision(rejected: str) -> FieldMap:
    values = (*((word, "Booked") for word in APPROVED), *((word, rejected) for word in REJECTED))
    return FieldMap(source="decision", target="status", values=values, strict=True)


SPEC = ProcessSpec(
    name="course_decisions_from_hr",
    title="Course decisions from HR",
    direction="from_hr",
    feed="course_requests",
    entity="UserCourseDate",
    key="course_request_id",
    updated="written_at",
    created=None,
    entity_key="id",
    decisions=True,
    fields=(
        _decision("Cancelled"),
        # Read to know whose place it is and in which order they were decided; never sent.
        FieldMap(source="course_date_id", target="course_date_id", compare=False),
    ),
    scope=Scope(
        clauses=(Clause(column="decision", op="present"),), closed=(("status", "Cancelled"),)
    ),
    guard=Guard(close=Limit(percent=25, absolute=200)),
)


def scoped(rejected: Rejection = "Cancelled", companies: list[str] | None = None) -> ProcessSpec:
    """:data:`SPEC` narrowed to the filters that the flow of this file explains."""
    clauses = [
        *SPEC.scope.clauses,
        *([Clause(column="company_id", values=tuple(companies))] if companies else []),
    ]
    scope = SPEC.scope.model_copy(update={"clauses": tuple(clauses)})
    return SPEC.model_copy(
        update={"scope": scope, "fields": (_decision(rejected), *SPEC.fields[1:])}
    )


@flow(
    name="course_decisions_from_hr",
    flow_run_name="course_decisions_from_hr {mode}",
    persist_result=False,
)
def course_decisions_from_hr(
    mode: Mode = "apply",
    rejected: Rejection = "Cancelled",
    companies: list[str] | None = None,
    since: datetime | None = None,
    full: bool = False,
    sweep: bool = False,
    hinted: bool = False,
    approve: str | None = None,
) -> State[None]:
    """Course requests that HR has approved become Booked in accessplanit, rejected ones Cancelled
    (guide f).

    A decision for a course that has started, is full, cancelled or already decided is held with its
    reason.

    Args:
        mode: apply writes; plan only counts what would be written.
        rejected: the delegate status of a request that HR has rejected.
        companies: IDs of the companies whose decisions are sent; none given: all.
        since: read what changed from this moment on (UTC if it has no offset), whatever was read
            before.
        full: read everything again; what is unchanged is not written.
        sweep: read everything and compare it with all of accessplanit: finds what was changed
            there.
        hinted: read only the records that webhooks have named since the last run.
        approve: the digest of a kept plan: exactly that one is applied, and nothing is read.
    """
    order = Order(mode=mode, since=since, full=full, sweep=sweep, hinted=hinted, approve=approve)
    return run_flow(scoped(rejected, companies), order)
