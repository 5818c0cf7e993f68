"""Somebody who is forgotten is in no table, and the others are (law 10)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from connectors.store import schema as t
from connectors.store.sql import SyncStore
from connectors.webhooks import Arrival
from flows import awards_to_hr
from reconciliation.errors import StalePlan
from reconciliation.frame import of
from reconciliation.history.inquiry import Inquiry
from reconciliation.plan import reconcile
from reconciliation.ports import Batch
from reconciliation.receipts import done

from .settling import (
    NOW,
    SPEC,
    carry_out,
    employee,
    keep,
    leased,
    make_draft,
    make_plan,
    settle,
    sweep_part,
)


def everything(store: SyncStore, store_url: str) -> str:
    """All that the store holds, as text; of SQLite the very bytes of its files."""
    with store.engine.connect() as connection:
        rows = [
            str(row)
            for table in t.metadata.sorted_tables
            for row in connection.execute(sa.select(table))
        ]
    frames = [store.plan(d) for d in _digests(store)]
    text = "\n".join(
        [*rows, *(str(f.changes.to_dict()) + str(f.before.to_dict()) for f in frames if f)]
    )
    if store_url.startswith("sqlite"):
        folder = Path(store_url.removeprefix("sqlite:///")).parent
        text += "".join(
            path.read_bytes().decode("latin-1") for path in sorted(folder.glob("store.db*"))
        )
    return text


def _digests(store: SyncStore) -> list[str]:
    with store.engine.connect() as connection:
        return list(connection.execute(sa.select(t.plan.c.digest)).scalars())


def test_forgetting_leaves_nothing_of_the_person_and_all_of_the_others(
    store: SyncStore, store_url: str
) -> None:
    award = awards_to_hr.SPEC
    plan = make_plan(
        [employee("EMPL-ONE", "user-one", "Quixote"), employee("EMPL-TWO", "user-two", "Panza")]
    )
    carry_out(store, "r1", plan)
    columns = {"award_record_id": "text", **award.columns()}
    row = dict.fromkeys(columns) | {
        "award_record_id": "AWARD-ONE",
        "accessplanit_user_id": "user-one",
        "employee_name": "Quixote",
    }
    held = reconcile(
        of(columns, [tuple(row.values())]),
        of(columns, []),
        "award_record_id",
        award.columns(),
        award.compared(),
    )
    store.keep_plan(held, award, NOW)
    with leased(store, "a1", award):
        intent = store.intend("a1", award, held.digest, 0, 1, NOW)
        store.receive("a1", award, Batch(intent, held.changes, done(held.changes)), NOW)
    waiting = keep(store, make_draft(make_plan([employee("EMPL-TWO", "user-two", "Fox")])))
    settle(
        store,
        "r2",
        landed=[("user-one", 1), ("user-two", 2), ("AWARD-ONE", 3)],
        links=[("user-one", "EMPL-ONE"), ("user-two", "EMPL-TWO")],
        bad=[
            ("user-one", "failed", "f", "r", None, "Quixote", 9),
            ("award-x", "held", "f", "r", "user-one", None, 8),
            ("OTHER-AWARD", "held", "f", "r", None, "raw", 7),
        ],
        agreed=[("user-one", "surname", "Quixote"), ("user-two", "surname", "Panza")],
    )
    sweep_part(store)
    said = (
        ("User", "user-one"),
        ("UserCourseDate", "user-one~101"),
        ("UserCourseDate", "user-two~101"),
    )
    store.accept(
        [Arrival("user", "PUT", said, "d1", True)], {("user", feed): ["p"] for feed, _ in said}, NOW
    )
    assert store.story("user-one")
    erased = store.forget("user-one", ["OTHER-AWARD"], NOW)
    assert store.scrub()
    found = {
        "plans": 2,
        "ledger": 2,
        "links": 1,
        "agreements": 1,
        "records": 2,
        "quarantine": 3,
        "sweeps": 1,
    }
    assert erased == {**found, "hints": 3, "versions": 0}
    left = everything(store, store_url)
    for trace in ("user-one", "EMPL-ONE", "AWARD-ONE", "Quixote", "OTHER-AWARD"):
        assert trace not in left, trace
    assert store.story("user-one") == store.story("EMPL-ONE") == []
    (told,) = store.story("user-two")
    assert told["after"]["surname"] == "Panza", (
        "the neighbour's entry still finds its place in the plan"
    )
    assert store.links("employees")["source_key"].tolist() == ["user-two"]
    with pytest.raises(StalePlan):
        store.draft(waiting)
    with store.engine.connect() as connection:
        (tombstone,) = connection.execute(sa.select(t.tombstone)).mappings()
    assert set(tombstone) == {"id", "at", "erased"}
    settle(store, "r3", landed=[("user-one", 1)], links=[("user-one", "EMPL-ONE")])
    assert "user-one" in store.links("employees")["source_key"].tolist(), (
        "a tombstone prevents nothing"
    )


def test_law_10_what_never_went_through_and_what_is_somebody_elses_loses_the_person(
    store: SyncStore, store_url: str
) -> None:
    raw = json.dumps({"ID": "UA9", "UserID": "USER-ONE", "Note": "Quixote"})
    other = json.dumps(
        {"ID": "UA8", "UserID": "user-two", "Managers": "one@x.example;two@x.example"}
    )
    settle(
        store,
        "r1",
        landed=[("user-one~101", 1), ("user-two~101", 2)],
        links=[("user-one", "EMPL-ONE"), ("user-two", "EMPL-TWO")],
        bad=[
            ("UA9", "rejected", "f", "r", None, raw, 9),
            (None, "rejected", "f", "r", None, "?;Quixote;?", 8),
            ("UA8", "rejected", "f", "r", None, other, 7),
            (
                "user-two",
                "held",
                "id",
                "may be one of several",
                None,
                json.dumps({"email": ["EMPL-ONE", "EMPL-TWO"]}),
                6,
            ),
        ],
    )
    store.keep_plan(
        make_plan(
            [employee("EMPL-ONE", "user-one", "Quixote"), employee("EMPL-TWO", "user-two", "Panza")]
        ),
        SPEC,
        NOW,
    )
    assert store.known_of("user-none") is None
    known = store.known_of("user-one")
    assert known
    assert known.ids == {"user-one", "EMPL-ONE"}
    assert "UA9" in known.keys
    store.forget("user-one", sorted(known.keys), NOW, ["one@x.example", "Quixote"])
    assert store.scrub()
    left = everything(store, store_url)
    for trace in ("user-one", "USER-ONE", "EMPL-ONE", "UA9", "Quixote", "one@x.example"):
        assert trace not in left, trace
    assert {entry["key"]: entry["raw"] for entry in store.quarantined()} == {
        "UA8": other.replace("one@x.example", "(forgotten)"),
        "user-two": json.dumps({"email": ["(forgotten)", "EMPL-TWO"]}),
    }
    assert store.known_of("user-one") is None


def test_nobody_is_forgotten_while_a_run_is_at_work(store: SyncStore) -> None:
    settle(store, "r1", links=[("user-one", "EMPL-ONE")])
    with leased(store, "r2"):
        for forgetting in (store.forgettable, lambda: store.forget("user-one", [], NOW)):
            with pytest.raises(StalePlan, match="is running"):
                forgetting()
    assert store.known_of("user-one")


def test_a_digest_that_leaves_the_store_is_salted_and_the_same_for_all(
    store: SyncStore, store_url: str, tmp_path: Path
) -> None:
    other, stranger = SyncStore(store_url), SyncStore(f"sqlite:///{tmp_path / 'other.db'}")
    assert store.salt() == other.salt() != stranger.salt()
    asked = Inquiry(process="awards_to_hr", as_of=date(2026, 3, 31), people=("user-one",))
    assert asked.digest(store.salt()) == asked.digest(other.salt()) != asked.digest(stranger.salt())
    plan, *others = (
        replace(make_plan([employee("A", "a")]), salt=each.salt()).digest
        for each in (store, other, stranger)
    )
    assert [each == plan for each in others] == [True, False]
    for each in (other, stranger):
        each.close()


def test_an_open_intent_of_which_somebody_was_forgotten_keeps_the_places_of_the_others(
    store: SyncStore,
) -> None:
    plan = make_plan([employee("E1", "u1"), employee("E2", "u2"), employee("E3", "u3")])
    store.keep_plan(plan, SPEC, NOW)
    with leased(store, "r1"):
        store.intend("r1", SPEC, plan.digest, 0, 3, NOW)
    store.forget("u2", ["E2"], NOW)
    ((intent, part),) = store.open_intents(SPEC.name)
    left = part.changes[part.changes["key"].notna()]
    assert left["key"].tolist() == ["E1", "E3"]
    with leased(store, "r2"):
        store.receive("r2", SPEC, Batch(intent, part.changes, done(left)), NOW)
    assert store.open_intents(SPEC.name) == []
    (told,) = store.story("E3")
    assert told["after"]["accessplanit_id"] == "u3"
