"""When an award counts, and when it expires: by the day alone."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from reconciliation import awards
from reconciliation.awards import FACTS, begun, is_due, states, without_contradictions
from reconciliation.frame import of
from reconciliation.snapshot import Snapshot
from tests.examples import examples

DAY = date(2026, 11, 23)


def test_a_completion_counts_from_its_day_on() -> None:
    rows = [
        ("old", "E1", "first-aid", "Completed", date(2025, 1, 1), None, None),
        ("new", "E1", "first-aid", "Completed", DAY, None, None),
    ]
    awards = of({"key": "text", **FACTS}, rows)
    before = states(awards, "key", DAY - timedelta(days=1), 90).fillna("none").to_numpy().tolist()
    assert before == [["achieved", "none"], ["in_progress", "none"]]
    after = states(awards, "key", DAY, 90).fillna("none").to_numpy().tolist()
    assert after == [["superseded", "new"], ["achieved", "none"]]
    ((low, high),) = begun(DAY - timedelta(days=1), DAY)
    assert low <= DAY < high, "its record is read again on its day"
    assert begun(DAY, DAY) == []


NEAR = st.integers(-12, 12).map(lambda n: DAY + timedelta(days=n))


@examples(100)
@example(done=DAY - timedelta(days=9), valid=9, previous=DAY, today=DAY + timedelta(days=1), soon=0)
@example(
    done=DAY - timedelta(days=9), valid=10, previous=DAY, today=DAY + timedelta(days=1), soon=0
)
@example(
    done=DAY - timedelta(days=9), valid=14, previous=DAY - timedelta(days=1), today=DAY, soon=5
)
@given(
    done=NEAR,
    valid=st.none() | st.integers(0, 20),
    previous=NEAR,
    today=NEAR,
    soon=st.integers(0, 5),
)
def test_law_6_a_row_is_due_when_the_day_alone_gives_it_another_state_and_at_no_other_time(
    done: date, valid: int | None, previous: date, today: date, soon: int
) -> None:
    until = None if valid is None else done + timedelta(days=valid)
    rows = of({"key": "text", **FACTS}, [("a", "E1", "first-aid", "Completed", done, until, None)])
    (before,), (after,) = (states(rows, "key", day, soon)["state"] for day in (previous, today))
    is_now_due = bool(is_due(rows, previous, today, soon).iloc[0])
    if previous >= today:
        assert not is_now_due
    elif done <= previous:
        assert is_now_due == (before != after)
    else:
        assert is_now_due or done > today, "its day has come"


def test_an_award_that_contradicts_itself_is_rejected() -> None:
    facts = {
        "id": "text",
        "status": "text",
        "completed_on": "day",
        "expires_on": "day",
        "hash": "hash",
    }
    rows = [
        ("undated", "Completed", None, None, 1),
        ("backwards", "Completed", DAY, DAY - timedelta(days=1), 2),
        ("good", "Completed", DAY, DAY, 3),
    ]
    found = without_contradictions("id", Snapshot(of(facts, rows)))
    assert found.frame["id"].tolist() == ["good"]
    assert found.rejected[["key", "field"]].to_numpy().tolist() == [
        ["undated", "completed_on"],
        ["backwards", "expires_on"],
    ]


LONDON = ZoneInfo("Europe/London")


@examples(100)
@given(
    moment=st.datetimes(datetime(2025, 12, 1), datetime(2026, 12, 1), timezones=st.just(UTC)),
    until=st.integers(-3, 3),
    days=st.integers(0, 5),
)
def test_law_6_an_award_expires_by_the_day_where_it_is_held_and_by_nothing_else(
    moment: datetime, until: int, days: int
) -> None:
    today = moment.astimezone(LONDON).date()
    kinds = {"k": "text", **awards.FACTS}
    expires = today + timedelta(days=until)
    row = of(kinds, [("k", "e", "a", "Completed", date(2020, 1, 1), expires, None)])
    state = awards.states(row, "k", today + timedelta(days=days), 1)["state"]
    expected = (
        "expired"
        if expires < today + timedelta(days=days)
        else "expiring"
        if until - days <= 1
        else "achieved"
    )
    assert state.tolist() == [expected]
    ranges = awards.due(today, today + timedelta(days=days), 1)
    before = awards.states(row, "k", today, 1)["state"].tolist()
    assert (before == [expected]) or any(low <= expires < high for low, high in ranges)
