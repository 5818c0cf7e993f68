"""The states of awards, against a plain telling of the rules."""

from __future__ import annotations

import random
from datetime import date, timedelta

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from reconciliation import awards
from reconciliation.frame import of
from reconciliation.snapshot import Snapshot

TODAY = date(2026, 11, 23)
FACTS = {"k": "text", **awards.FACTS}
AWARD = st.tuples(
    st.sampled_from("aaab"),
    st.sampled_from("xxxy"),
    st.sampled_from(["Completed"] * 5 + ["Target", "In Progress", "on hold"]),
    st.integers(-800, 0),
    st.one_of(st.none(), st.integers(-100, 200)),
    st.sampled_from([None] * 7 + ["revoked"]),
)


def award_rows(
    drawn: list[tuple[str, str, str, int, int | None, str | None]],
) -> list[tuple[object, ...]]:
    return [
        (
            f"k{i}",
            holder,
            award,
            status,
            TODAY + timedelta(passed),
            None if until is None else TODAY + timedelta(until),
            state,
        )
        for i, (holder, award, status, passed, until, state) in enumerate(drawn)
    ]


def stated(rows: list[tuple[object, ...]], found: pd.DataFrame) -> dict[object, tuple[str, object]]:
    """``awards.states`` by key, with ``None`` for no successor."""
    by = found["superseded_by"].astype(object).where(found["superseded_by"].notna(), None)
    return {
        row[0]: each for row, each in zip(rows, zip(found["state"], by, strict=True), strict=True)
    }


def plainly(rows: list[tuple[object, ...]]) -> dict[object, tuple[str, object]]:
    """The same rules, one row at a time."""
    found: dict[object, tuple[str, object]] = {}
    for key, holder, award, status, _passed, until, state in rows:
        if state == "revoked":
            found[key] = ("revoked", None)
        elif status != "Completed":
            found[key] = (
                {"Target": "targeted", "In Progress": "in_progress", "on hold": "on_hold"}[
                    str(status)
                ],
                None,
            )
        else:
            mine = [r for r in rows if r[1:4] == (holder, award, "Completed") and r[6] != "revoked"]
            mine.sort(key=lambda r: (r[4], r[5] or date.max, r[0]))
            place = [r[0] for r in mine].index(key)
            if place + 1 < len(mine):
                found[key] = ("superseded", mine[place + 1][0])
            elif until is None or until > TODAY + timedelta(90):  # type: ignore[operator]
                found[key] = ("achieved", None)
            else:
                found[key] = ("expired" if until < TODAY else "expiring", None)  # type: ignore[operator]
    return found


@given(st.lists(AWARD, min_size=2, max_size=14), st.randoms())
def test_states_equal_a_plain_telling_of_the_rules(
    drawn: list[tuple[str, str, str, int, int | None, str | None]], dice: random.Random
) -> None:
    rows = award_rows(drawn)
    expected = plainly(rows)
    dice.shuffle(rows)
    found = awards.states(of(FACTS, rows), "k", TODAY, 90)
    assert stated(rows, found) == expected
    assert set(found["state"]) <= set(awards.STATES)


def test_each_person_and_award_is_a_group_of_its_own() -> None:
    rows: list[tuple[object, ...]] = [
        (
            f"{person}-{kind}-{year}",
            f"E{person}",
            f"A{kind}",
            "Completed",
            date(year, 1, 1),
            None,
            None,
        )
        for person in range(5)
        for kind in range(5)
        for year in (2024, 2025)
    ]
    assert stated(rows, awards.states(of(FACTS, rows), "k", TODAY, 90)) == plainly(rows)


@given(st.lists(AWARD, max_size=10), st.integers(1, 400))
def test_time_alone_changes_only_what_is_due(
    drawn: list[tuple[str, str, str, int, int | None, str | None]], days: int
) -> None:
    """Whatever changes its state between two days, untouched, expires in one of the ranges that are
    asked for."""
    rows = award_rows(drawn)
    later = TODAY + timedelta(days)
    frame = of(FACTS, rows)
    before, after = (
        awards.states(frame, "k", TODAY, 90)["state"].tolist(),
        awards.states(frame, "k", later, 90)["state"].tolist(),
    )
    ranges = awards.due(TODAY, later, 90)
    for row, was, now in zip(rows, before, after, strict=True):
        if was != now:
            assert any(low <= row[5] < high for low, high in ranges)  # type: ignore[operator]
    assert awards.due(later, later, 90) == []
    assert awards.due(None, later, 90) == []


def test_contradictions_are_rejected_and_neighbours_stay() -> None:
    kinds = {
        "id": "text",
        "status": "text",
        "completed_on": "day",
        "expires_on": "day",
        "hash": "hash",
    }
    rows = [
        ("a", "Completed", None, None, 1),
        ("b", "Completed", TODAY, TODAY - timedelta(1), 2),
        ("c", "Completed", TODAY, TODAY, 3),
        ("d", "Target", None, None, 4),
    ]
    read = awards.without_contradictions("id", Snapshot(of(kinds, rows), read=4))
    assert read.frame["id"].tolist() == ["c", "d"]
    assert read.rejected[["key", "field"]].to_numpy().tolist() == [
        ["a", "completed_on"],
        ["b", "expires_on"],
    ]
