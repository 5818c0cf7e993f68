"""The parts of a sweep that was interrupted."""

from __future__ import annotations

from datetime import timedelta

from connectors.store.sql import SyncStore
from reconciliation.ask import Range
from reconciliation.frame import strings

from .settling import NOW, PART, SPEC, leased, make_draft, make_plan, settle, sweep_part


def test_the_parts_of_an_interrupted_sweep_are_taken_up(store: SyncStore) -> None:
    assert store.sweeping_since(SPEC, NOW) is None
    sweep_part(store)
    assert store.sweeping_since(SPEC, NOW + timedelta(hours=1)) == NOW
    back = store.part(SPEC, PART)
    assert back is not None
    assert (
        strings(back.frame["surname"]),
        strings(back.rejected["key"]),
        back.read,
        back.duplicates,
    ) == (["Lee"], ["u2"], 3, 1)
    assert back.appeared == ("Fax",)
    assert store.part(SPEC, Range("created_at", None, None)) is None
    settle(store, "r1", draft=make_draft(make_plan([]), whole=True))
    assert store.sweeping_since(SPEC, NOW) is None, "the sweep is done"


def test_parts_that_may_be_outdated_are_not_taken_up(store: SyncStore) -> None:
    sweep_part(store)
    assert store.sweeping_since(SPEC, NOW + timedelta(hours=25)) is None, "too old"
    sweep_part(store)
    with leased(store, "r1"):
        store.intend("r1", SPEC, "d", 0, 1, NOW + timedelta(minutes=1))
    assert store.sweeping_since(SPEC, NOW + timedelta(hours=1)) is None, "HR was written to since"
    store.engine.dispose()


def test_a_sweep_that_never_ends_is_given_up(store: SyncStore) -> None:
    sweep_part(store)
    for number in range(5):
        store.start(f"r{number}", SPEC, "sweep", NOW + timedelta(minutes=number))
    assert store.sweeping_since(SPEC, NOW + timedelta(hours=1)) is None
    assert store.part(SPEC, PART) is None
