"""One rule for "holds the award": role compliance and the states of awards agree, on every day and in every order."""

from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from reconciliation.awards import FACTS, begun, states
from reconciliation.frame import empty, of
from reconciliation.job_roles import ASSIGNMENTS, AWARDS, REQUIREMENTS, TARGETS, compliance

DAY = date(2026, 11, 23)
DAYS = st.integers(-6, 6).map(lambda n: DAY + timedelta(days=60 * n))
RECORDS = st.lists(
    st.tuples(st.sampled_from(["Completed", "In Progress"]), DAYS, st.none() | DAYS, st.sampled_from([None, "revoked"])), max_size=6
)


def compliance_of(awards: pd.DataFrame, day: date) -> str:
    needed = of(REQUIREMENTS, [("first-aid", "First aid", "R1", "Fitter")])
    who = of(ASSIGNMENTS, [("E1", "u1", "R1", None, None)])
    return str(compliance(needed, who, awards[list(AWARDS)], empty(TARGETS), day, 90)["state"].iloc[0])


@given(records=RECORDS, day=DAYS)
def test_law_6_compliance_and_the_states_of_awards_agree(records: list[tuple[str, date, date | None, str | None]], day: date) -> None:
    rows = [(f"a{n}", "E1", "first-aid", status, done, until, state) for n, (status, done, until, state) in enumerate(records)]
    awards = of({"key": "text", **FACTS}, rows)
    found = {str(state) for state in states(awards, "key", day, 90)[0].to_pylist()} & {"achieved", "expiring", "expired"}
    expected = {"achieved": "held", "expiring": "expiring", "expired": "expired"}
    assert len(found) <= 1
    assert compliance_of(awards, day) == (expected[found.pop()] if found else "missing")
    assert compliance_of(awards.iloc[::-1].reset_index(drop=True), day) == compliance_of(awards, day)


def test_a_completion_counts_from_its_day_on() -> None:
    rows = [("old", "E1", "first-aid", "Completed", date(2025, 1, 1), None, None), ("new", "E1", "first-aid", "Completed", DAY, None, None)]
    awards = of({"key": "text", **FACTS}, rows)
    before, by = states(awards, "key", DAY - timedelta(days=1), 90)
    assert (before.to_pylist(), by.to_pylist()) == (["achieved", "in_progress"], [None, None])
    after, by = states(awards, "key", DAY, 90)
    assert (after.to_pylist(), by.to_pylist()) == (["superseded", "achieved"], ["new", None])
    ((low, high),) = begun(DAY - timedelta(days=1), DAY)
    assert low <= DAY < high, "its record is read again on its day"
    assert begun(DAY, DAY) == []
