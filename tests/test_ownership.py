"""Two owners of a field: decided by what was agreed, never by a coin; no loop, no lost edit, no
write that is not due."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import users_from_hr, users_to_hr
from flows.catalogue import PROCESSES
from reconciliation.frame import of
from reconciliation.ownership import AGREED, CONFLICT, decide
from reconciliation.spec import FieldMap, MatchRule, ProcessSpec

from .conftest import Side
from .test_laws import examples
from .test_two_ways import change, employee, everything, hr, one, there, writes

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
VALUES = st.sampled_from([None, "a", "b", "c"])


def spec(
    owner: str, conflict: str = "newest", first: str = "source", clears: bool = True
) -> ProcessSpec:
    return ProcessSpec(
        name="p",
        title="P",
        pair="pair",
        conflict=conflict,  # type: ignore[arg-type]
        first=first,  # type: ignore[arg-type]
        feed="User",
        entity="employees",
        entity_key="k",
        target_updated="written_at",
        match=(MatchRule(source="id", target="v"),),
        fields=(FieldMap(source="x", target="v", owner=owner, clears=clears),),  # type: ignore[arg-type]
    )


def decided(
    of_this: ProcessSpec,
    ours: str | None,
    theirs: str | None,
    agreed: tuple[str | None] | None,
    newer: bool | None,
) -> tuple[str | None, bool, str | bool | None]:
    """(the value that will be, held, what is agreed anew: False for nothing)."""
    data = of(
        {"id": "text", "x": "text", "updated_at": "moment"},
        [("r", ours, NOON if newer is not None else None)],
    )
    wanted = of({"source_key": "text", "k": "text", "v": "text"}, [("r", "row", ours)])
    moment = NOON + timedelta(minutes=-1 if newer else 1)
    target = of({"k": "text", "v": "text", "written_at": "moment"}, [("row", theirs, moment)])
    known = of(AGREED, [("r", "x", agreed[0])] if agreed else [])
    found = decide(of_this, data, wanted, target, known)
    held = found.held["reason"].tolist() == [CONFLICT]
    value = (
        theirs
        if held
        else found.wanted["v"].astype(object).where(found.wanted["v"].notna(), None).tolist()[0]
    )
    fresh = found.agreed["value"].astype(object).where(found.agreed["value"].notna(), None).tolist()
    return value, held, fresh[0] if fresh else False


@examples(400)
@given(
    ours=VALUES,
    theirs=VALUES,
    before=VALUES,
    newer=st.none() | st.booleans(),
    conflict=st.sampled_from(["newest", "hold"]),
)
def test_law_4_the_newest_value_counts_and_a_conflict_is_never_a_coin_toss(
    ours: str | None, theirs: str | None, before: str | None, newer: bool | None, conflict: str
) -> None:
    value, held, fresh = decided(spec("newest", conflict), ours, theirs, (before,), newer)
    we, they = ours != before, theirs != before
    if ours == theirs:
        assert (value, held) == (theirs, False)
    elif we and they:
        assert held == (conflict == "hold" or newer is None)
        assert held or value == (ours if newer else theirs)
    else:
        assert (value, held) == ((ours if we else theirs), False)
    if fresh is not False:
        assert fresh == value == ours, "agreed is what both will have"
    if not held and value == ours != before:
        assert fresh == ours


@examples(200)
@given(ours=VALUES, theirs=VALUES, before=st.none() | st.tuples(VALUES))
def test_law_4_what_a_side_owns_the_other_never_overwrites(
    ours: str | None, theirs: str | None, before: tuple[str | None] | None
) -> None:
    assert decided(spec("target"), ours, theirs, before, True)[:2] == (
        (theirs if theirs is not None else ours),
        False,
    )
    assert decided(spec("source", clears=False), ours, theirs, before, False)[:2] == (
        (ours if ours is not None else theirs),
        False,
    )


@pytest.mark.parametrize(
    ("first", "newer"), list(product(["source", "target", "newest", "hold"], [True, False, None]))
)
def test_the_first_contact_goes_as_declared(first: str, newer: bool | None) -> None:
    of_this = spec("newest", first=first)
    value, held, _ = decided(of_this, "a", "b", None, newer)
    expected = {
        "source": "a",
        "target": "b",
        "newest": None if newer is None else "a" if newer else "b",
        "hold": None,
    }[first]
    assert held == (expected is None)
    assert held or value == expected
    assert decided(of_this, "a", None, None, newer)[:2] == ("a", False), "a value fills the place"
    assert decided(of_this, None, "b", None, newer)[:2] == ("b", False)


# -- over the real path --------------------------------------------------------------------------

PAIRS = [name for name, chosen in PROCESSES.items() if chosen.scoped().pair]
COLUMNS = {"job_title": "JobTitle", "mobile": "Mobile", "town": "Town", "surname": "Surname"}


def both_ways(side: Side) -> int:
    """Every process that has a way back, once; how many rows were written."""
    return sum(side.run(PROCESSES[name].scoped()).written for name in PAIRS)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_after_many_rounds_of_edits_on_both_sides_nothing_is_lost_and_all_is_quiet(
    make_side: Callable[..., Side],
) -> None:
    """Every edit that was the only one of its field in its round is on both sides in the end,
    unless a later one came.

    A hundred rounds with ``make year``, forty in an ordinary run.
    """
    side = make_side(30)
    dice = random.Random(5)
    dated = side.dialect.date_updated is not None
    everything(side)
    people = [(r["employee_id"], r["accessplanit_id"]) for r in side.rows("employees")]
    last: dict[tuple[str, str], tuple[int, set[str], str]] = {}
    edited: Counter[str] = Counter()
    rounds = (
        (100 if dated else 20)
        if os.environ.get("HRSYNC_CHAOS") == "whole"
        else (40 if dated else 20)
    )
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
    assert len(sent) > 10


def test_a_conflict_waits_with_both_values_and_a_person_settles_it(side: Side) -> None:
    hold = {"conflict": "hold"}
    to_hr, from_hr = (s.model_copy(update=hold) for s in (users_to_hr.SPEC, users_from_hr.SPEC))
    everything(side)
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


def test_a_user_made_from_hr_is_made_once_though_the_answer_was_lost(side: Side) -> None:
    """The process ends after the POST, before anything is written down."""
    everything(side)
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


def test_an_unreadable_user_is_not_made_a_second_time(side: Side) -> None:
    everything(side)
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
