"""Decisions on course requests: which are done, which cannot be carried out, and who gets a
place."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.decisions import AFTER_BOOKING, COURSE_DATES, judged, undecidable
from reconciliation.frame import of

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
WANTED = {
    "source_key": "text",
    "id": "text",
    "status": "text",
    "decided_at": "moment",
    "settled": "flag",
}
DELEGATES = {"id": "text", "status": "text", "course_date_id": "text"}
COURSES = of(
    COURSE_DATES,
    [
        ("roomy", NOW + timedelta(days=1), "Active", None),
        ("full", NOW + timedelta(days=1), "Active", 0),
        ("off", NOW + timedelta(days=1), "Postponed", 5),
        ("begun", NOW, "Active", 5),
    ],
)
ALREADY = "was decided in accessplanit already: "
TABLE = [
    # course, the delegate's status (None: there is no such delegate), wish, settled, done, problem
    ("roomy", "Provisional", "Booked", False, False, None),
    ("roomy", "Provisional", "Cancelled", False, False, None),
    ("full", "Provisional", "Booked", False, False, "is for a course that is full"),
    ("full", "Provisional", "Cancelled", False, False, None),
    ("off", "Provisional", "Booked", False, False, "is for a course that is no longer held"),
    ("begun", "Provisional", "Cancelled", False, False, "is for a course that has started"),
    (
        "unread",
        "Provisional",
        "Booked",
        False,
        False,
        "is for a course date that cannot be read in accessplanit",
    ),
    ("roomy", None, "Booked", False, False, "is not a course request in accessplanit"),
    ("roomy", None, "Booked", True, True, None),
    *(("begun", status, "Booked", False, True, None) for status in AFTER_BOOKING),
    *(("begun", status, "Cancelled", False, False, ALREADY + status) for status in AFTER_BOOKING),
    ("begun", "Cancelled", "Cancelled", False, True, None),
    ("begun", "Cancelled", "Waiting List", False, True, None),
    ("begun", "Waiting List", "Waiting List", False, True, None),
    ("roomy", "Cancelled", "Booked", False, False, ALREADY + "Cancelled"),
    ("roomy", "Cancelled", "Booked", True, True, None),
    ("roomy", "Provisional", "Booked", True, False, None),
]


@pytest.mark.parametrize(("course", "status", "wish", "settled", "done", "problem"), TABLE)
def test_law_3_what_becomes_of_a_decision(
    course: str, status: str | None, wish: str, settled: bool, done: bool, problem: str | None
) -> None:
    delegates = of(DELEGATES, [("d1", status, course)] if status else [])
    cases = judged(of(WANTED, [("d1", "d1", wish, NOW, settled)]), delegates, COURSES, "id", NOW)
    assert cases["done"].tolist() == [done]
    held = undecidable(cases)
    assert held[["key", "reason"]].to_numpy().tolist() == ([["d1", problem]] if problem else [])


DECISIONS = st.lists(
    st.tuples(
        st.none() | st.integers(0, 3),
        st.sampled_from("AB"),
        st.sampled_from(["Booked", "Cancelled"]),
        st.booleans(),
    ),
    max_size=8,
)


@given(
    decisions=DECISIONS, spaces=st.tuples(*[st.none() | st.integers(-1, 3)] * 2), order=st.randoms()
)
def test_law_3_places_go_to_the_earliest_decisions_in_whatever_order_they_are_read(
    decisions: list[tuple[int | None, str, str, bool]],
    spaces: tuple[int | None, int | None],
    order: random.Random,
) -> None:
    rows = [
        (f"d{n}", f"d{n}", wish, None if at is None else NOW + timedelta(hours=at), False)
        for n, (at, _, wish, _) in enumerate(decisions)
    ]
    delegates = [
        (f"d{n}", "Booked" if done else "Provisional", course)
        for n, (_, course, _, done) in enumerate(decisions)
    ]
    courses = of(
        COURSE_DATES,
        [
            (name, NOW + timedelta(days=9), None, left)
            for name, left in zip("AB", spaces, strict=True)
        ],
    )
    left = dict(zip("AB", spaces, strict=True))
    full = set()
    for _, n in sorted(
        (99 if at is None else at, n)
        for n, (at, _, wish, done) in enumerate(decisions)
        if wish == "Booked" and not done
    ):
        course = decisions[n][1]
        room = left[course]
        if room is not None and room <= 0:
            full.add(f"d{n}")
        elif room is not None:
            left[course] = room - 1
    order.shuffle(rows)
    cases = judged(of(WANTED, rows), of(DELEGATES, delegates), courses, "id", NOW)
    assert set(cases.loc[cases["problem"] == "is for a course that is full", "source_key"]) == full
    assert len(cases) == len(decisions)


@pytest.mark.parametrize(
    ("left", "theirs", "waits"),
    [
        (2, "Provisional", []),
        (1, "Provisional", ["d1"]),
        (1, "Booked", []),
        (1, "Cancelled", []),
        (None, "Provisional", []),
    ],
)
def test_law_3_a_decision_that_cannot_be_read_keeps_its_place(
    left: int | None, theirs: str, waits: list[str]
) -> None:
    """It may be the earlier one."""
    courses = of(
        COURSE_DATES,
        [("A", NOW + timedelta(days=9), None, left), ("B", NOW + timedelta(days=9), None, 1)],
    )
    delegates = of(
        DELEGATES, [("d1", "Provisional", "A"), ("d2", theirs, "A"), ("d3", "Provisional", "B")]
    )
    wanted = of(WANTED, [("d1", "d1", "Booked", NOW, False), ("d3", "d3", "Booked", NOW, False)])
    held = undecidable(judged(wanted, delegates, courses, "id", NOW, ["d2"]))
    why = "waits for a decision on this course that cannot be read; correct it in HR"
    assert held[["key", "reason"]].to_numpy().tolist() == [[key, why] for key in waits]
