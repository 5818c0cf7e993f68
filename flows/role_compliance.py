"""Who lacks which of the awards that their job roles require."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

from prefect import State, flow

from reconciliation.job_roles import counted
from reconciliation.spec import FieldMap, Guard, Limit, ProcessSpec, Scope
from tasks.compliance import FEED, ComplianceSource
from tasks.publish import table

from ._process import run_flow
from ._run import Mode, Order, World
from .users_from_hr import LEAVERS

SPEC = ProcessSpec(
    name="role_compliance",
    title="Role compliance",
    feed=FEED,
    entity="role_compliance",
    entity_key="compliance_id",
    updated=None,
    created=None,
    doubt="doubt",
    fields=(
        FieldMap(source="employee_id", target="employee_id"),
        FieldMap(source="user_id", target="accessplanit_user_id"),
        FieldMap(source="job_role_id", target="job_role_id"),
        FieldMap(source="job_role_label", target="job_role_label"),
        FieldMap(source="award_id", target="award_id"),
        FieldMap(source="award_label", target="award_label"),
        FieldMap(source="state", target="state"),
        FieldMap(source="expires_on", target="expires_on", kind="day"),
        FieldMap(source="target_date", target="target_date", kind="day"),
        FieldMap(source="as_of", target="as_of", kind="day", compare=False),
    ),
    scope=Scope(gone="close", closed=(("state", "not required"),)),
    guard=Guard(update=Limit(percent=60, absolute=2000), close=Limit(percent=20, absolute=500)),
)


def scoped() -> ProcessSpec:
    """:data:`SPEC`: there is nothing to narrow."""
    return SPEC


def computed(world: World, as_of: date | None = None, expiring_within_days: int = 90) -> World:
    """A world whose source computes the compliance as of a day, today if none is named."""
    day = as_of or world.clock().astimezone(ZoneInfo(world.zone)).date()
    return replace(
        world,
        source=ComplianceSource(world.source, world.target, day, expiring_within_days, LEAVERS),
    )


@flow(name="role_compliance", flow_run_name="role_compliance {mode}", persist_result=False)
def role_compliance(
    mode: Mode = "apply",
    as_of: date | None = None,
    expiring_within_days: int = 90,
    approve: str | None = None,
) -> State[None]:
    """Publish in HR who lacks which of the awards that their job roles require (table
    role_compliance), and the counts.

    Args:
        mode: apply writes; plan only counts what would be written.
        as_of: the day that is asked about; none given: today.
        expiring_within_days: number of days before its expiry date from which an award is
            "expiring".
        approve: the digest of a kept plan: exactly that one is applied, and nothing is read.
    """

    def through(world: World) -> World:
        return computed(world, as_of, expiring_within_days)

    def after(world: World) -> None:
        if isinstance(world.source, ComplianceSource) and not approve:
            rows = counted(world.source.found())
            table(
                rows,
                "role-compliance-counts",
                f"Role compliance as of {world.source.day:%d %b %Y}: how many hold what their "
                "role requires",
            )

    return run_flow(
        SPEC, Order(mode=mode, sweep=True, approve=approve), through=through, after=after
    )
