"""Runs that began, covered others, or died."""

from __future__ import annotations

from datetime import datetime, timedelta

from connectors.store import schema as t
from connectors.store.sql import SyncStore

from .settling import NOW, SPEC, leased, settle


def test_a_run_that_began_later_covers_an_earlier_schedule(store: SyncStore) -> None:
    settle(store, "r1")
    fingerprint = SPEC.fingerprint()
    assert store.covered(SPEC.name, fingerprint, NOW, False)
    assert not store.covered(SPEC.name, fingerprint, NOW, True), "but no sweep"
    assert not store.covered(SPEC.name, fingerprint, NOW + timedelta(seconds=1), False)
    assert not store.covered(SPEC.name, "another scope", NOW, False)
    assert not store.covered("awards_to_hr", fingerprint, NOW, False)
    store.start("r2", SPEC, "apply", NOW + timedelta(hours=1))
    assert not store.covered(SPEC.name, fingerprint, NOW + timedelta(minutes=30), False), (
        "it has not ended"
    )


def test_a_run_whose_lease_is_gone_has_died(store: SyncStore) -> None:
    with leased(store, "r1"):
        assert store.runs(1)[0]["outcome"] is None
        with store.engine.begin() as connection:
            connection.execute(t.lease.update().values(until=datetime(2026, 1, 1)))
        assert store.runs(1)[0]["outcome"] == "died"
    store.start("r2", SPEC, "plan", NOW)
    assert {run["id"]: run["outcome"] for run in store.runs(2)}["r2"] is None, (
        "a preview has no lease"
    )
