"""accessplanit's delegates → HR's registrations onto courses (vendor's guide: g, h)."""

from __future__ import annotations

from prefect import State, flow
from pydantic import Field

from reconciliation.spec import Clause, ProcessSpec, Scope

from ._declared import among, mapping, to_hr, within
from ._process import run_flow
from .options import Form, RunOptions
from .run_name import at_start

STATUSES = ("Booked", "Provisional", "In Progress", "Completed")

DELEGATES = mapping("delegates")
SPEC = ProcessSpec(
    name="delegates_to_hr",
    title="Delegates to HR",
    feed="UserCourseDate",
    entity="registrations",
    entity_key="registration_id",
    person="user_id",
    fields=to_hr(DELEGATES),
    custom=DELEGATES.custom_of("accessplanit"),
    scope=Scope(
        clauses=(Clause(column="status", values=STATUSES),),
        leaves="follow",
        gone="close",
        closed=(("status", "Cancelled"),),
    ),
)


class Filters(Form):
    """Which registrations are loaded into HR."""

    statuses: list[str] = Field(
        default=[],
        description="Delegate statuses that bring a registration to HR. Empty: "
        f"{', '.join(STATUSES)}.",
    )
    companies: list[str] = Field(
        default=[],
        description="IDs of the companies (CompanyID) that book the delegates. Empty: all.",
    )
    training_providers: list[str] = Field(
        default=[], description="IDs of the training providers. Empty: all."
    )
    courses: list[str] = Field(default=[], description="IDs of the courses. Empty: all.")
    custom_fields: list[str] = Field(
        default=[], description="Custom fields of delegates to load (CF_…)."
    )


def narrowed(filters: Filters) -> ProcessSpec:
    """:data:`SPEC` with these filters."""
    return within(
        SPEC,
        *among("status", filters.statuses or STATUSES),
        *among("company_id", filters.companies),
        *among("training_provider_id", filters.training_providers),
        *among("course_id", filters.courses),
        custom_fields=filters.custom_fields,
    )


@flow(name="delegates_to_hr", flow_run_name=at_start(SPEC), persist_result=False)
def delegates_to_hr(filters: Filters = Filters(), run: RunOptions = RunOptions()) -> State[None]:
    """Loads registrations onto courses, and their outcomes, into HR (vendor's guide: g, h).

    A registration that is in HR is updated even after it leaves the filter.
    """
    return run_flow(narrowed(filters), run.order())
