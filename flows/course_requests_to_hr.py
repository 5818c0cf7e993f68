"""Guide e: course requests, with the manager's authorisation that they wait for."""

from __future__ import annotations

from datetime import datetime

from prefect import State, flow

from reconciliation.spec import Clause, FieldMap, Join, ProcessSpec, Scope

from ._declared import COURSE_REQUESTS, to_hr
from ._process import run_flow
from ._run import Mode, Order

REQUESTED = (
    Clause(column="status", values=("Provisional",)),
    Clause(column="starts_at", op="future"),
)

SPEC = ProcessSpec(
    name="course_requests_to_hr",
    title="Course requests to HR",
    feed="UserCourseDate",
    entity="course_requests",
    entity_key="course_request_id",
    person="user_id",
    fields=(
        *to_hr(COURSE_REQUESTS),
        # What the authorisation adds; it ends with the request, which is no reason to empty what HR
        # was told.
        FieldMap(source="user_forenames", target="forenames", erases=False),
        FieldMap(source="user_surname", target="surname", erases=False),
        FieldMap(source="course_name", target="course_name", erases=False),
        FieldMap(source="authorised_until", target="ends_at", kind="moment", erases=False),
        FieldMap(source="venue", target="venue", erases=False),
    ),
    join=Join(
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
    scope=Scope(
        clauses=REQUESTED, leaves="follow", gone="close", closed=(("status", "Cancelled"),)
    ),
)


def scoped(
    companies: list[str] | None = None, custom_fields: list[str] | None = None
) -> ProcessSpec:
    """:data:`SPEC` narrowed to the filters that the flow of this file explains."""
    clauses = [
        *REQUESTED,
        *([Clause(column="company_id", values=tuple(companies))] if companies else []),
    ]
    scope = SPEC.scope.model_copy(update={"clauses": tuple(clauses)})
    return SPEC.model_copy(update={"scope": scope, "custom": tuple(custom_fields or ())})


@flow(
    name="course_requests_to_hr", flow_run_name="course_requests_to_hr {mode}", persist_result=False
)
def course_requests_to_hr(
    mode: Mode = "apply",
    companies: list[str] | None = None,
    custom_fields: list[str] | None = None,
    since: datetime | None = None,
    full: bool = False,
    sweep: bool = False,
    hinted: bool = False,
    approve: str | None = None,
) -> State[None]:
    """Requests for courses that are yet to start reach HR, with course and venue of the manager's
    authorisation (guide e).

    Args:
        mode: apply writes; plan only counts what would be written.
        companies: IDs of the companies that delegates are booked with (CompanyID); none given: all.
        custom_fields: custom fields of delegates to carry along (CF_…).
        since: read what changed from this moment on (UTC if it has no offset), whatever was read
            before.
        full: read everything again; what is unchanged is not written.
        sweep: read everything and compare it with all of HR: finds what was changed there, and what
            is gone here.
        hinted: read only the records that webhooks have named since the last run.
        approve: the digest of a kept plan: exactly that one is applied, and nothing is read.
    """
    order = Order(mode=mode, since=since, full=full, sweep=sweep, hinted=hinted, approve=approve)
    return run_flow(scoped(companies, custom_fields), order)
