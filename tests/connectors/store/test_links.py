"""Links that a person has set, and what follows from them."""

from __future__ import annotations

import pytest

from connectors.store.sql import SyncStore
from flows import award_targets_from_hr, awards_to_hr, users_from_hr
from reconciliation.errors import Misconfigured
from reconciliation.hints import Hint

from .settling import NOW, SPEC, settle


def test_a_link_that_a_person_has_set_stays(store: SyncStore) -> None:
    settle(store, "r1", links=[("u1", "E1"), ("u2", "E2")])
    with pytest.raises(
        Misconfigured, match=r"'E2' is linked to 'u2'.*hrsync links unset employees u2"
    ):
        store.set_link("employees", "u1", "E2", NOW)
    store.set_link("employees", "u1", "E9", NOW)
    settle(store, "r2", links=[("u1", "E1")])
    assert store.links("employees", source_keys=["u1"])["target_key"].tolist() == ["E9"]
    assert store.unset_link("employees", "u1")
    assert not store.unset_link("employees", "u1")
    settle(store, "r3", links=[("u1", "E1")])
    assert [row["origin"] for row in store.listed("employees", "u1", 5)] == ["matched"]


def test_looking_again_asks_for_the_user_and_for_all_that_is_the_user_s(store: SyncStore) -> None:
    settle(store, "r1", landed=[("u1", 1), ("u2", 2)])
    store.look_again(
        [SPEC, users_from_hr.SPEC, award_targets_from_hr.SPEC], "u1", "E1", "linked by hand", NOW
    )
    assert store.retryable(SPEC.name, NOW) == ["u1"]
    assert store.retryable(users_from_hr.SPEC.name, NOW) == ["E1"]
    assert store.hints(award_targets_from_hr.SPEC.name) == (Hint("employees", "E1", False, 1),)
    assert store.known(SPEC.name).tolist() == [2]


def test_whoever_is_linked_otherwise_is_a_hint_for_all_that_is_theirs(store: SyncStore) -> None:
    ways = (awards_to_hr.SPEC, award_targets_from_hr.SPEC)
    with store.engine.begin() as connection:
        for spec in (SPEC, *ways):
            store.note_scope(connection, spec, NOW)
    settle(store, "r1", links=[("u1", "E1"), ("u2", "E2"), ("u3", "E3")])
    assert [store.hints(spec.name) for spec in ways] == [(), ()], "nobody was linked before"
    settle(store, "r2", links=[("u1", "E1"), ("u2", "E9"), ("u4", "E3")])
    named = [{(hint.feed, hint.key) for hint in store.hints(spec.name)} for spec in ways]
    assert named == [{("User", "u2"), ("User", "u4")}, {("employees", "E9"), ("employees", "E3")}]
    assert store.hints(SPEC.name) == ()
