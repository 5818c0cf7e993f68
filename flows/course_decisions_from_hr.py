"""HR's decisions on course requests → status of accessplanit's delegates (vendor's guide: f)."""

from __future__ import annotations

from typing import Literal

from prefect import State, flow
from pydantic import Field

from reconciliation.spec import Clause, CourseDecisions, FieldMap, Guard, Limit, ProcessSpec, Scope

from ._declared import among, within
from ._process import run_flow
from .options import Form, RunOptions
from .run_name import at_start

APPROVED, REJECTED = ("Approved", "Approve", "Yes"), ("Rejected", "Reject", "Declined", "No")
"""HR's words for each decision."""
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
    rules=(CourseDecisions(),),
    fields=(
        _decision("Cancelled"),
        # Never sent. Read to look up the free places on the course date.
        FieldMap(source="course_date_id", target="course_date_id", compare=False),
    ),
    scope=Scope(
        clauses=(Clause(column="decision", op="present"),), closed=(("status", "Cancelled"),)
    ),
    guard=Guard(close=Limit(percent=25, absolute=200)),
)


class Filters(Form):
    """Which decisions are carried out in accessplanit, and what a rejection becomes there."""

    rejected: Rejection = Field(
        default="Cancelled", description="Delegate status of a request that HR has rejected."
    )
    companies: list[str] = Field(
        default=[], description="IDs of the companies whose decisions are sent. Empty: all."
    )


def narrowed(filters: Filters) -> ProcessSpec:
    """:data:`SPEC` with these filters."""
    spec = within(SPEC, *SPEC.scope.clauses, *among("company_id", filters.companies))
    return spec.model_copy(update={"fields": (_decision(filters.rejected), *SPEC.fields[1:])})


@flow(name="course_decisions_from_hr", flow_run_name=at_start(SPEC), persist_result=False)
def course_decisions_from_hr(
    filters: Filters = Filters(), run: RunOptions = RunOptions()
) -> State[None]:
    """Sets approved course requests to Booked, rejected ones to Cancelled (vendor's guide: f).

    A decision for a course that has started, is full, cancelled or already decided is held with its
    reason.
    """
    return run_flow(narrowed(filters), run.order())
