"""What a plan holds, and that nothing is left to do once it is applied."""

from __future__ import annotations

import random
from typing import Any

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.frame import arrow, of, strings
from reconciliation.plan import apply_to, closing, moved, reconcile
from reconciliation.tables import texts
from tests.examples import KEYS, USERS, examples

from .rows import COLUMNS, ROWS, SIDES, TABLE, content, side, table


@given(source=SIDES, target=SIDES)
def test_after_a_perfect_apply_nothing_is_left_to_do(
    source: dict[str, tuple[object, ...]], target: dict[str, tuple[object, ...]]
) -> None:
    plan = reconcile(side(source), side(target), "key", COLUMNS, list(COLUMNS))
    after = apply_to(side(target), plan, "key", COLUMNS)
    again = reconcile(side(source), after, "key", COLUMNS, list(COLUMNS))
    assert len(again.changes) == 0
    assert content(apply_to(after, plan, "key", COLUMNS)) == content(after)
    expected = {**target, **source}
    assert content(after) == content(side(expected))


@given(source=SIDES, target=SIDES, one=st.integers(0, 9), other=st.integers(0, 9))
def test_the_order_of_rows_changes_nothing_not_even_the_digest(
    source: dict[str, tuple[object, ...]],
    target: dict[str, tuple[object, ...]],
    one: int,
    other: int,
) -> None:
    first = reconcile(side(source, one), side(target, other), "key", COLUMNS, list(COLUMNS))
    second = reconcile(side(source, other), side(target, one), "key", COLUMNS, list(COLUMNS))
    assert first.digest == second.digest
    assert first.counts() == second.counts()


@given(source=SIDES, target=SIDES)
def test_carried_fields_are_no_reason_to_write(
    source: dict[str, tuple[object, ...]], target: dict[str, tuple[object, ...]]
) -> None:
    compared = ["name", "day", "flag"]
    plan = reconcile(side(source), side(target), "key", COLUMNS, compared)
    changed = {k for k in source.keys() & target.keys() if source[k][:3] != target[k][:3]}
    assert set(plan.changes.loc[plan.changes["kind"] == "update", "key"]) == changed
    named = {f for fields in plan.changes["fields"] for f in fields.split(",") if f}
    assert "note" not in named


def test_an_incomplete_target_creates_nothing() -> None:
    plan = reconcile(
        side({"new": (None,) * 4, "old": ("a", None, None, None)}),
        side({"old": (None,) * 4}),
        "key",
        COLUMNS,
        ["name"],
        doubtful=texts(["new"]),
    )
    assert plan.counts() == {"create": 0, "update": 1, "close": 0}
    assert plan.withheld.tolist() == ["new"]


def test_closing_happens_once() -> None:
    nothing = reconcile(side({}), side({}), "key", COLUMNS, ["name"])
    leavers = side({"k": ("Enabled", None, None, None), "gone": ("Inactive", None, None, None)})
    plan = closing(nothing, leavers, "key", COLUMNS, {"name": "Inactive"}, "left")
    assert plan.changes[["kind", "key", "fields"]].to_numpy().tolist() == [["close", "k", "name"]]
    after = apply_to(leavers, plan, "key", COLUMNS)
    assert len(closing(nothing, after, "key", COLUMNS, {"name": "Inactive"}, "left").changes) == 0


def test_a_plan_counts_what_it_empties() -> None:
    columns = {"employee_id": "text", "email": "text", "phone": "text"}
    before = of(columns, [("1", "a@x.example", "1"), ("2", None, "2"), ("3", "c@x.example", "3")])
    after = of(columns, [("1", None, "1"), ("2", None, "9"), ("3", None, None), ("4", None, None)])
    plan = reconcile(
        after, before, "employee_id", {"email": "text", "phone": "text"}, ["email", "phone"]
    )
    assert plan.emptied() == {"email": (2, 0), "phone": (1, 2)}


@examples(100)
@given(users=USERS, there=st.sets(KEYS))
def test_law_1_a_target_that_was_not_read_in_full_gets_nothing_new(
    users: dict[str, dict[str, Any]], there: set[str]
) -> None:
    desired = of(
        {"k": "text", "name": "text"}, [(key, values["surname"]) for key, values in users.items()]
    )
    target = of({"k": "text", "name": "text"}, [(key, "Old") for key in sorted(there)])
    plan = reconcile(desired, target, "k", {"name": "text"}, ["name"], doubtful=desired["k"])
    assert plan.counts()["create"] == 0
    assert set(strings(plan.withheld)) == users.keys() - there
    assert plan.counts()["update"] == len(users.keys() & there)


@examples(80)
@given(
    source=ROWS,
    target=ROWS,
    leavers=st.sets(st.text("abcd", min_size=1, max_size=2)),
    dice=st.randoms(),
)
def test_law_3_applying_a_plan_leaves_nothing_to_do_in_whatever_order(
    source: dict[str, tuple[object, ...]],
    target: dict[str, tuple[object, ...]],
    leavers: set[str],
    dice: random.Random,
) -> None:
    leaving = {key: target[key] for key in sorted(leavers & target.keys() - source.keys())}

    def planned(shuffled: random.Random | None, on: pd.DataFrame) -> Any:
        plan = reconcile(table(source, shuffled), on, "key", TABLE, list(TABLE))
        there = on[on["key"].isin(leaving)].reset_index(drop=True)
        return closing(plan, there, "key", TABLE, {"name": "closed"}, "left")

    plan = planned(None, table(target))
    after = apply_to(table(target), plan, "key", TABLE)
    assert len(planned(None, after).changes) == 0
    content = {
        row[0]: row[1:]
        for row in zip(*(arrow(after[name]).to_pylist() for name in ("key", *TABLE)), strict=True)
    }
    assert content == {
        **target,
        **{key: ("closed", *row[1:]) for key, row in leaving.items()},
        **source,
    }
    other = planned(dice, table(target, dice))
    assert other.digest == plan.digest
    assert other.changes.equals(plan.changes)
    assert other.before.equals(plan.before)


@examples(60)
@given(source=ROWS, target=ROWS, now=ROWS)
def test_law_8_a_plan_whose_rows_have_moved_is_stale(
    source: dict[str, tuple[object, ...]],
    target: dict[str, tuple[object, ...]],
    now: dict[str, tuple[object, ...]],
) -> None:
    plan = reconcile(table(source), table(target), "key", TABLE, list(TABLE))
    concerned = set(plan.changes["key"])
    expected = {key for key in concerned if now.get(key) != target.get(key)}
    assert set(moved(plan, table(now), "key", TABLE)) == expected
