"""The rules by which somebody is found, one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from flows import users_to_hr
from reconciliation.frame import of, strings
from reconciliation.match import LINKS, by_rules
from tests.examples import examples

PEOPLE = {"id": "text", "external_id": "text", "email": "text"}
EMPLOYEES = {
    "employee_id": "text",
    "accessplanit_id": "text",
    "employee_number": "text",
    "email": "text",
}


def match(
    people: list[tuple[object, ...]],
    employees: list[tuple[object, ...]],
    links: Sequence[tuple[str, str]] = (),
) -> tuple[dict[str, object], dict[str, str]]:
    found = by_rules(
        users_to_hr.SPEC, of(PEOPLE, people), of({}, []), of(EMPLOYEES, employees), of(LINKS, links)
    )
    return dict(zip([str(p[0]) for p in people], strings(found.keys), strict=True)), dict(
        zip(found.held["key"], found.held["reason"], strict=True)
    )


def test_all_rules_count_and_links_come_first() -> None:
    employees = [
        ("1", None, "E1", "a@x.example"),
        ("2", None, None, "B@x.example "),
        ("3", "u3", "E3", None),
        ("4", None, "E4", None),
    ]
    people = [
        ("u1", "E1", "elsewhere@x.example"),
        ("u2", None, "b@x.example"),
        ("u3", None, None),
        ("u4", "E1", None),
        ("u5", "E9", None),
        ("u6", None, None),
    ]
    keys, held = match(people, employees, [("u4", "4")])
    assert keys == {"u1": "1", "u2": "2", "u3": "3", "u4": "4", "u5": "E9", "u6": "AP-u6"}
    assert held == {}


def test_ambiguity_is_held() -> None:
    same = [("u1", "E1", None), ("u2", "E1", None), ("u3", None, "c@x.example")]
    twins = [("1", None, None, "c@x.example"), ("2", None, None, "C@x.example")]
    keys, held = match(same, twins)
    assert set(held) == {"u1", "u2", "u3"}
    assert set(keys.values()) == {None}
    taken = [("7", None, "E7", None)]
    keys, held = match([("u8", "E7", None)], taken, [("other", "7")])
    assert keys["u8"] is None
    assert "linked to another user" in held["u8"]
    _, held = match([("u8", "E8", None)], [], [("other", "E8")])
    assert held == {"u8": "HR has this key for somebody else"}, (
        "though the row itself is gone from HR"
    )


@examples(60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["E1", "E2", None]), st.sampled_from(["a@x", "A@x", "b@x", None])
        ),
        max_size=6,
    ),
    st.lists(
        st.tuples(st.sampled_from(["E1", "E2", "E3", None]), st.sampled_from(["a@x", "b@x", None])),
        max_size=6,
    ),
)
def test_no_two_users_lead_to_one_employee(
    people: list[tuple[str | None, str | None]], employees: list[tuple[str | None, str | None]]
) -> None:
    users = [(f"u{i}", *p) for i, p in enumerate(people)]
    there = [(f"h{i}", None, *e) for i, e in enumerate(employees)]
    keys, held = match(users, there)
    given = [k for k in keys.values() if k is not None]
    assert len(given) == len(set(given))
    assert {u for u, k in keys.items() if k is None} == set(held)
