"""Who is who: all rules together, whatever the order of rules and rows (law 12)."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import award_targets_from_hr, users_from_hr, users_to_hr
from reconciliation.frame import of, strings
from reconciliation.match import LINKS, by_rules
from reconciliation.run.rows import asked_by_rules
from reconciliation.spec import ProcessSpec
from reconciliation.tables import texts
from tests.examples import examples

USERS = {"id": "text", "external_id": "text", "email": "text", "status": "text"}
EMPLOYEES = {
    "employee_id": "text",
    "accessplanit_id": "text",
    "employee_number": "text",
    "email": "text",
    "status": "text",
}


def user(
    key: str, number: str | None = None, email: str | None = None, status: str = "Enabled"
) -> tuple[object, ...]:
    return (key, number, email, status)


def employee(
    key: str,
    number: str | None = None,
    email: str | None = None,
    whose: str | None = None,
    status: str = "Active",
) -> tuple[object, ...]:
    return (key, whose, number, email, status)


def to_hr(
    people: Sequence[tuple[object, ...]],
    staff: Sequence[tuple[object, ...]],
    links: Sequence[tuple[str, str]] = (),
    gone: Sequence[str] = (),
) -> tuple[list[str | None], dict[str, str]]:
    """(the employee of each user, user -> why it is held)"""
    data = of(USERS, people)
    wanted = data.rename(columns={"id": "source_key"})
    found = by_rules(
        users_to_hr.SPEC,
        data,
        wanted,
        of(EMPLOYEES, staff),
        of(LINKS, links),
        texts(gone),
    )
    return strings(found.keys), dict(zip(found.held["key"], found.held["reason"], strict=True))


def from_hr(
    staff: Sequence[tuple[object, ...]],
    people: Sequence[tuple[object, ...]],
    links: Sequence[tuple[str, str]] = (),
) -> tuple[list[str | None], dict[str, str]]:
    """(the user of each employee, employee -> why it is held)"""
    data = of(EMPLOYEES, staff)
    wanted = data.rename(columns={"employee_id": "source_key"})
    found = by_rules(users_from_hr.SPEC, data, wanted, of(USERS, people), of(LINKS, links))
    return strings(found.keys), dict(zip(found.held["key"], found.held["reason"], strict=True))


AGREE = "may be one of several"
CONTRADICTED = "an identifier contradicts"
TO_HR = [
    ("the number says so", user("u", "E1"), [employee("E1", "E1")], "E1", None),
    (
        "the number says so, whatever the address",
        user("u", "E1", "a@x"),
        [employee("E1", "E1", "b@x")],
        "E1",
        None,
    ),
    ("the number is not HR's key", user("u", "900"), [employee("ROW7", "900")], "ROW7", None),
    ("HR's key is the number in other letters", user("u", "E77"), [employee("e77")], "e77", None),
    ("the e-mail address alone", user("u", None, "A@x"), [employee("E1", "E1", "a@x")], "E1", None),
    (
        "the address, and HR has no number",
        user("u", "E9", "a@x"),
        [employee("ROW1", None, "a@x")],
        "ROW1",
        None,
    ),
    ("the address was given on", user("u", "E9", "a@x"), [employee("E5", "E5", "a@x")], "E9", None),
    (
        "number and address agree",
        user("u", "E1", "a@x"),
        [employee("E1", "E1", "a@x"), employee("E2", "E2", "b@x")],
        "E1",
        None,
    ),
    (
        "a shared address, and the number",
        user("u", "E1", "a@x"),
        [employee("E1", "E1", "a@x"), employee("E2", "E2", "a@x")],
        "E1",
        None,
    ),
    (
        "number and address disagree",
        user("u", "E1", "b@x"),
        [employee("E1", "E1"), employee("E2", None, "b@x")],
        None,
        AGREE,
    ),
    (
        "two keys disagree",
        user("u", "E1"),
        [employee("E1", "E7"), employee("E2", "E1")],
        None,
        AGREE,
    ),
    (
        "ID and number disagree",
        user("u", "E1"),
        [employee("E1", "E1"), employee("E2", "E2", None, "u")],
        None,
        AGREE,
    ),
    (
        "the row found has another number",
        user("u", "E1"),
        [employee("E2", "E2", None, "u")],
        None,
        CONTRADICTED,
    ),
    (
        "the address is that of somebody who may be gone",
        user("u", None, "a@x"),
        [employee("E1", None, None, "u"), employee("E2", None, "a@x", "v")],
        None,
        AGREE,
    ),
    (
        "the row was made for another user, who may be gone",
        user("u", None, "a@x"),
        [employee("AP-v", None, "a@x", "v")],
        None,
        CONTRADICTED,
    ),
    (
        "several rows have the address",
        user("u", None, "a@x"),
        [employee("E1", None, "a@x"), employee("E2", None, "a@x")],
        None,
        AGREE,
    ),
    ("nobody", user("u", None, "a@x"), [employee("E1", "E1", "b@x")], "AP-u", None),
    (
        "HR says it is another user",
        user("u", None, "a@x"),
        [employee("E1", None, "a@x", "v")],
        None,
        CONTRADICTED,
    ),
    ("somebody else has the key", user("u", "E1"), [employee("E1", "E9")], None, CONTRADICTED),
]


@pytest.mark.parametrize(
    ("who", "staff", "row", "reason"), [case[1:] for case in TO_HR], ids=[case[0] for case in TO_HR]
)
def test_law_12_a_user_is_the_employee_on_whom_all_rules_agree(
    who: tuple[object, ...], staff: list[tuple[object, ...]], row: str | None, reason: str | None
) -> None:
    for order in itertools.permutations(staff):
        (key,), held = to_hr([who], order)
        assert key == row
        assert [reason in why for why in held.values() if reason] == ([True] if reason else [])


FROM_HR = [
    ("the number says so", employee("E1", "E1"), [user("u1", "E1")], "u1", None),
    ("HR's key stands for the number", employee("E1"), [user("u1", "E1")], "u1", None),
    (
        "number and key lead to two",
        employee("E1", "9"),
        [user("u1", "E1"), user("u2", "9")],
        None,
        AGREE,
    ),
    (
        "the address was given on",
        employee("E9", "E9", "a@x"),
        [user("u1", "E5", "a@x")],
        "new:E9",
        None,
    ),
    (
        "the address of a user without a number",
        employee("E9", "E9", "a@x"),
        [user("u1", None, "a@x")],
        "u1",
        None,
    ),
    (
        "number and address disagree",
        employee("E1", "E1", "a@x"),
        [user("u1", "E1"), user("u2", None, "a@x")],
        None,
        AGREE,
    ),
    (
        "HR says who it is, the number says otherwise",
        employee("E1", "E1", None, "u1"),
        [user("u1", "E7")],
        None,
        CONTRADICTED,
    ),
]


@pytest.mark.parametrize(
    ("who", "people", "row", "reason"),
    [case[1:] for case in FROM_HR],
    ids=[case[0] for case in FROM_HR],
)
def test_law_12_an_employee_is_the_user_on_whom_all_rules_agree(
    who: tuple[object, ...], people: list[tuple[object, ...]], row: str | None, reason: str | None
) -> None:
    for order in itertools.permutations(people):
        (key,), held = from_hr([who], order)
        assert key == row
        assert [reason in why for why in held.values() if reason] == ([True] if reason else [])


def test_a_held_record_has_a_claim_to_the_rows_that_it_may_be() -> None:
    data = of(USERS, [user("u1", "E1", "b@x"), user("u2", "E3")])
    staff = of(
        EMPLOYEES,
        [
            employee("E1", "E1"),
            employee("E2", None, "b@x"),
            employee("E3", "E3"),
            employee("E4", "E4"),
        ],
    )
    found = by_rules(
        users_to_hr.SPEC, data, data.rename(columns={"id": "source_key"}), staff, of(LINKS, [])
    )
    assert set(strings(found.contested)) == {"E1", "E2"}
    assert [(row.key, json.loads(row.raw)) for row in found.held.itertuples()] == [
        ("u1", {"external_id": ["E1"], "email": ["E2"]})
    ]
    assert found.links.values.tolist() == [["u2", "E3"]]
    again = by_rules(
        users_to_hr.SPEC,
        data,
        data.rename(columns={"id": "source_key"}),
        staff,
        of(LINKS, [("u2", "E3")]),
    )
    assert (strings(again.keys), len(again.links)) == ([None, "E3"], 0), (
        "a link that is known is no news"
    )


def test_a_link_whose_row_is_lost_yields_to_the_row_that_the_rules_find() -> None:
    data = of(USERS, [user("u1", "E1"), user("u2", "E2")])
    staff = of(EMPLOYEES, [employee("ROW9", "E1")])
    lost = of(LINKS, [("u1", "E1"), ("u2", "E2")])
    found = by_rules(
        users_to_hr.SPEC,
        data,
        data.rename(columns={"id": "source_key"}),
        staff,
        of(LINKS, []),
        lost=lost,
    )
    assert (strings(found.keys), found.links.values.tolist()[0]) == (
        ["ROW9", "E2"],
        ["u1", "ROW9"],
    )


def test_law_12_a_shared_mailbox_takes_nobody_for_somebody_else() -> None:
    two = [user("u", None, "a@x"), user("v", None, "a@x")]
    assert to_hr(two, [employee("AP-u", None, "a@x", "u")]) == (["AP-u", "AP-v"], {}), (
        "an interrupted run has made the first"
    )
    assert to_hr(two, [employee("E1", None, None, "u"), employee("E2", None, "a@x", "v")]) == (
        ["E1", "E2"],
        {},
    )
    keys, held = to_hr(
        [user("u", "E1", "a@x"), user("v", None, "a@x")], [employee("E1", "E1", "a@x")]
    )
    assert (keys, list(held)) == (["E1", None], ["v"]), (
        "the number counts, whoever else has the mailbox"
    )


def test_law_12_who_has_left_is_not_found_again_by_a_mailbox() -> None:
    """The row of a leaver is taken over by their own number, not by a new starter's address at the
    same depot."""
    left = employee("E1", None, "depot@x", "wyn", "Left")
    for starter in (user("bob", None, "depot@x"), user("bob", "D2", "depot@x")):
        keys, held = to_hr([starter], [left], [("wyn", "E1")])
        assert (keys, list(held)) == ([None], ["bob"])
    keys, held = from_hr(
        [employee("E2", None, "depot@x")],
        [user("wyn", "E1", "depot@x", "Inactive")],
        [("E1", "wyn")],
    )
    assert (keys, list(held)) == ([None], ["E2"])


def test_people_who_share_a_mailbox_that_nobody_in_hr_has_are_several_new_people() -> None:
    keys, held = to_hr(
        [user(f"u{n}", f"D{n}", "depot@x") for n in range(3)], [employee("E1", "E1", "other@x")]
    )
    assert (keys, held) == (["D0", "D1", "D2"], {})


def test_a_linked_row_is_taken_over_only_from_somebody_who_is_gone_or_has_left() -> None:
    survivor, row = [user("merged", "E1")], [employee("E1", "E1", None, "u1")]
    keys, held = to_hr(survivor, row, [("u1", "E1")])
    assert keys == [None]
    assert list(held) == ["merged"]
    assert to_hr(survivor, row, [("u1", "E1")], gone=["u1"]) == (["E1"], {})
    # Somebody comes back: HR has made a new row for them, the account is the one that was disabled.
    assert from_hr(
        [employee("ROW2", "E1")], [user("u1", "E1", None, "Inactive")], [("ROW1", "u1")]
    ) == (["u1"], {})
    keys, held = from_hr([employee("ROW2", "E1")], [user("u1", "E1")], [("ROW1", "u1")])
    assert keys == [None]
    assert "linked to another" in held["ROW2"]


TARGETS = {
    "source_key": "text",
    "user_id": "text",
    "award_id": "text",
    "status": "text",
    "target_date": "day",
}


def targets(rows: Sequence[tuple[str, date | None]]) -> Any:
    return of(TARGETS, [(key, "u", "first-aid", "Target", day) for key, day in rows])


@pytest.mark.parametrize(
    ("ours", "theirs", "keys"),
    [
        ("ab", "", ["new:a", "new:b"]),
        ("ab", "x", ["x", "new:b"]),
        ("ab", "xy", ["x", "y"]),
        ("a", "xy", [None]),
        ("ab", "2", ["new:a", "2"]),
        ("b", "12", ["2"]),
    ],
)
def test_two_of_a_kind_are_two_rows_as_if_they_had_come_one_after_the_other(
    ours: str, theirs: str, keys: list[str | None]
) -> None:
    days = {
        "a": date(2027, 5, 1),
        "b": date(2027, 5, 2),
        "1": date(2027, 5, 1),
        "2": date(2027, 5, 2),
    }
    spec = award_targets_from_hr.SPEC
    there = targets([(key, days.get(key, date(2026, 1, 1))) for key in theirs]).rename(
        columns={"source_key": "id"}
    )
    wanted = targets([(key, days[key]) for key in ours])
    data = wanted.rename(columns={"source_key": "award_target_id"})
    assert strings(by_rules(spec, data, wanted, there, of(LINKS, [])).keys) == keys


VALUES = st.none() | st.sampled_from(["1", "2", "3"])
PEOPLE = st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=4)
STAFF = st.lists(st.tuples(VALUES, VALUES, st.none() | st.sampled_from(["u0", "u1"])), max_size=4)


@examples(40)
@given(people=PEOPLE, staff=STAFF, dice=st.randoms())
def test_law_12_the_order_of_rules_and_rows_decides_nothing(
    people: list[tuple[str | None, str | None]],
    staff: list[tuple[str | None, str | None, str | None]],
    dice: random.Random,
) -> None:
    """Whatever the order of rules, users and employees, everybody is matched with the same row or
    held; nobody shares one."""
    users = [user(f"u{n}", number, mail) for n, (number, mail) in enumerate(people)]
    rows = [employee(f"R{n}", number, mail, whose) for n, (number, mail, whose) in enumerate(staff)]

    def matched(
        spec: ProcessSpec, who: list[tuple[object, ...]], there: list[tuple[object, ...]]
    ) -> dict[str, str | None]:
        data = of(USERS, who)
        found = by_rules(
            spec,
            data,
            data.rename(columns={"id": "source_key"}),
            of(EMPLOYEES, there),
            of(LINKS, []),
        )
        keys = strings(found.keys)
        taken = [key for key in keys if key is not None]
        assert len(taken) == len(set(taken))
        assert set(found.held["key"]) == {
            row[0] for row, key in zip(who, keys, strict=True) if key is None
        }
        return {str(row[0]): key for row, key in zip(who, keys, strict=True)}

    first = matched(users_to_hr.SPEC, users, rows)
    rules = dice.sample(users_to_hr.SPEC.match, len(users_to_hr.SPEC.match))
    shuffled = users_to_hr.SPEC.model_copy(update={"match": tuple(rules)})
    assert matched(shuffled, dice.sample(users, len(users)), dice.sample(rows, len(rows))) == first
    by_key = {str(row[0]): row for row in rows}
    for who in users:
        row = by_key.get(first[str(who[0])] or "")
        if row is not None and who[1] and row[2]:
            assert who[1] == row[2], "nobody is given a row with another number"


def test_law_12_every_rule_is_asked_for_though_several_ask_for_one_column() -> None:
    data = of(EMPLOYEES, [employee("ROW1", "900", "a@x")])
    asked = asked_by_rules(users_from_hr.SPEC, data, data)
    assert set(asked["external_id"]) == {"900", "ROW1"}
