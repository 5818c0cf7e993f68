"""accessplanit's provisional delegates → HR's course requests, with the authorisation they wait for
(vendor's guide: e)."""

from __future__ import annotations

from prefect import State, flow
from pydantic import Field

from reconciliation.spec import Clause, FieldMap, Join, ProcessSpec, Scope

from ._declared import among, mapping, to_hr, within
from ._process import run_flow
from .options import Form, RunOptions
from .run_name import at_start

REQUESTED = (
    Clause(column="status", values=("Provisional",)),
    Clause(column="starts_at", op="future"),
)

COURSE_REQUESTS = mapping("course_requests")
SPEC = ProcessSpec(
    name="course_requests_to_hr",
    title="Course requests to HR",
    feed="UserCourseDate",
    entity="course_requests",
    entity_key="course_request_id",
    person="user_id",
    custom=COURSE_REQUESTS.custom_of("accessplanit"),
    fields=(
        *to_hr(COURSE_REQUESTS),
        # From the manager's authorisation. It ends with the request; HR then keeps these values.
        FieldMap(source="user_forenames", target="forenames", clears=False),
        FieldMap(source="user_surname", target="surname", clears=False),
        FieldMap(source="course_name", target="course_name", clears=False),
        FieldMap(source="authorised_until", target="ends_at", kind="moment", clears=False),
        FieldMap(source="venue", target="venue", clears=False),
    ),
    rules=(
        Join(
            feed="ManagerUserCourseDateAuthorisation",
            on=(("user_id", "user_id"), ("starts_at", "starts_at")),
            columns=(
                ("user_forenames", "user_forenames"),
                ("user_surname", "user_surname"),
                ("course_name", "course_name"),
                ("ends_at", "authorised_until"),
                ("venue", "venue"),
            ),
        ),
    ),
    scope=Scope(
        clauses=REQUESTED, leaves="follow", gone="close", closed=(("status", "Cancelled"),)
    ),
)


class Filters(Form):
    """Which course requests are loaded into HR."""

    companies: list[str] = Field(
        default=[],
        description="IDs of the companies (CompanyID) that book the delegates. Empty: all.",
    )
    custom_fields: list[str] = Field(
        default=[], description="Custom fields of delegates to load (CF_…)."
    )


def narrowed(filters: Filters) -> ProcessSpec:
    """:data:`SPEC` with these filters."""
    return within(
        SPEC,
        *REQUESTED,
        *among("company_id", filters.companies),
        custom_fields=filters.custom_fields,
    )


@flow(name="course_requests_to_hr", flow_run_name=at_start(SPEC), persist_result=False)
def course_requests_to_hr(
    filters: Filters = Filters(), run: RunOptions = RunOptions()
) -> State[None]:
    """Loads requests for courses that have not started into HR (vendor's guide: e).

    Course and venue come from the manager's authorisation.
    """
    return run_flow(narrowed(filters), run.order())
