"""What a run leaves: records, links, watermarks, drift, all of it or nothing."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.store import schema as t
from connectors.store.sql import SyncStore
from reconciliation.draft import Draft
from reconciliation.errors import StoreFailed
from reconciliation.ports import Batch
from reconciliation.receipts import done
from reconciliation.watermark import Watermark

from .settling import NOW, SPEC, count, employee, entry, make_draft, make_plan, settle


def test_records_links_and_watermarks_are_remembered(store: SyncStore) -> None:
    mark = Watermark(NOW, date(2026, 11, 23), True)
    settle(
        store,
        "r1",
        landed=[("a", 5), ("b", -7)],
        links=[("a", "A"), ("b", "B")],
        draft=make_draft(make_plan([]), mark),
    )
    settle(store, "r2", landed=[("a", 6)], draft=make_draft(make_plan([]), mark, mark))
    assert store.known(SPEC.name).tolist() == [-7, 6]
    assert store.watermark(SPEC.name, SPEC.fingerprint()) == mark
    assert store.watermark(SPEC.name, "another scope") == Watermark()
    assert store.links("employees").to_numpy().tolist() == [["a", "A"], ["b", "B"]]
    assert store.links("employees", source_keys=["b"], target_keys=["A"])[
        "source_key"
    ].tolist() == ["b", "a"]
    assert [r["outcome"] for r in store.runs(5)] == ["completed", "completed"]


def test_a_watermark_that_another_run_has_moved_is_left_alone(store: SyncStore) -> None:
    early, late = Watermark(NOW), Watermark(NOW + timedelta(hours=5))
    settle(store, "r1", draft=make_draft(make_plan([]), late))
    settle(store, "r2", draft=make_draft(make_plan([]), early, Watermark()))
    assert store.watermark(SPEC.name, SPEC.fingerprint()) == late


def test_a_settlement_is_one_transaction(store: SyncStore) -> None:
    plan = make_plan([employee("A", "a")])
    store.keep_plan(plan, SPEC, NOW)
    store.start("r0", SPEC, "apply", NOW)
    with store.lease(SPEC.name, "r0"), store.lease(str(SPEC.pair), "r0"):
        intent = store.intend("r0", SPEC, plan.digest, 0, 1, NOW)
    last = Batch(intent, plan.changes, done(plan.changes))
    with pytest.raises(StoreFailed, match="IntegrityError"):
        settle(
            store,
            "r1",
            landed=[("a", 5)],
            links=[("a", "A"), ("b", "A")],
            bad=[entry("c", 1)],
            draft=make_draft(plan, Watermark(NOW)),
            last=last,
        )
    assert store.known(SPEC.name).size == 0
    assert store.watermark(SPEC.name, SPEC.fingerprint()) == Watermark()
    assert store.quarantined() == []
    assert count(store, t.ledger) == 0, "receipts and watermark are written together or not at all"
    assert len(store.open_intents(SPEC.name)) == 1


def test_what_is_known_already_is_not_written_again(store: SyncStore) -> None:
    settle(store, "r1", landed=[("a", 5)], draft=make_draft(make_plan([]), Watermark(NOW)))
    written: list[str] = []
    names = ("record", "watermark", "ledger", "quarantine", "plan", "link", "intent")

    @sa.event.listens_for(store.engine, "after_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if cursor.rowcount > 0 and statement.split()[0] in ("INSERT", "UPDATE", "DELETE"):
            written.extend(name for name in names if f" {name} " in f"{statement} ")

    settle(
        store,
        "r2",
        landed=[("a", 5)],
        draft=make_draft(make_plan([]), Watermark(NOW), Watermark(NOW)),
    )
    assert written == []
    settle(
        store,
        "r3",
        landed=[("a", 6)],
        draft=make_draft(make_plan([]), Watermark(NOW), Watermark(NOW)),
    )
    assert written == ["record"]


def drifting(*drift: tuple[str, str]) -> Draft:
    return make_draft(make_plan([]), drift=drift)


def test_drift_is_told_once(store: SyncStore) -> None:
    assert settle(
        store, "r1", draft=drifting(("User.Fax", "appeared"), ("User.Pet", "vanished"))
    ) == (
        "User.Fax appeared",
        "User.Pet vanished",
    )
    assert (
        settle(store, "r2", draft=drifting(("User.Fax", "appeared"), ("User.Pet", "vanished")))
        == ()
    )
    assert settle(store, "r3", draft=make_draft(make_plan([]))) == (), (
        "a run that read nothing knows nothing"
    )
    assert settle(store, "r4", draft=drifting(("User.Fax", "appeared"))) == ()
    assert settle(
        store, "r5", draft=drifting(("User.Fax", "appeared"), ("User.Pet", "vanished"))
    ) == ("User.Pet vanished",)
