"""How much a plan may change before a person is asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation import guard
from reconciliation.spec import Guard, Limit


@given(
    st.integers(0, 400),
    st.integers(0, 400),
    st.floats(1, 99),
    st.integers(0, 100),
    st.sampled_from(["create", "update", "close"]),
)
def test_a_guard_needs_percent_and_absolute_and_a_population(
    rows: int, population: int, percent: float, absolute: int, kind: str
) -> None:
    limit = Limit(percent=percent, absolute=absolute)
    chosen = Guard(create=limit, update=limit, close=limit, population=50)
    share = kind != "create" if population < 50 else rows * 100 > percent * population
    half = kind == "close" and rows >= guard.FEW and rows * 2 >= population
    assert bool(guard.breaches({kind: rows}, population, chosen, side="HR")) == (
        half or (rows > absolute and share)
    )


@pytest.mark.parametrize(
    ("counts", "answered_for", "vanished", "loaded", "stopped"),
    [
        ({"update": 35}, 35, 0, 35, "35 of 35 rows to update in HR: more than 20"),
        ({"close": 21}, 21, 21, 21, "21 of 21 rows to close in HR: half or more of them"),
        (
            {"close": 8},
            2000,
            8,
            8,
            "8 of the 8 records that were loaded are missing from the source",
        ),
        ({"close": 2}, 4, 2, 4, None),
        ({"close": 5}, 100, 5, 100, None),
        ({"close": 1}, 1, 1, 1, "1 of the 1 records that were loaded are missing from the source"),
    ],
)
def test_law_16_a_guard_counts_what_the_process_answers_for(
    counts: dict[str, int], answered_for: int, vanished: int, loaded: int, stopped: str | None
) -> None:
    limit = Limit(percent=10, absolute=20)
    chosen = Guard(create=limit, update=limit, close=limit, population=50)
    reasons = guard.breaches(
        counts,
        100_000,
        chosen,
        answered_for=answered_for,
        vanished=vanished,
        loaded=loaded,
        side="HR",
    )
    assert bool(reasons) == bool(stopped)
    assert stopped is None or stopped in reasons


@pytest.mark.parametrize(
    ("emptied", "left", "ours", "silent", "stops"),
    [
        (9, 1, 9, (), False),
        (10, 1, 20, (), True),
        (10, 1, 21, (), False),
        (4, 0, 100, (), False),
        (5, 0, 100, (), True),
        (1, 0, 100, ("email",), True),
        (1, 0, 100, ("phone",), False),
    ],
)
def test_a_column_that_a_source_may_have_stopped_sending_stops_the_plan(
    emptied: int, left: int, ours: int, silent: tuple[str, ...], stops: bool
) -> None:
    guarded = {"answered_for": ours, "emptied": {"email": (emptied, left)}, "silent": silent}
    found = guard.breaches({"update": 30}, 500, Guard(), **guarded, side="HR")  # type: ignore[arg-type]
    assert [
        text.startswith(f"email would be emptied in {emptied} of {ours} rows in HR")
        for text in found
    ] == ([True] if stops else [])
