"""Guide b and d: new and changed employees reach accessplanit; leavers are disabled, never
deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from prefect import State, flow

from reconciliation.spec import Clause, Guard, Limit, MatchRule, ProcessSpec, Scope

from ._declared import PEOPLE, from_hr
from ._process import run_flow
from ._run import Mode, Order

LEAVERS = ("Inactive", "Left", "Leaver", "Terminated", "Deleted")

SPEC = ProcessSpec(
    name="users_from_hr",
    title="Users from HR",
    direction="from_hr",
    opposite="users_to_hr",
    pair="people",
    **PEOPLE.ownership("from_hr"),
    feed="employees",
    entity="User",
    key="employee_id",
    updated="written_at",
    created=None,
    target_updated="updated_at",
    entity_key="id",
    new_key="new:",
    fields=from_hr(PEOPLE),
    match=(
        MatchRule(source="accessplanit_id", target="id"),
        MatchRule(source="employee_number", target="external_id"),
        MatchRule(source="employee_id", target="external_id"),
        MatchRule(source="email", target="email", weak=True),
    ),
    scope=Scope(
        clauses=(Clause(column="status", op="not_in", values=LEAVERS),),
        leaves="close",
        closes=Clause(column="status", values=LEAVERS),
        closed=(("status", "Inactive"),),
    ),
    guard=Guard(create=Limit(percent=10, absolute=100)),
)


def scoped(
    companies: list[str] | None = None,
    leaver_statuses: list[str] | None = None,
    gone: Literal["report", "close"] = "report",
) -> ProcessSpec:
    """:data:`SPEC` narrowed to the filters that the flow of this file explains."""
    left = tuple(leaver_statuses or LEAVERS)
    clauses = [Clause(column="status", op="not_in", values=left)]
    if companies:
        # Somebody of another company is not somebody who has left: only a leaver's status closes.
        clauses.append(Clause(column="company_id", values=tuple(companies)))
    closes = Clause(column="status", values=left)
    return SPEC.model_copy(
        update={
            "scope": SPEC.scope.model_copy(
                update={"clauses": tuple(clauses), "closes": closes, "gone": gone}
            )
        }
    )


@flow(name="users_from_hr", flow_run_name="users_from_hr {mode}", persist_result=False)
def users_from_hr(
    mode: Mode = "apply",
    companies: list[str] | None = None,
    leaver_statuses: list[str] | None = None,
    gone: Literal["report", "close"] = "report",
    since: datetime | None = None,
    full: bool = False,
    sweep: bool = False,
    hinted: bool = False,
    approve: str | None = None,
) -> State[None]:
    """New employees become users of accessplanit, changed ones are updated there, leavers disabled
    (guide b, d).

    Args:
        mode: apply writes; plan only counts what would be written.
        companies: IDs of the companies whose employees are sent; none given: all.
        leaver_statuses: HR's statuses of somebody who has left: such a user is disabled (status
            Inactive), never deleted.
        gone: what becomes of a user whose employee a sweep finds gone from HR: it is reported, or
            disabled.
        since: read what changed from this moment on (UTC if it has no offset), whatever was read
            before.
        full: read everything again; what is unchanged is not written.
        sweep: read everything and compare it with all of accessplanit: finds what was changed
            there, and what is gone here.
        hinted: read only the records that webhooks have named since the last run.
        approve: the digest of a kept plan: exactly that one is applied, and nothing is read.
    """
    order = Order(mode=mode, since=since, full=full, sweep=sweep, hinted=hinted, approve=approve)
    return run_flow(scoped(companies, leaver_statuses, gone), order)
