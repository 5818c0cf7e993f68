"""Snapshots that are merged and renewed."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from reconciliation.frame import arrow, empty, of
from reconciliation.snapshot import REJECTED, Snapshot, merge, renewed


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=8), st.integers(1, 3)
)
def test_merging_keeps_the_newest_of_each_key_however_it_was_paged(
    rows: list[tuple[str, int]], cut: int
) -> None:
    kinds = {"id": "text", "updated_at": "moment", "hash": "hash"}
    made = [
        (key, datetime(2026, 1, 1 + version, tzinfo=UTC), i)
        for i, (key, version) in enumerate(rows)
    ]
    parts = [Snapshot(of(kinds, made[i::cut]), read=len(made[i::cut])) for i in range(cut)]
    whole = merge(parts, "id", "updated_at")
    newest = {key: max(v for k, v in rows if k == key) for key, _ in rows}
    assert {r.id: r.updated_at.day - 1 for r in whole.frame.itertuples()} == newest
    assert whole.read == len(rows)
    assert whole.duplicates == len(rows) - len(newest)


def test_a_record_read_well_once_is_not_rejected_for_a_broken_read() -> None:
    kinds = {"id": "text", "hash": "hash"}
    good = Snapshot(of(kinds, [("a", 1)]), read=1)
    bad = Snapshot(
        empty(kinds),
        rejected=of(REJECTED, [("a", "f", "r", "raw", 2), ("b", "f", "r", "raw", 3)]),
        read=2,
    )
    whole = merge([bad, good], "id", None)
    assert whole.rejected["key"].tolist() == ["b"]
    assert arrow(whole.frame["id"]).to_pylist() == ["a"]


def test_a_fresh_answer_stands_for_what_was_read_before() -> None:
    kinds = {"id": "text", "town": "text", "hash": "hash"}
    bad = of(REJECTED, [("c", "town", "is odd", None, 3), ("d", "town", "is odd", None, 4)])
    read = Snapshot(of(kinds, [("a", "x", 1), ("b", "x", 2)]), True, bad, 4)
    fresh = Snapshot(of(kinds, [("a", "y", 5), ("c", "y", 6)]), True, of(REJECTED, []), 2)
    now = renewed(read, "id", {"a", "b", "c"}, fresh, None)
    assert sorted(zip(now.frame["id"], now.frame["town"], strict=True)) == [("a", "y"), ("c", "y")]
    assert (now.rejected["key"].tolist(), now.read) == (["d"], 3)
