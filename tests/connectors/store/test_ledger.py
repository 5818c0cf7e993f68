"""The ledger and its intents."""

from __future__ import annotations

from connectors.store import schema as t
from connectors.store.sql import SyncStore
from reconciliation.frame import strings
from reconciliation.plan import NEW
from reconciliation.ports import Batch
from reconciliation.receipts import done

from .settling import NOW, SPEC, carry_out, count, employee, leased, make_plan


def test_the_ledger_tells_of_every_change_with_before_and_after(store: SyncStore) -> None:
    first = make_plan([employee("E1", "u1"), employee("E2", "u2")])
    carry_out(store, "r1", first)
    second = make_plan([employee("E1", "u1", "Fox")], [employee("E1", "u1"), employee("E2", "u2")])
    carry_out(store, "r2", second)
    for key in ("E1", "u1"):
        told = store.story(key)
        assert [(e["kind"], e["fields"], e["outcome"], e["run"], e["digest"]) for e in told] == [
            ("create", "", "created", "r1", first.digest),
            ("update", "surname", "updated", "r2", second.digest),
        ]
        assert told[0]["after"] == {"accessplanit_id": "u1", "surname": "Lee"}
        assert (told[1]["before"], told[1]["after"]) == ({"surname": "Lee"}, {"surname": "Fox"})
    assert store.story("nobody") == []
    assert store.open_intents(SPEC.name) == []
    assert NEW


def test_an_intent_stays_open_until_its_receipts_are_written(store: SyncStore) -> None:
    plan = make_plan([employee(f"E{i}", f"u{i}") for i in range(4)])
    store.keep_plan(plan, SPEC, NOW)
    with leased(store, "r1"):
        intent = store.intend("r1", SPEC, plan.digest, 1, 3, NOW)
    ((found, part),) = store.open_intents(SPEC.name)
    assert found == intent
    assert strings(part.changes["key"]) == strings(plan.changes["key"])[1:3]
    assert store.open_intents("awards_to_hr") == []
    with leased(store, "r2"):
        some = done(part.changes).iloc[1:].reset_index(drop=True)
        store.receive("r2", SPEC, Batch(found, part.changes, some), NOW)
    assert store.open_intents(SPEC.name) == []
    key = strings(plan.changes["key"])[2]
    assert [e["place"] for e in store.story(str(key))] == [2]
    assert count(store, t.ledger) == 1
