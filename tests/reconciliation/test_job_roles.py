"""Who needs which award, and who complies, as of a day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reconciliation.awards import FACTS, states
from reconciliation.frame import empty, of
from reconciliation.job_roles import (
    ASSIGNMENTS,
    AWARDS,
    COMPLIANCE,
    DOUBTED,
    REQUIREMENTS,
    TARGETS,
    as_published,
    assigned,
    compliance,
    counts_by_role,
)
from tests.examples import examples

from .compliance import compliance_of

DAY = date(2026, 11, 23)
DAYS = st.integers(-6, 6).map(lambda n: DAY + timedelta(days=60 * n))
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["Completed", "In Progress"]),
        DAYS,
        st.none() | DAYS,
        st.sampled_from([None, "revoked"]),
    ),
    max_size=6,
)


@examples(30)
@given(records=RECORDS, day=DAYS)
def test_law_6_compliance_and_the_states_of_awards_agree(
    records: list[tuple[str, date, date | None, str | None]], day: date
) -> None:
    rows = [
        (f"a{n}", "E1", "first-aid", status, done, until, state)
        for n, (status, done, until, state) in enumerate(records)
    ]
    awards = of({"key": "text", **FACTS}, rows)
    found = {str(state) for state in states(awards, "key", day, 90)["state"]} & {
        "achieved",
        "expiring",
        "expired",
    }
    expected = {"achieved": "held", "expiring": "expiring", "expired": "expired"}
    assert len(found) <= 1
    assert compliance_of(awards, day) == (expected[found.pop()] if found else "missing")
    assert compliance_of(awards.iloc[::-1].reset_index(drop=True), day) == compliance_of(
        awards, day
    )


def test_a_row_of_compliance_tells_who_needs_what_and_as_of_which_day() -> None:
    needed = of(REQUIREMENTS, [("A1", "First aid", "R1", "Fitter")])
    who = of(ASSIGNMENTS, [("E1", "u1", "R1", None, None)])
    aims = [
        ("E1", "A1", "Target", DAY + timedelta(days=9)),
        ("E1", "A1", "Target", DAY + timedelta(days=5)),
    ]
    ((row,)) = (
        compliance(needed, who, empty(AWARDS), of(TARGETS, aims), DAY, 90)
        .astype(object)
        .to_numpy()
        .tolist()
    )
    assert row[:8] == ["E1~R1~A1", "E1", "u1", "R1", "Fitter", "A1", "First aid", "targeted"]
    assert row[9:] == [DAY + timedelta(days=5), DAY]


def test_an_assignment_holds_from_its_first_day_and_before_its_last() -> None:
    day, before, after = DAY, DAY - timedelta(days=1), DAY + timedelta(days=1)
    spans = {
        "open": (None, None),
        "now": (day, after),
        "ended": (before, day),
        "to come": (after, None),
        "over": (None, before),
    }
    rows = of(
        ASSIGNMENTS, [(name, "u", "R1", begins, ends) for name, (begins, ends) in spans.items()]
    )
    assert assigned(rows, day)["employee_id"].tolist() == ["open", "now"]


def test_people_in_doubt_keep_what_was_published_of_them() -> None:
    def row(who: str, role: str, state: str) -> tuple[Any, ...]:
        return (
            f"{who}~{role}~first-aid",
            who,
            f"u{who}",
            role,
            "Fitter",
            "first-aid",
            "First aid",
            state,
            None,
            None,
            DAY,
        )

    found = of(
        COMPLIANCE,
        [row("E1", "R1", "missing"), row("E2", "R1", "missing"), row("E2", "R2", "missing")],
    )
    published = of(
        COMPLIANCE,
        [
            row("E1", "R1", "held"),
            row("E2", "R1", "held"),
            row("E2", "R9", "not required"),
            row("E2", "R8", "held"),
        ],
    )
    told = as_published(
        found, published, of(DOUBTED, [("E2", "because"), ("E2", "of another row")])
    )
    seen = {
        key: (state, doubt)
        for key, state, doubt in told[["id", "state", "doubt"]]
        .astype(object)
        .where(told.notna(), None)
        .itertuples(index=False)
    }
    assert seen == {
        "E1~R1~first-aid": ("missing", None),
        "E2~R1~first-aid": ("held", "because"),
        "E2~R2~first-aid": ("unknown", "because"),
        "E2~R8~first-aid": ("held", "because"),
    }


def test_the_counts_by_job_role_tell_how_many_comply() -> None:
    states_ = ["held", "held", "expiring", "missing"]
    rows = [
        (f"E{n}~R1~a", f"E{n}", f"u{n}", "R1", "Fitter", "a", "A", state, None, None, DAY)
        for n, state in enumerate(states_)
    ]
    assert counts_by_role(of(COMPLIANCE, rows)) == [
        {"job role": "Fitter", "held": 2, "expiring": 1, "missing": 1, "compliant": "75 %"}
    ]
    nameless = [(*row[:4], None, *row[5:]) for row in rows]
    assert [row["job role"] for row in counts_by_role(of(COMPLIANCE, nameless))] == ["R1"], (
        "a role without a label is counted too"
    )
