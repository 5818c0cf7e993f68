"""accessplanit's users → HR's employees, new and updated (vendor's guide: a, c)."""

from __future__ import annotations

from typing import Literal

from prefect import State, flow
from pydantic import Field

from reconciliation.spec import Clause, MatchRule, ProcessSpec, Scope

from ._declared import among, mapping, to_hr, within
from ._process import run_flow
from .options import Form, RunOptions
from .run_name import at_start

STATUSES = ("Enabled", "New")

PEOPLE = mapping("people")
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
        clauses=(Clause(column="status", values=STATUSES),),
        closes=Clause(column="status", op="not_in", values=STATUSES),
        closed=(("status", "Inactive"),),
    ),
)


class Filters(Form):
    """Which users are loaded into HR, and what happens to the employee when a user leaves."""

    companies: list[str] = Field(
        default=[],
        description="IDs of the companies (MainCompanyID) whose users are loaded. Empty: all.",
    )
    statuses: list[str] = Field(
        default=[],
        description=f"User statuses in scope. Empty: {' and '.join(STATUSES)}, as in the guide.",
    )
    custom_fields: list[str] = Field(
        default=[],
        description="Custom fields of users to load, by their accessplanit name (CF_…).",
    )
    leavers: Literal["ignore", "close"] = Field(
        default="ignore",
        description="An employee whose user left the scope: ignore keeps the row as it is, close "
        "sets the status Inactive.",
    )
    gone: Literal["report", "close"] = Field(
        default="report",
        description="An employee whose user a sweep no longer finds: report lists it, close sets "
        "the status Inactive.",
    )


def narrowed(filters: Filters) -> ProcessSpec:
    """:data:`SPEC` with these filters."""
    statuses = filters.statuses or STATUSES
    return within(
        SPEC,
        *among("status", statuses),
        *among("company_id", filters.companies),
        custom_fields=filters.custom_fields,
        leaves=filters.leavers,
        # Moving to another company is not leaving: only a status outside the scope closes.
        closes=Clause(column="status", op="not_in", values=tuple(statuses)),
        gone=filters.gone,
    )


@flow(name="users_to_hr", flow_run_name=at_start(SPEC), persist_result=False)
def users_to_hr(filters: Filters = Filters(), run: RunOptions = RunOptions()) -> State[None]:
    """Loads new and updated users into HR (vendor's guide: a, c)."""
    return run_flow(narrowed(filters), run.order())
