"""Leases, which one run has at a time."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from connectors.store.sql import SyncStore
from reconciliation.errors import StoreFailed

from .settling import NOW, SPEC, employee, make_plan


def test_a_lease_is_one_run_s_and_expires(store: SyncStore, store_url: str) -> None:
    store.lease_seconds = 1.5
    other = SyncStore(store_url, lease_seconds=1.5)
    with (
        store.lease("p", "r1") as mine,
        other.lease("p", "r2") as theirs,
        other.lease("q", "r2") as elsewhere,
    ):
        assert (mine, theirs, elsewhere) == (True, False, True)
    with other.lease("p", "r2") as after:
        assert after, "it was given back"
    killed = store._take("p", "killed")
    assert killed
    other.clock = lambda: datetime.now(UTC) + timedelta(seconds=121)  # type: ignore[method-assign]
    with other.lease("p", "r3") as taken_over:
        assert taken_over
        with pytest.raises(StoreFailed, match="has lost its lease"):
            store.intend("killed", SPEC.model_copy(update={"name": "p"}), "d", 0, 1, NOW)
    other.close()


def test_whoever_finds_a_lease_held_waits_only_for_one_that_is_dead(
    store: SyncStore, store_url: str
) -> None:
    store.lease_seconds = 1.5
    assert store._take("p", "killed")
    other = SyncStore(store_url, lease_seconds=1.5)
    began = time.monotonic()
    with other.lease("p", "r2") as mine:
        assert mine, "it has lapsed"
        assert time.monotonic() - began < 4
        with SyncStore(store_url, lease_seconds=1.5).lease("p", "r3") as theirs:
            assert not theirs, "its holder renews it"
    other.close()


def test_a_lease_is_renewed_while_its_run_lives(store_url: str) -> None:
    store, other = SyncStore(store_url, lease_seconds=0.3), SyncStore(store_url, lease_seconds=0.3)
    with store.lease("p", "r1"):
        threading.Event().wait(0.9)
        with other.lease("p", "r2") as theirs:
            assert not theirs
    store.close()
    other.close()


def test_a_lapsed_lease_is_lost_for_good(store: SyncStore) -> None:
    spec = SPEC.model_copy(update={"name": "p", "pair": None})
    now = datetime.now(UTC)
    store.clock = lambda: now  # type: ignore[method-assign]
    assert store._take("p", "r1")
    store.intend("r1", spec, "d", 0, 1, NOW)
    now += timedelta(seconds=121)
    assert not store._renew("p", "r1")
    assert not store._take("p", "r1")
    with pytest.raises(StoreFailed, match="has lost its lease"):
        store.keep_plan(make_plan([employee("A", "a")]), spec, NOW, "r1")
    assert store._take("p", "r2")
    assert store._take("q", "r1")
    store._give_back("q", "r1")
    assert not store._renew("q", "r1"), "its renewing thread does not bring it back"
    assert store._take("q", "r2")


def test_law_14_a_lease_of_a_wrong_clock_locks_nobody_out(store: SyncStore) -> None:
    store.clock = lambda: datetime.now(UTC) + timedelta(days=30)  # type: ignore[method-assign]
    assert store._take("p", "ahead")
    store.clock = lambda: datetime.now(UTC)  # type: ignore[method-assign]
    assert store._take("p", "right")
    assert not store._renew("p", "ahead")


def test_of_many_that_want_a_lease_at_once_one_has_it(store_url: str) -> None:
    SyncStore(store_url).close()
    stores = [SyncStore(store_url) for _ in range(6)]
    barrier, got = threading.Barrier(6), []

    def want(number: int) -> None:
        barrier.wait()
        got.append(stores[number]._take("p", f"r{number}"))

    threads = [threading.Thread(target=want, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 5 + [True]
    for store in stores:
        store.close()
