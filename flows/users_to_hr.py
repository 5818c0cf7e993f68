"""Guide a and c: new and updated users reach HR."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from prefect import State, flow

from reconciliation.spec import Clause, MatchRule, ProcessSpec, Scope

from ._declared import PEOPLE, to_hr
from ._process import run_flow
from ._run import Mode, Order

SPEC = ProcessSpec(
    name="users_to_hr",
    title="Users to HR",
    feed="User",
    entity="employees",
    entity_key="employee_id",
    opposite="users_from_hr",
    pair="people",
    **PEOPLE.ownership("to_hr"),
    fields=to_hr(PEOPLE),
    custom=PEOPLE.custom_of("accessplanit"),
    target_updated="written_at",
    natural_key="external_id",
    match=(
        MatchRule(source="id", target="accessplanit_id"),
        MatchRule(source="external_id", target="employee_id"),
        MatchRule(source="external_id", target="employee_number"),
        MatchRule(source="email", target="email", weak=True),
    ),
    scope=Scope(
        clauses=(Clause(column="status", values=("Enabled", "New")),),
        closes=Clause(column="status", op="not_in", values=("Enabled", "New")),
        closed=(("status", "Inactive"),),
    ),
)


def scoped(
    companies: list[str] | None = None,
    statuses: list[str] | None = None,
    custom_fields: list[str] | None = None,
    leavers: Literal["ignore", "close"] = "ignore",
    gone: Literal["report", "close"] = "report",
) -> ProcessSpec:
    """:data:`SPEC` narrowed to the filters that the flow of this file explains."""
    clauses = [Clause(column="status", values=tuple(statuses or ("Enabled", "New")))]
    if companies:
        clauses.append(Clause(column="company_id", values=tuple(companies)))
    # Somebody who has changed company has not left: only a status outside those in scope closes.
    closes = clauses[0].model_copy(update={"op": "not_in"})
    scope = SPEC.scope.model_copy(
        update={"clauses": tuple(clauses), "leaves": leavers, "closes": closes, "gone": gone}
    )
    return SPEC.model_copy(
        update={"scope": scope, "custom": (*SPEC.custom, *(custom_fields or ()))}
    )


@flow(name="users_to_hr", flow_run_name="users_to_hr {mode}", persist_result=False)
def users_to_hr(
    mode: Mode = "apply",
    companies: list[str] | None = None,
    statuses: list[str] | None = None,
    custom_fields: list[str] | None = None,
    leavers: Literal["ignore", "close"] = "ignore",
    gone: Literal["report", "close"] = "report",
    since: datetime | None = None,
    full: bool = False,
    sweep: bool = False,
    hinted: bool = False,
    approve: str | None = None,
) -> State[None]:
    """New and updated users reach HR (guide a, c).

    Args:
        mode: apply writes; plan only counts what would be written.
        companies: IDs of the companies (MainCompanyID) whose people are loaded; none given: all.
        statuses: user statuses in scope; the guide's are Enabled and New.
        custom_fields: custom fields of users to carry along, by their names in accessplanit (CF_…).
        leavers: what becomes of an employee whose user has left the scope: nothing, or the status
            Inactive.
        gone: what becomes of an employee whose user a sweep finds gone: it is reported, or gets the
            status Inactive.
        since: read what changed from this moment on (UTC if it has no offset), whatever was read
            before.
        full: read everything again; what is unchanged is not written.
        sweep: read everything and compare it with all of HR: finds what was changed there, and what
            is gone here.
        hinted: read only the records that webhooks have named since the last run.
        approve: the digest of a kept plan: exactly that one is applied, and nothing is read.
    """
    order = Order(mode=mode, since=since, full=full, sweep=sweep, hinted=hinted, approve=approve)
    return run_flow(scoped(companies, statuses, custom_fields, leavers, gone), order)
