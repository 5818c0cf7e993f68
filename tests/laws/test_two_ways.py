"""What one direction writes, the other looks at (law 13)."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

import pytest

from flows import users_from_hr, users_to_hr
from flows._run import Order, plainly, run_process
from flows.catalogue import PROCESSES
from tests.edits import change, hr, linked, new_user, one, there
from tests.examples import MANY
from tests.sides import Side
from tests.stops import SWEEP, stops


@pytest.fixture
def dialect_name() -> str:
    """With dates of change: without them a conflict waits for a person."""
    return "standard"


def both(side: Side, dice: random.Random | None = None) -> None:
    for spec in (dice or random).sample([users_to_hr.SPEC, users_from_hr.SPEC], 2):
        side.run(spec)


def test_law_13_a_value_that_is_put_back_before_the_other_way_has_run_is_a_change(
    make_side: Callable[..., Side],
) -> None:
    """Two values only, so that what is written now was often there before: each edit arrives,
    whoever made the one before."""
    side, dice = make_side(24, loaded=True), random.Random(3)
    people = [(row["employee_id"], row["accessplanit_id"]) for row in side.rows("employees")]

    def edit(at_hr: Iterable[str], at_accessplanit: Iterable[str]) -> dict[str, str]:
        values = {}
        for key, user_id in people:
            value = dice.choice(["Kendal", "Lancaster"])
            if user_id in at_hr:
                hr(side, "UPDATE employees SET town = ? WHERE employee_id = ?", value, key)
            elif user_id in at_accessplanit:
                change(
                    side,
                    'UPDATE "User" SET "Town" = ?, "DateUpdated" = NOW WHERE "ID" = ?',
                    value,
                    user_id,
                )
            else:
                continue
            values[user_id] = value
        return values

    for _ in range(MANY // 100 or 4):
        users = [user_id for _, user_id in people]
        first = dice.sample(users, len(users) // 2)
        rest = [user_id for user_id in users if user_id not in first]
        last = edit(first, rest)
        both(side, dice)
        last |= edit(
            [u for u in rest if dice.random() < 0.7], [u for u in first if dice.random() < 0.7]
        )
        both(side, dice)
        towns = {row["accessplanit_id"]: row["town"] for row in side.rows("employees")}
        assert towns == last
        assert {
            row["ID"]: row["Town"]
            for row in there(side, 'SELECT "ID", "Town" FROM "User"')
            if row["ID"] in last
        } == last


@pytest.mark.usefixtures("many_parts")
@pytest.mark.parametrize("place", [30, 42, 44])
def test_law_13_a_sweep_that_is_taken_up_again_takes_no_edit_back(
    make_side: Callable[..., Side], place: int
) -> None:
    side = make_side(24, loaded=True)
    key, user_id = linked(side)
    stops(side, users_to_hr.SPEC, SWEEP, place)
    hr(side, "UPDATE employees SET town = 'Kendal' WHERE employee_id = ?", key)
    side.run(users_from_hr.SPEC)
    side.run(users_to_hr.SPEC)
    assert one(side, user_id)["Town"] == "Kendal"
    assert (
        next(row["town"] for row in side.rows("employees") if row["employee_id"] == key) == "Kendal"
    )


def test_law_13_what_is_held_is_not_agreed(make_side: Callable[..., Side]) -> None:
    """A conflict that waits for a person is not settled by the other direction having looked at
    it."""
    side = make_side(24, loaded=True)
    key, user_id = linked(side)
    hr(side, "UPDATE employees SET town = 'Kendal' WHERE employee_id = ?", key)
    change(
        side,
        'UPDATE "User" SET "Town" = \'Lancaster\', "JobTitle" = \'Rigger\', "DateUpdated" = '
        'NOW WHERE "ID" = ?',
        user_id,
    )
    holding = [
        spec.model_copy(update={"conflict": "hold"})
        for spec in (users_to_hr.SPEC, users_from_hr.SPEC)
    ]
    for _ in range(3):
        for spec in holding:
            side.run(spec, SWEEP)
        assert one(side, user_id)["Town"] == "Lancaster"
        assert (
            next(row["town"] for row in side.rows("employees") if row["employee_id"] == key)
            == "Kendal"
        )
    hr(side, "UPDATE employees SET town = 'Lancaster' WHERE employee_id = ?", key)
    for spec in holding:
        side.run(spec, SWEEP)
    row = next(row for row in side.rows("employees") if row["employee_id"] == key)
    assert (row["town"], row["job_title"], one(side, user_id)["JobTitle"]) == (
        "Lancaster",
        "Rigger",
        "Rigger",
    ), "nor is the rest"


def test_law_13_an_edit_of_somebody_out_of_sight_waits_and_is_not_taken_for_agreed(
    make_side: Callable[..., Side],
) -> None:
    side = make_side(24, loaded=True)
    key, user_id = linked(side)
    row = one(side, user_id)
    change(side, 'DELETE FROM "User" WHERE "ID" = ?', user_id)
    hr(side, "UPDATE employees SET town = 'Kendal' WHERE employee_id = ?", key)
    both(side)
    names = ", ".join(f'"{name}"' for name in row)
    change(
        side, f'INSERT INTO "User" ({names}) VALUES ({", ".join("?" * len(row))})', *row.values()
    )
    side.run(users_to_hr.SPEC, SWEEP)
    side.run(users_from_hr.SPEC, SWEEP)
    assert one(side, user_id)["Town"] == "Kendal"
    assert (
        next(row["town"] for row in side.rows("employees") if row["employee_id"] == key) == "Kendal"
    )


@pytest.mark.parametrize("who", ["HR", "accessplanit"])
def test_law_13_somebody_who_has_left_by_either_side_comes_back_by_hr(
    make_side: Callable[..., Side], who: str
) -> None:
    side = make_side(24, loaded=True)
    key, user_id = linked(side)
    specs = (PROCESSES["users_to_hr"].scoped(leavers="close"), users_from_hr.SPEC)
    for spec in specs:
        side.run(spec)
    if who == "HR":
        hr(side, "UPDATE employees SET status = 'Left' WHERE employee_id = ?", key)
    else:
        change(
            side,
            'UPDATE "User" SET "Status" = \'Inactive\', "DateUpdated" = NOW WHERE "ID" = ?',
            user_id,
        )
    for spec in specs:
        side.run(spec)
    assert one(side, user_id)["Status"] == "Inactive"
    assert next(row["status"] for row in side.rows("employees") if row["employee_id"] == key) in (
        "Left",
        "Inactive",
    )
    hr(side, "UPDATE employees SET status = 'Active' WHERE employee_id = ?", key)
    for spec in specs:
        side.run(spec)
    assert one(side, user_id)["Status"] == "Enabled"


def test_law_13_an_approval_takes_nothing_back_that_was_agreed_since(
    make_side: Callable[..., Side],
) -> None:
    side, spec = make_side(24, loaded=True), users_to_hr.SPEC
    key, user_id = linked(side)

    def at_hr(title: str, later: int) -> None:
        statement = (
            "UPDATE employees SET job_title = ?, written_at = datetime('now', ? || ' "
            "seconds') WHERE employee_id = ?"
        )
        hr(side, statement, title, later, key)

    at_hr("Foreman", 1)
    change(
        side,
        'UPDATE "User" SET "JobTitle" = \'Foreman\', "DateUpdated" = NOW WHERE "ID" = ?',
        user_id,
    )
    new_user(side, "qx7newbie", ExternalID="N900")
    _, plan = run_process(spec, side.world(spec), Order(mode="plan", keep=True), call=plainly)
    at_hr("Manager", 5)
    side.run(users_from_hr.SPEC)
    assert one(side, user_id)["JobTitle"] == "Manager"
    run_process(spec, side.world(spec), Order(approve=plan.digest), call=plainly)
    at_hr("Foreman", 20)
    both(side, random.Random(1))
    both(side, random.Random(2))
    (row,) = (row for row in side.rows("employees") if row["employee_id"] == key)
    assert (row["job_title"], one(side, user_id)["JobTitle"]) == ("Foreman", "Foreman")
