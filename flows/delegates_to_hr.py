"""Guide g and h: delegates who are registered onto courses, and what becomes of them."""

from __future__ import annotations

from datetime import datetime

from prefect import State, flow

from reconciliation.spec import Clause, ProcessSpec, Scope

from ._declared import DELEGATES, to_hr
from ._process import run_flow
from ._run import Mode, Order

STATUSES = ("Booked", "Provisional", "In Progress", "Completed")

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


def scoped(
    statuses: list[str] | None = None,
    companies: list[str] | None = None,
    training_providers: list[str] | None = None,
    courses: list[str] | None = None,
    custom_fields: list[str] | None = None,
) -> ProcessSpec:
    """:data:`SPEC` narrowed to the filters that the flow of this file explains."""
    clauses = [Clause(column="status", values=tuple(statuses or STATUSES))]
    for column, values in (
        ("company_id", companies),
        ("training_provider_id", training_providers),
        ("course_id", courses),
    ):
        if values:
            clauses.append(Clause(column=column, values=tuple(values)))
    scope = SPEC.scope.model_copy(update={"clauses": tuple(clauses)})
    return SPEC.model_copy(
        update={"scope": scope, "custom": (*SPEC.custom, *(custom_fields or ()))}
    )


@flow(name="delegates_to_hr", flow_run_name="delegates_to_hr {mode}", persist_result=False)
def delegates_to_hr(
    mode: Mode = "apply",
    statuses: list[str] | None = None,
    companies: list[str] | None = None,
    training_providers: list[str] | None = None,
    courses: list[str] | None = None,
    custom_fields: list[str] | None = None,
    since: datetime | None = None,
    full: bool = False,
    sweep: bool = False,
    hinted: bool = False,
    approve: str | None = None,
) -> State[None]:
    """Registrations onto courses reach HR, and go on being updated whatever becomes of them (guide
    g, h).

    Args:
        mode: apply writes; plan only counts what would be written.
        statuses: delegate statuses that bring a registration to HR; none given: Booked,
            Provisional, In Progress, Completed.
        companies: IDs of the companies that delegates are booked with (CompanyID); none given: all.
        training_providers: IDs of the training providers; none given: all.
        courses: IDs of the courses; none given: all.
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
    return run_flow(scoped(statuses, companies, training_providers, courses, custom_fields), order)
