"""A plan that was approved, interrupted, or overtaken (law 8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from flows import users_from_hr, users_to_hr
from flows._run import Order, plainly, run_process
from flows.catalogue import PROCESSES
from reconciliation.errors import StalePlan, TargetFailed
from tests.edits import employee, hr, linked, new_user, one, there, writes
from tests.sides import Side
from tests.stops import SWEEP, stops
from tests.worlds import NOW


@pytest.fixture
def dialect_name() -> str:
    """With dates of change: without them a conflict waits for a person."""
    return "standard"


def _news(side: Side, name: str) -> tuple[str, str]:
    """Something new in HR for a process from HR; the module, and a query that counts what is made
    of it."""
    key, user_id = linked(side)
    if name == "users_from_hr":
        for n in range(3):
            employee(side, f"N90{n}", employee_number=f"9{n}")
        return (
            "User",
            "SELECT \"ExternalID\" FROM \"User\" WHERE \"ExternalID\" IN ('90', '91', '92')",
        )
    if name == "award_targets_from_hr":
        has = {
            row["AwardID"]
            for row in there(side, 'SELECT "AwardID" FROM "UserAward" WHERE "UserID" = ?', user_id)
        }
        free = [
            row["ID"] for row in there(side, 'SELECT "ID" FROM "Award"') if row["ID"] not in has
        ][:3]
        for n, award_id in enumerate(free):
            aim = (
                "INSERT INTO award_targets (award_target_id, employee_id, award_id, "
                "target_date) VALUES (?, ?, ?, '2027-05-01')"
            )
            hr(side, aim, f"HR-{n}", key, award_id)
        marks = ", ".join(f"'{award_id}'" for award_id in free)
        return (
            "UserAward",
            f'SELECT "AwardID" FROM "UserAward" WHERE "UserID" = \'{user_id}\' AND "AwardID" IN '
            f"({marks})",
        )
    has = {
        row["UserTypeID"]
        for row in there(
            side, 'SELECT "UserTypeID" FROM "UserUserType" WHERE "UserID" = ?', user_id
        )
    }
    free = [
        row["ID"] for row in there(side, 'SELECT "ID" FROM "UserType"') if row["ID"] not in has
    ][:3]
    for n, role in enumerate(free):
        give = (
            "INSERT INTO assignments (assignment_id, employee_id, job_role_id, valid_from) "
            "VALUES (?, ?, ?, '2026-11-01')"
        )
        hr(side, give, f"HR-{n}", key, role)
    marks = ", ".join(f"'{role}'" for role in free)
    return (
        "UserUserType",
        f'SELECT "UserTypeID" FROM "UserUserType" WHERE "UserID" = \'{user_id}\' AND '
        f'"UserTypeID" IN ({marks})',
    )


@pytest.mark.parametrize("name", ["users_from_hr", "award_targets_from_hr", "assignments_from_hr"])
def test_a_plan_that_was_approved_and_interrupted_is_finished_and_sends_nothing_twice(
    make_side: Callable[..., Side], name: str
) -> None:
    side = make_side(24, loaded=True)
    module, made = _news(side, name)
    spec = PROCESSES[name].scoped()
    _, plan = run_process(spec, side.world(spec), Order(mode="plan", keep=True), call=plainly)
    assert plan.counts()["create"] == 3
    stops(side, spec, Order(approve=plan.digest))
    report, _ = run_process(spec, side.world(spec), Order(approve=plan.digest), call=plainly)
    assert report.adds_up()
    side.run(spec, SWEEP)
    assert len(there(side, made)) == 3
    assert len([event for event in writes(side) if event[0] == module]) == 3


def test_an_incomplete_read_while_approving_leaves_the_plan_as_it_is(
    make_side: Callable[..., Side],
) -> None:
    side = make_side(24, loaded=True)
    _, made = _news(side, "users_from_hr")
    spec = users_from_hr.SPEC
    _, plan = run_process(spec, side.world(spec), Order(mode="plan", keep=True), call=plainly)
    world = side.world(spec)
    read = world.target.read
    world.target.read = lambda *args: replace(read(*args), complete=False)  # type: ignore[method-assign]
    with pytest.raises(TargetFailed, match="could not be read in full"):
        run_process(spec, world, Order(approve=plan.digest), call=plainly)
    assert there(side, made) == []
    run_process(spec, side.world(spec), Order(approve=plan.digest), call=plainly)
    assert len(there(side, made)) == 3


def two_rows_of_the_new_user(side: Side) -> None:
    employee(side, "ROW1", employee_number="N900", email="other@x.example")
    employee(side, "ROW2", employee_number=None, email="newbie@x.example")


def the_row_linked_by_hand(side: Side) -> None:
    new_user(side, "qx7other")
    side.store.set_link("employees", "qx7other", "ROW0", NOW)


@pytest.mark.parametrize("meanwhile", [two_rows_of_the_new_user, the_row_linked_by_hand])
def test_law_8_an_approved_plan_is_refused_when_hr_or_a_person_has_said_otherwise_since(
    make_side: Callable[..., Side], meanwhile: Callable[[Side], None]
) -> None:
    side, spec = make_side(24, loaded=True), users_to_hr.SPEC
    employee(side, "ROW0", employee_number=None, email="jo@x.example")
    new_user(side, "qx7newbie", ExternalID="N900", Email="newbie@x.example")
    new_user(side, "qx7jo", Email="jo@x.example")
    _, plan = run_process(spec, side.world(spec), Order(mode="plan", keep=True), call=plainly)
    assert (plan.counts()["create"], plan.counts()["update"]) == (1, 1)
    meanwhile(side)
    before = side.rows("employees")
    with pytest.raises(StalePlan):
        run_process(spec, side.world(spec), Order(approve=plan.digest), call=plainly)
    assert side.rows("employees") == before


def test_law_8_what_somebody_else_has_made_since_is_not_taken_for_the_plan_s_own(
    make_side: Callable[..., Side],
) -> None:
    side, spec = make_side(24, loaded=True), users_from_hr.SPEC
    employee(side, "N900")
    _, plan = run_process(spec, side.world(spec), Order(mode="plan", keep=True), call=plainly)
    new_user(side, "qx7made", ExternalID="N900", Status="Inactive")
    with pytest.raises(StalePlan):
        run_process(spec, side.world(spec), Order(approve=plan.digest), call=plainly)
    assert one(side, "qx7made")["Surname"] == "Bie"
