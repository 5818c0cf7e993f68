"""accessplanit's requirements and HR's tables → HR's role compliance: who lacks which award that
their job roles require."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from functools import partial
from typing import cast
from zoneinfo import ZoneInfo

from prefect import State, flow
from pydantic import Field

from reconciliation.compliance import FEED, ComplianceSource
from reconciliation.job_roles import counts_by_role
from reconciliation.spec import FieldMap, Guard, HeldByReason, Limit, ProcessSpec, Scope
from tasks.publish import publish_table

from ._process import run_flow
from ._run import World
from .options import Form, WriteOptions
from .run_name import at_start
from .users_from_hr import LEAVERS

SPEC = ProcessSpec(
    name="role_compliance",
    title="Role compliance",
    feed=FEED,
    entity="role_compliance",
    entity_key="compliance_id",
    updated=None,
    created=None,
    rules=(HeldByReason(column="doubt"),),
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


class Filters(Form):
    """Which day to report on, and when an award counts as expiring."""

    as_of: date | None = Field(
        default=None,
        description="The day to report on. Empty: today. The states as of another day stay in HR's "
        "table until the next run.",
    )
    expiring_within_days: int = Field(
        default=90,
        ge=0,
        description='An award is "expiring" from this number of days before its expiry.',
    )


def narrowed(filters: Filters) -> ProcessSpec:
    """Returns :data:`SPEC`. The filters change what is computed, not which rows are in scope."""
    return SPEC


def computed(world: World, filters: Filters = Filters()) -> World:
    """Returns ``world`` with a source that computes the compliance."""
    day = filters.as_of or world.clock().astimezone(ZoneInfo(world.zone)).date()
    source = ComplianceSource(
        source=world.source,
        target=world.target,
        day=day,
        expiring_within_days=filters.expiring_within_days,
        leavers=LEAVERS,
    )
    return replace(world, source=source)


def publish_counts(world: World) -> None:
    """Shows in the Prefect UI how many people hold what their job roles require. ``world`` comes
    from :func:`computed`."""
    source = cast(ComplianceSource, world.source)
    publish_table(
        counts_by_role(source.found()),
        "role-compliance-counts",
        f"Role compliance as of {source.day:%d %b %Y}: how many hold what their role requires",
    )


@flow(name="role_compliance", flow_run_name=at_start(SPEC), persist_result=False)
def role_compliance(
    filters: Filters = Filters(), run: WriteOptions = WriteOptions()
) -> State[None]:
    """Write to HR's table role_compliance who lacks which award that their job roles require.

    Each run compares everything. It also publishes the counts.
    """
    # An approved plan is only applied: nothing is read, so there are no counts to publish.
    reads = not run.approve
    return run_flow(
        SPEC,
        replace(run.order(), sweep=reads),
        through=partial(computed, filters=filters),
        after=publish_counts if reads else None,
    )
