"""What is pruned, and what is kept for how long."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from connectors.store import schema as t
from connectors.store.sql import SyncStore

from .settling import NOW, SPEC, carry_out, employee, entry, leased, make_plan, settle


def test_pruning_takes_details_and_leaves_the_ledger(store: SyncStore) -> None:
    old, young, open_ = (make_plan([employee("E1", "u1", name)]) for name in ("Ash", "Elm", "Oak"))
    carry_out(store, "r1", old)
    store.keep_plan(open_, SPEC, NOW)
    with leased(store, "r2"):
        store.intend("r2", SPEC, open_.digest, 0, 1, NOW)
    settle(store, "r3", bad=[entry("a", 1), entry("b", 2)])
    settle(store, "r4", landed=[("a", 1)])
    later = NOW + timedelta(days=91)
    store.keep_plan(young, SPEC, later)
    long_ago = later - timedelta(days=900)
    pruned = store.prune(later - timedelta(days=90), long_ago)
    assert pruned == {
        "ledger": 0,
        "filters": 0,
        "versions": 0,
        "plans": 1,
        "plan parts": 0,
        "quarantine": 1,
        "runs": 4,
        "sweeps": 0,
        "hints": 0,
        "leases": 0,
        "deliveries": 0,
        "refusals": 0,
        "budget": 0,
    }
    assert store.plan(old.digest) is None
    assert store.plan(open_.digest) is not None, "an open intent needs it"
    assert store.plan(young.digest) is not None
    (told,) = store.story("E1")
    assert (told["kind"], told["digest"], "after" in told) == ("create", old.digest, False)
    assert [e["key"] for e in store.quarantined()] == ["b"], "what is open stays"
    assert store.prune(later - timedelta(days=90), long_ago) == dict.fromkeys(pruned, 0)


def test_the_ledger_is_kept_as_long_as_the_history_and_the_scope_of_a_process_as_long_as_it_is_used(
    store: SyncStore,
) -> None:
    plan = make_plan([employee("E1", "u1")])
    carry_out(store, "r1", plan)
    settle(store, "r2", bad=[entry("a", 1)])
    later = NOW + timedelta(days=400)
    kept = store.prune(later, NOW - timedelta(days=1))
    assert (kept["ledger"], kept["filters"]) == (0, 0), (
        "what a process was last is kept, and so is what a record waits for"
    )
    assert store.story("E1")
    assert store.prune(later, later)["ledger"] == 1
    assert store.story("E1") == []
    with store.engine.begin() as connection:
        assert (
            connection.execute(sa.select(sa.func.count()).select_from(t.intent)).scalar_one() == 0
        )
        old = {
            "process": SPEC.name,
            "fingerprint": "other",
            "spec": SPEC.model_dump_json(),
            "used": NOW.replace(tzinfo=None) - timedelta(1),
        }
        connection.execute(t.scope.insert().values(old))
    assert store.prune(later, later)["filters"] == 1
    assert store.scope(SPEC.name, None) == SPEC


@pytest.mark.parametrize("hour_seconds", [3600.0, 60.0, 7200.0])
def test_hours_and_refusals_of_the_past_are_pruned_whatever_the_length_of_an_hour(
    store: SyncStore, hour_seconds: float
) -> None:
    edge = NOW - timedelta(days=90)
    hours = [int(moment.timestamp() // hour_seconds) for moment in (edge - timedelta(days=1), NOW)]
    with store.engine.begin() as connection:
        connection.execute(
            t.budget.insert(), [{"endpoint": "user", "hour": hour, "used": 1} for hour in hours]
        )
    store.refuse({"signature": 1}, edge - timedelta(days=1))
    store.refuse({"signature": 1}, NOW)
    pruned = store.prune(edge, edge, hour_seconds)
    assert (pruned["budget"], pruned["refusals"]) == (1, 1)
    with store.engine.connect() as connection:
        assert connection.execute(sa.select(t.budget.c.hour)).scalars().all() == [hours[1]]
