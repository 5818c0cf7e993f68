"""The quarantine: when a row is tried again, and when it waits for a person."""

from __future__ import annotations

from datetime import timedelta

from connectors.store.sql import SyncStore

from .settling import NOW, SPEC, entry, make_draft, make_plan, settle


def test_the_quarantine_retries_eagerly_then_ever_more_seldom(store: SyncStore) -> None:
    for attempt in range(1, 6):
        settle(store, f"r{attempt}", bad=[entry("a", 1)])
    (found,) = store.quarantined()
    assert found["attempts"] == 5
    assert store.retryable(SPEC.name, NOW) == []
    assert store.marks(SPEC.name, NOW).resting.tolist() == [1]
    assert store.retryable(SPEC.name, NOW + timedelta(hours=4)) == ["a"]
    assert store.marks(SPEC.name, NOW + timedelta(hours=4)).resting.tolist() == []
    settle(store, "r9", landed=[("a", 2)])
    assert store.quarantined() == []
    gone = store.quarantine_entry(found["id"])
    assert gone is not None
    assert gone["status"] == "replayed"


def test_what_hr_refuses_again_and_again_waits_for_a_person(store: SyncStore) -> None:
    for attempt in range(8):
        settle(store, f"r{attempt}", bad=[entry("a", 1, stage="failed"), entry("b", 2)])
    later = NOW + timedelta(days=999)
    assert store.retryable(SPEC.name, later) == ["b"]
    assert store.marks(SPEC.name, later).resting.tolist() == [1]
    assert store.retry_now(SPEC.name, ["a"]) == 1
    assert store.retryable(SPEC.name, NOW) == ["a"]


def test_who_waits_for_a_person_is_tried_when_the_person_arrives(store: SyncStore) -> None:
    settle(store, "r1", bad=[entry("award", 5, "u1"), entry("other", 6, "u2")])
    assert store.retryable(SPEC.name, NOW + timedelta(days=99)) == []
    assert store.marks(SPEC.name, NOW).held.tolist() == [5, 6]
    settle(store, "r2", links=[("u1", "E1")])
    assert store.retryable(SPEC.name, NOW) == ["award"]
    assert store.marks(SPEC.name, NOW).held.tolist() == [6]


def test_records_without_a_key_are_known_by_their_bytes_and_vanish(store: SyncStore) -> None:
    settle(store, "r1", bad=[entry(None, 1), entry(None, 1), entry(None, 2)])
    assert store.known_bad(SPEC.name) == {1, 2}
    settle(store, "r2", bad=[entry(None, 1)], draft=make_draft(make_plan([]), looked_again=True))
    assert [e["hash"] for e in store.quarantined()] == [1]
    assert store.quarantine_counts() == {(SPEC.name, "rejected"): 1}


def test_what_does_not_answer_has_vanished_and_what_is_back_is_not_gone(store: SyncStore) -> None:
    settle(
        store,
        "r1",
        bad=[
            entry("a", 1),
            entry("b", 2),
            entry("x", None, stage="gone"),
            entry("y", None, stage="gone"),
        ],
    )
    settle(store, "r2", draft=make_draft(make_plan([]), retried=("a",)))
    assert [e["key"] for e in store.quarantined()] == ["b", "x", "y"]
    assert store.retryable(SPEC.name, NOW) == ["b"], "what is gone is not asked for"
    settle(
        store,
        "r3",
        bad=[entry("y", None, stage="gone")],
        draft=make_draft(make_plan([]), whole=True),
    )
    assert [e["key"] for e in store.quarantined()] == ["b", "y"]


def test_discarding_is_for_this_very_record(store: SyncStore) -> None:
    settle(store, "r1", bad=[entry("a", 1), entry("x", None, stage="gone")])
    for found in store.quarantined():
        assert store.discard(found["id"], "a test record")
        assert not store.discard(found["id"], "twice")
    assert store.marks(SPEC.name, NOW).discarded.tolist() == [1]
    settle(store, "r2", bad=[entry("x", None, stage="gone")])
    assert store.quarantined() == [], "what was discarded as gone is not entered again"
    settle(store, "r3", bad=[entry("a", 2)])
    (again,) = store.quarantined()
    assert (again["key"], again["attempts"]) == ("a", 1)
