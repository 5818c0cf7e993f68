"""Windows, and how far a watermark goes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from reconciliation import watermark
from reconciliation.frame import of, utc, wall
from reconciliation.snapshot import Snapshot
from reconciliation.watermark import Watermark, advance, window
from tests.examples import examples

TODAY = date(2026, 11, 23)
LATER = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_windows_overlap_and_a_watermark_never_passes_what_was_not_read() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    mark = watermark.Watermark(noon, TODAY)
    asked = watermark.window(mark, timedelta(hours=2))
    assert asked.since == noon - timedelta(hours=2)
    assert watermark.window(mark, timedelta(hours=2), full=True).since is None
    rows = of({"updated_at": "moment"}, [(noon + timedelta(hours=1),)])
    forward = watermark.advance(mark, Snapshot(rows), "updated_at", asked, LATER, TODAY, False)
    assert forward.moment == noon + timedelta(hours=1)
    assert (
        watermark.advance(
            mark, Snapshot(rows, complete=False), "updated_at", asked, LATER, TODAY, False
        ).moment
        == noon
    )
    assert watermark.advance(
        mark, Snapshot(rows), "updated_at", asked, LATER, TODAY, True
    ) == watermark.Watermark(noon, TODAY, True)
    poisoned = of({"updated_at": "moment"}, [(datetime(2199, 1, 1, tzinfo=UTC),)])
    assert (
        watermark.advance(mark, Snapshot(poisoned), "updated_at", asked, LATER, TODAY, False).moment
        == LATER
    )
    late = watermark.window(mark, timedelta(0), since=noon + timedelta(minutes=30))
    assert (
        watermark.advance(mark, Snapshot(rows), "updated_at", late, LATER, TODAY, False).moment
        == noon
    ), "rows before `since` were not read"
    older = of({"updated_at": "moment"}, [(noon - timedelta(hours=1),)])
    assert (
        watermark.advance(mark, Snapshot(older), "updated_at", asked, LATER, TODAY, False).moment
        == noon
    )


LONDON = ZoneInfo("Europe/London")


AUTUMN = datetime(2026, 10, 24, 20, tzinfo=UTC)
MINUTES = st.integers(0, 11 * 60)


@examples(80)
@given(
    edits=st.lists(st.tuples(MINUTES, st.integers(0, 109)), min_size=1, max_size=8),
    runs=st.lists(MINUTES, max_size=8),
    skew=st.integers(-10, 10),
    spring=st.booleans(),
)
@example(edits=[(310, 109), (415, 0)], runs=[416], skew=0, spring=False)
@example(edits=[(270, 0)], runs=[], skew=0, spring=False)
@example(edits=[(100, 0)], runs=[101], skew=10, spring=False)
def test_law_6_incremental_reading_loses_no_change_while_the_clocks_change(
    edits: list[tuple[int, int]], runs: list[int], skew: int, spring: bool
) -> None:
    """Edits at equal and odd moments, committed up to 109 minutes late by a source whose clock is
    off by up to ten, in the night in which an hour comes twice or not at all: each is read by the
    last run at the latest."""
    start = datetime(2026, 3, 28, 20, tzinfo=UTC) if spring else AUTUMN
    moments = [start + timedelta(minutes=at) for at, _ in edits]
    stamps = [
        (m + timedelta(minutes=skew)).astimezone(LONDON).replace(tzinfo=None) for m in moments
    ]
    visible = [m + timedelta(minutes=late) for m, (_, late) in zip(moments, edits, strict=True)]
    mark, seen = Watermark(start, start.date()), set()
    for moment in [
        *sorted(start + timedelta(minutes=at) for at in runs),
        start + timedelta(hours=30),
    ]:
        asked = window(mark, timedelta(hours=2))
        assert asked.since is not None
        low = wall(asked.since, "Europe/London")
        came = [i for i, stamp in enumerate(stamps) if stamp >= low and visible[i] <= moment]
        seen |= set(came)
        updated = utc(pa.array([stamps[i] for i in came], pa.timestamp("us")), "Europe/London")
        assert all(
            read <= moments[i] + timedelta(minutes=skew)
            for i, read in zip(came, updated.to_pylist(), strict=True)
        ), "never later than it was"
        frame = pd.DataFrame({"updated_at": pd.arrays.ArrowExtensionArray(updated)})
        mark = advance(mark, Snapshot(frame), "updated_at", asked, moment, moment.date(), False)
        assert mark.moment is not None
        assert mark.moment <= moment
    assert seen == set(range(len(edits)))
