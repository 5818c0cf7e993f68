"""What holds for the flow of every process."""

from __future__ import annotations

import pytest

from flows.catalogue import PROCESSES, as_it_is
from tests.edits import change, reasons
from tests.sides import Side

from . import plain_runs
from .prefect_runs import run


@pytest.mark.prefect
def test_a_kept_plan_of_a_flow_of_several_processes_is_applied_by_its_own(configured: Side) -> None:
    """The flow of job roles runs two processes; a plan of either is applied and the other one left
    alone."""
    from flows._run import Order, plainly, run_process

    side = configured
    run("users_to_hr")
    for name, table in (("job_roles_to_hr", "job_roles"), ("assignments_to_hr", "assignments")):
        spec = PROCESSES[name].scoped()
        _, plan = run_process(spec, side.world(spec), Order(mode="plan", keep=True), call=plainly)
        before = len(side.rows("assignments"))
        state = run("job_roles_to_hr", run={"approve": plan.digest})
        assert "created" in str(state.message)
        assert len(side.rows(table)) == len(plan.changes)
        assert table == "assignments" or len(side.rows("assignments")) == before == 0


CHANGED = {
    "users_to_hr": (
        "users_to_hr",
        "User",
        "employees",
        "accessplanit_id",
        ("JobTitle", "job_title", "Rigger", "Rigger"),
        "DateCreated",
    ),
    "awards_to_hr": (
        "awards_to_hr",
        "UserAward",
        "awards",
        "award_record_id",
        ("AwardLabel", "award_label", "Other", "Other"),
        "Passed",
    ),
    "award_targets_to_hr": (
        "award_targets_to_hr",
        "UserAward",
        "award_targets",
        "award_target_id",
        ("AwardLabel", "award_label", "Other", "Other"),
        "TargetDate",
    ),
    "delegates_to_hr": (
        "delegates_to_hr",
        "UserCourseDate",
        "registrations",
        "registration_id",
        ("CompanyName", "company_name", "Other", "Other"),
        "StartDate",
    ),
    "course_requests_to_hr": (
        "course_requests_to_hr",
        "UserCourseDate",
        "course_requests",
        "course_request_id",
        ("CompanyName", "company_name", "Other", "Other"),
        "StartDate",
    ),
    "assignments_to_hr": (
        "job_roles_to_hr",
        "UserUserType",
        "assignments",
        "assignment_id",
        ("FromDate", "valid_from", "2026-02-03T00:00:00", "2026-02-03"),
        "ToDate",
    ),
    "job_roles_to_hr": (
        "job_roles_to_hr",
        "UserType",
        "job_roles",
        "job_role_id",
        ("Description", "description", "Other", "Other"),
        "DateCreated",
    ),
}
"""Process -> its flow, module, entity and key; a field that changes; one that is spoilt."""


def test_every_process_to_hr_has_its_change_here() -> None:
    to_hr = {
        name
        for name, chosen in PROCESSES.items()
        if chosen.scoped().direction == "to_hr" and chosen.through is as_it_is
    }
    assert set(CHANGED) == to_hr, "add the process to CHANGED"


@pytest.mark.parametrize("name", CHANGED)
@pytest.mark.loaded
@pytest.mark.dialects
def test_a_change_arrives_and_a_record_that_cannot_be_read_is_quarantined_beside_it(
    side: Side, name: str
) -> None:
    flow, module, entity, key, (wire, column, value, becomes), spoilt = CHANGED[name]
    good, bad = (r[key] for r in side.rows(entity)[:2])
    change(
        side, f'UPDATE "{module}" SET "{wire}" = ?, "DateUpdated" = NOW WHERE "ID" = ?', value, good
    )
    change(
        side,
        f'UPDATE "{module}" SET "{spoilt}" = \'31.02.\', "DateUpdated" = NOW WHERE "ID" = ?',
        bad,
    )
    assert plain_runs.run(side, flow)["quarantined"] == 1
    assert next(r[column] for r in side.rows(entity) if r[key] == good) == becomes
    assert reasons(side, name)[bad].endswith("is not an ISO date")
