"""Runs that read nothing new."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pandas as pd
import pytest

from reconciliation.plan import Plan
from reconciliation.run import compare
from reconciliation.run.comparison import Comparison
from reconciliation.run.records import Fresh
from reconciliation.run.rows import other_rows
from reconciliation.settle import Compared
from tests.edits import everything
from tests.sides import Side


def assert_same(one: object, other: object) -> None:
    for field in fields(one):  # type: ignore[arg-type]
        ours, theirs = getattr(one, field.name), getattr(other, field.name)
        if isinstance(ours, pd.DataFrame):
            pd.testing.assert_frame_equal(ours, theirs, obj=field.name)
        elif isinstance(ours, pd.Series):
            pd.testing.assert_series_equal(ours, theirs, check_names=False, obj=field.name)
        elif isinstance(ours, Plan):
            assert ours.digest == theirs.digest
            assert_same(ours, theirs)
        else:
            assert ours == theirs, field.name


@pytest.mark.loaded
def test_the_short_way_and_the_whole_comparison_have_the_same_result(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything(side)
    short_way, seen = compare.nothing_new, set()

    def both_ways(comparison: Comparison, fresh: Fresh) -> Compared:
        compared: Any = short_way(comparison, fresh)
        assert_same(compared, compare.compare_all(comparison, fresh, other_rows(comparison)))
        seen.add(comparison.spec.name)
        return compared

    monkeypatch.setattr(compare, "nothing_new", both_ways)
    everything(side)
    assert len(seen) >= 10, seen
