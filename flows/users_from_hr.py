"""HR's employees → accessplanit's users; leavers are disabled, never deleted (vendor's guide:
b, d)."""

from __future__ import annotations

from typing import Literal

from prefect import State, flow
from pydantic import Field

from reconciliation.spec import Clause, Guard, Limit, MatchRule, ProcessSpec, Scope

from ._declared import among, from_hr, mapping, within
from ._process import run_flow
from .options import Form, RunOptions
from .run_name import at_start

LEAVERS = ("Inactive", "Left", "Leaver", "Terminated", "Deleted")

PEOPLE = mapping("people")
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


class Filters(Form):
    """Which employees are loaded into accessplanit, and which of them have left."""

    companies: list[str] = Field(
        default=[], description="IDs of the companies whose employees are sent. Empty: all."
    )
    leaver_statuses: list[str] = Field(
        default=[],
        description="HR statuses of people who have left. Their user gets the status Inactive and "
        f"is never deleted. Empty: {', '.join(LEAVERS)}.",
    )
    gone: Literal["report", "close"] = Field(
        default="report",
        description="A user whose employee a sweep no longer finds in HR: report lists it, close "
        "sets the status Inactive.",
    )


def narrowed(filters: Filters) -> ProcessSpec:
    """:data:`SPEC` with these filters."""
    left = tuple(filters.leaver_statuses or LEAVERS)
    return within(
        SPEC,
        Clause(column="status", op="not_in", values=left),
        *among("company_id", filters.companies),
        # Moving to another company is not leaving: only a leaver's status closes.
        closes=Clause(column="status", values=left),
        gone=filters.gone,
    )


@flow(name="users_from_hr", flow_run_name=at_start(SPEC), persist_result=False)
def users_from_hr(filters: Filters = Filters(), run: RunOptions = RunOptions()) -> State[None]:
    """Loads new and changed employees into accessplanit (vendor's guide: b, d).

    A new employee becomes a user. Leavers are disabled there, never deleted.
    """
    return run_flow(narrowed(filters), run.order())
