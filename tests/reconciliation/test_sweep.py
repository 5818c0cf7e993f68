"""How a sweep splits a feed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise

import pytest

from reconciliation.ask import Range
from reconciliation.sweep import FEW_RECORDS, parts

TODAY = date(2026, 5, 20)


@pytest.mark.parametrize("known", [0, FEW_RECORDS + 1, 10**6])
def test_a_feed_of_large_or_unknown_size_is_split_without_gaps(known: int) -> None:
    ranges = [part for part in parts(TODAY, "created_at", known) if part]
    assert (ranges[0].low, ranges[-1].high) == (None, None)
    assert all(one.high == following.low for one, following in pairwise(ranges))
    bounds = [part.low for part in ranges[1:]]
    assert bounds == sorted(bounds)
    assert bounds[0] == datetime(2014, 1, 1, tzinfo=UTC), "twelve years"
    assert bounds[-1] == datetime(2026, 4, 1, tzinfo=UTC), "the quarter of today"


@pytest.mark.parametrize("known", [1, FEW_RECORDS])
def test_a_small_feed_is_one_part_that_can_be_kept(known: int) -> None:
    assert parts(TODAY, "created_at", known) == [Range("created_at", None, None)]


@pytest.mark.parametrize("known", [0, 1, 10**6])
def test_a_feed_without_a_creation_moment_is_one_part(known: int) -> None:
    assert parts(TODAY, None, known) == [None]
