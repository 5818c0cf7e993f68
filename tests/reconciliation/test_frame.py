"""Moments and the wall time that they have in a zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reconciliation.frame import utc, wall


@pytest.mark.parametrize(
    ("hour", "moment"),
    [
        ("2026-10-25T01:30:00", "2026-10-25T00:30:00Z"),
        ("2026-03-29T01:30:00", "2026-03-29T01:00:00Z"),
        ("2026-07-01T12:00:00", "2026-07-01T11:00:00Z"),
    ],
)
def test_wall_time_of_london(hour: str, moment: str) -> None:
    read = utc(pa.array([datetime.fromisoformat(hour)], pa.timestamp("us")), "Europe/London")
    assert read[0].as_py() == datetime.fromisoformat(moment)
    assert wall(datetime(2026, 7, 1, 11, tzinfo=UTC), "Europe/London") == datetime(2026, 7, 1, 12)


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    st.integers(0, 7200 * 10),
)
@example(datetime(2026, 10, 25, 0, 50, tzinfo=UTC), 9000)
def test_no_later_instant_has_a_wall_time_before_the_one_that_is_asked_from(
    since: datetime, tenths: int
) -> None:
    later = since + timedelta(seconds=tenths / 10)
    assert wall_of(later) >= wall(since, "Europe/London") >= wall_of(since) - timedelta(hours=1)


def wall_of(moment: datetime) -> datetime:
    return moment.astimezone(ZoneInfo("Europe/London")).replace(tzinfo=None)
