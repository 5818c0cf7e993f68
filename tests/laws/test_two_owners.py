"""Edits on both sides over the real path: no loop, no lost edit, no write that is not due."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from flows import users_from_hr, users_to_hr
from flows.catalogue import PROCESSES
from reconciliation.ownership import CONFLICT
from tests.edits import change, employee, hr, one, there, writes
from tests.sides import Side

PAIRS = [name for name, chosen in PROCESSES.items() if chosen.scoped().pair]
COLUMNS = {"job_title": "JobTitle", "mobile": "Mobile", "town": "Town", "surname": "Surname"}


def both_ways(side: Side) -> int:
    """Every process that has a way back, once; how many rows were written."""
    return sum(side.run(PROCESSES[name].scoped()).written for name in PAIRS)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_after_many_rounds_of_edits_on_both_sides_nothing_is_lost_and_all_is_quiet(
    make_side: Callable[..., Side],
) -> None:
    """Every edit that was the only one of its field in its round is on both sides in the end,
    unless a later one came.

    A hundred rounds with ``make year``, eight in an ordinary run.
    """
    side = make_side(30, loaded=True)
    dice = random.Random(5)
    dated = side.dialect.date_updated is not None
    people = [(r["employee_id"], r["accessplanit_id"]) for r in side.rows("employees")]
    last: dict[tuple[str, str], tuple[int, set[str], str]] = {}
    edited: Counter[str] = Counter()
    whole = os.environ.get("HRSYNC_CHAOS") == "whole"
    rounds = 100 if whole and dated else 20 if whole else 8
    for number in range(rounds):
        for _ in range(dice.randint(0, 4)):
            key, user = dice.choice(people)
            # Without a date of the last change a conflict waits for a person: there each side has
            # fields of its own.
            here = dice.random() < 0.5
            names = list(COLUMNS) if dated else list(COLUMNS)[:2] if here else list(COLUMNS)[2:]
            column, value = dice.choice(names), f"v{number}-{dice.randrange(1000)}"
            if here:
                hr(
                    side,
                    f"UPDATE employees SET {column} = ? WHERE employee_id = ?",
                    value if column != "mobile" else f"07700 9{number:05}",
                    key,
                )
                edited[user] += 1
            else:
                change(
                    side,
                    f'UPDATE "User" SET "{COLUMNS[column]}" = ?, "DateUpdated" = NOW WHERE "ID" '
                    "= ?",
                    value,
                    user,
                )
            value = f"07700 9{number:05}" if here and column == "mobile" else value
            before = last.get((user, column))
            sides = {
                *(before[1] if before and before[0] == number else ()),
                "hr" if here else "accessplanit",
            }
            last[user, column] = number, sides, value
        for name in dice.sample(PAIRS[:2], 2):
            side.run(PROCESSES[name].scoped())
    for _ in range(2):
        both_ways(side)
    quiet, stamps = (
        writes(side),
        [(r["employee_id"], r["written_at"]) for r in side.rows("employees")],
    )
    assert both_ways(side) == 0
    assert (
        writes(side),
        [(r["employee_id"], r["written_at"]) for r in side.rows("employees")],
    ) == (quiet, stamps)
    rows = {r["accessplanit_id"]: r for r in side.rows("employees")}
    for (user, column), (_, sides, value) in last.items():
        assert rows[user][column] == one(side, user)[COLUMNS[column]]
        if len(sides) == 1:
            assert rows[user][column] == value
    sent = Counter(record for module, record, _ in writes(side) if module == "User")
    assert all(sent[user] <= edited[user] for user in sent), "no write that is not due"
    assert len(sent) > min(rounds // 4, len(people) // 2)


@pytest.mark.loaded
@pytest.mark.dialects
def test_a_conflict_waits_with_both_values_and_a_person_settles_it(side: Side) -> None:
    hold = {"conflict": "hold"}
    to_hr, from_hr = (s.model_copy(update=hold) for s in (users_to_hr.SPEC, users_from_hr.SPEC))
    rows = side.rows("employees")
    (key, user), (other, other_user) = ((r["employee_id"], r["accessplanit_id"]) for r in rows[:2])
    for employee_, user_ in ((key, user), (other, other_user)):
        hr(side, "UPDATE employees SET job_title = 'Here' WHERE employee_id = ?", employee_)
        change(
            side,
            'UPDATE "User" SET "JobTitle" = \'There\', "DateUpdated" = NOW WHERE "ID" = ?',
            user_,
        )
    assert side.run(to_hr).outcomes["held"] == 2
    assert side.run(from_hr).outcomes["held"] == 2
    assert {e["reason"] for e in side.store.quarantined()} >= {CONFLICT}
    now = datetime.now(UTC)
    side.store.settle_conflict("people", user, "job_title", "Here")  # accessplanit's is right
    side.store.settle_conflict("people", other_user, "job_title", "There")  # HR's is right
    for of_this, keys in ((to_hr, [user, other_user]), (from_hr, [key, other])):
        side.store.look_at(of_this, keys, "settled by hand", now)
    for _ in range(2):
        side.run(to_hr)
        side.run(from_hr)
    titles = {r["employee_id"]: r["job_title"] for r in side.rows("employees")}
    assert (titles[key], one(side, user)["JobTitle"]) == ("There", "There")
    assert (titles[other], one(side, other_user)["JobTitle"]) == ("Here", "Here")
    assert [e for e in side.store.quarantined() if e["reason"] == CONFLICT] == []


@pytest.mark.loaded
def test_a_user_made_from_hr_is_made_once_though_the_answer_was_lost(side: Side) -> None:
    """The process ends after the POST, before anything is written down."""
    employee(side, "N900")
    of_this = users_from_hr.SPEC
    world = side.world(of_this)
    apply = world.target.apply

    def dies(entity: str, changes: Any) -> Any:
        apply(entity, changes)
        raise KeyboardInterrupt

    world.target.apply = dies  # type: ignore[method-assign]
    from flows._run import Order, plainly, run_process

    with pytest.raises(KeyboardInterrupt):
        run_process(of_this, world, Order(), call=plainly)
    for _ in range(2):
        side.run(of_this)
        side.run(users_to_hr.SPEC)
    made = there(side, 'SELECT * FROM "User" WHERE "ExternalID" = \'N900\'')
    assert len(made) == 1
    assert [r["accessplanit_id"] for r in side.rows("employees") if r["employee_id"] == "N900"] == [
        made[0]["ID"]
    ]
    told = [e for e in side.store.story(made[0]["ID"]) if e["process"] == of_this.name]
    assert [(e["kind"], e["outcome"], e["note"]) for e in told] == [
        ("create", "created", "found after an interrupted run")
    ]


@pytest.mark.loaded
def test_an_unreadable_user_is_not_made_a_second_time(side: Side) -> None:
    hr(side, "DELETE FROM employees")
    with side.store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM link")
    victim = there(
        side,
        'SELECT * FROM "User" WHERE "Status" = \'Enabled\' AND "ExternalID" IS NOT NULL LIMIT 1',
    )[0]
    change(side, 'UPDATE "User" SET "Surname" = ? WHERE "ID" = ?', "x" * 41, victim["ID"])
    employee(side, victim["ExternalID"])
    employee(side, "N900")
    report = side.run(users_from_hr.SPEC)
    assert (report.outcomes["created"], report.outcomes["held"]) == (1, 1)
    assert (
        len(there(side, 'SELECT 1 FROM "User" WHERE "ExternalID" = ?', victim["ExternalID"])) == 1
    )


def test_a_budget_spreads_a_flood_of_changes_over_the_hours(make_side: Callable[..., Side]) -> None:
    """As 20,000 changes against 5,000 requests an hour, on a smaller scale; the whole: ``make
    flood``."""
    import os
    import time

    whole = os.environ.get("HRSYNC_CHAOS") == "whole"
    people, limit, hour = (20_000, 5_000, 15.0) if whole else (400, 100, 1.5)
    side = make_side(int(people * 1.2), hourly_limit=limit + 20, hour_seconds=hour)
    unlimited = {"guard": users_from_hr.SPEC.guard.model_copy(update={"update": None})}
    side.users()
    hr(
        side,
        "UPDATE employees SET job_title = 'Moved' WHERE employee_id IN (SELECT employee_id "
        "FROM employees LIMIT ?)",
        people,
    )
    began = time.monotonic()
    report = side.run(
        users_from_hr.SPEC.model_copy(update=unlimited), requests_per_hour=limit, hour_seconds=hour
    )
    took = time.monotonic() - began
    assert report.outcomes["updated"] == people
    assert report.outcomes["failed"] == 0
    assert took > hour * (people / limit - 2), "it has waited"
    assert (
        there(side, 'SELECT count(*) AS n FROM "User" WHERE "JobTitle" = \'Moved\'')[0]["n"]
        == people
    )
    assert side.run(users_from_hr.SPEC).written == 0
