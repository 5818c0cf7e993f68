"""What was true when, and what was known when: the ledger's answers against a plain replay of what
was written down."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.store.sql import SyncStore
from flows import awards_to_hr, users_to_hr
from reconciliation.frame import of
from reconciliation.history.versions import shown, surviving, true_on
from reconciliation.plan import Plan, reconcile
from reconciliation.ports import Batch
from reconciliation.receipts import done
from reconciliation.spec import ProcessSpec

START = datetime(2026, 1, 1, tzinfo=UTC)
USERS, AWARDS = users_to_hr.SPEC, awards_to_hr.SPEC
HISTORIES = 14 if os.environ.get("HRSYNC_HISTORY_TESTS") == "whole" else 2
QUESTIONS = 80
"""Questions that are asked about one history."""
KEYS = ("E1", "E2", "E3")


@pytest.fixture
def store(store_url: str) -> Iterator[SyncStore]:
    opened = SyncStore(store_url)
    yield opened
    opened.close()


def row(spec: ProcessSpec, key: str, **values: Any) -> tuple[Any, ...]:
    columns = {spec.entity_key: "text", **spec.columns()}
    return tuple((dict.fromkeys(columns) | {spec.entity_key: key} | values).values())


class Ledger:
    """Carries out changes as runs do, at chosen moments; and beside it a list of all that was said,
    in the order in which it was."""

    def __init__(self, store: SyncStore, spec: ProcessSpec) -> None:
        self.store, self.spec = store, spec
        self.columns = {spec.entity_key: "text", **spec.columns()}
        self.hr: dict[str, tuple[Any, ...]] = {}
        self.said: list[tuple[datetime, datetime | None, str, str | None]] = []
        self.number = 0

    def frame(self, rows: list[tuple[Any, ...]]) -> pd.DataFrame:
        return of(self.columns, rows)

    def write(
        self, at: datetime, key: str, label: str, since: datetime | None, outcome: str = "done"
    ) -> None:
        """A run writes ``label`` at ``at``: true from ``since`` on."""
        spec, self.number = self.spec, self.number + 1
        if spec.entity == "employees":
            new = row(spec, key, surname=label, source_updated_at=since, accessplanit_id=f"u{key}")
        else:
            new = row(
                spec,
                key,
                award_label=label,
                source_updated_at=since,
                accessplanit_user_id=f"u{key}",
            )
        current = self.frame([self.hr[key]] if key in self.hr else [])
        plan: Plan = reconcile(
            self.frame([new]), current, spec.entity_key, spec.columns(), list(spec.columns())
        )
        if not len(plan.changes):
            return
        run = f"r{self.number}"
        old = self.hr.get(key)
        names = list(self.columns)
        label_at, since_at = (
            names.index("surname" if spec.entity == "employees" else "award_label"),
            names.index("source_updated_at"),
        )
        self.store.keep_plan(plan, spec, at)
        with self.store.lease(spec.name, run), self.store.lease(str(spec.pair), run):
            intent = self.store.intend(run, spec, plan.digest, 0, 1, at)
            receipts = done(plan.changes)
            if outcome != "done":
                receipts = receipts.assign(outcome=outcome)
            self.store.receive(
                run, spec, Batch(intent, plan.changes, receipts), at + timedelta(seconds=1)
            )
        if old is not None:
            # When it made the plan the run has seen what was there.
            self.said.append((at, old[since_at] if self.undated else None, key, old[label_at]))
        if outcome == "done":
            self.hr[key] = new
            self.said.append(
                (at + timedelta(seconds=1), since if self.undated else None, key, label)
            )

    def see(self, at: datetime, labels: dict[str, str]) -> None:
        """Somebody has changed HR: it is looked at as a whole."""
        names = list(self.columns)
        label_at = names.index("surname" if self.spec.entity == "employees" else "award_label")
        since_at = names.index("source_updated_at")
        for key, label in labels.items():
            if key in self.hr:
                self.hr[key] = tuple(
                    label if i == label_at else v for i, v in enumerate(self.hr[key])
                )
        self.store.observe(
            self.spec,
            self.frame(list(self.hr.values())).rename(columns={self.spec.entity_key: "key"}),
            "look",
            at,
        )
        for key, label in labels.items():
            if key in self.hr:
                self.said.append((at, self.hr[key][since_at] if self.undated else None, key, label))

    @property
    def undated(self) -> bool:
        return self.spec.entity == "employees"

    def replay(self, day: datetime | None, known: datetime) -> dict[str, str]:
        """Paints every statement over the time that it is about; what is painted last is seen.
        ``day``: none, the present."""
        seen: dict[str, str] = {}
        for at, since, key, label in self.said:
            if at <= known and (since is None or day is None or since < day):
                seen[key] = str(label)
        return seen


def told(rows: pd.DataFrame, name: str) -> dict[str, str]:
    return dict(zip(rows["key"].tolist(), rows[name].tolist(), strict=True)) if len(rows) else {}


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "write", "refused", "see"]),
        st.sampled_from(KEYS),
        st.sampled_from(["Ash", "Elm", "Oak", "Yew"]),
        st.integers(1, 400),
        st.integers(-400, 0),
    ),
    min_size=4,
    max_size=14,
)


@pytest.mark.slow
@pytest.mark.parametrize("spec", [USERS, AWARDS], ids=["employees", "awards"])
def test_as_of_and_known_at_equal_a_plain_replay(spec: ProcessSpec, tmp_path: Any) -> None:
    """Random histories: writes, late corrections, refusals, edits in HR; random days and moments,
    before and after pruning."""
    name = "surname" if spec.entity == "employees" else "award_label"

    @settings(max_examples=HISTORIES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps=STEPS, dice=st.randoms(use_true_random=False))
    def history(steps: list[tuple[str, str, str, int, int]], dice: Any) -> None:
        store = SyncStore("sqlite://")
        try:
            ledger, at = Ledger(store, spec), START
            for what, key, label, pause, since in steps:
                at += timedelta(hours=pause)
                if what == "see":
                    ledger.see(at, {key: label})
                else:
                    ledger.write(
                        at,
                        key,
                        label,
                        at + timedelta(hours=since),
                        "done" if what == "write" else "failed",
                    )
            for pruned in (False, True):
                if pruned:
                    store.prune(at + timedelta(days=1), START - timedelta(days=1))
                versions = store.versions(spec)
                for _ in range(QUESTIONS // 2):
                    moment = START + timedelta(
                        hours=dice.randrange(-24, 400 * len(steps) // 2), minutes=30
                    )
                    day = START + timedelta(
                        hours=dice.randrange(-600, 400 * len(steps) // 2), minutes=30
                    )
                    assert told(true_on(versions, day, moment), name) == ledger.replay(day, moment)
                    assert told(shown(versions, moment), name) == ledger.replay(None, moment)
                assert told(shown(store.versions(spec, moment), None), name) == ledger.replay(
                    None, moment
                )
        finally:
            store.close()

    history()


def test_a_late_correction_does_not_rewrite_what_was_known(store: SyncStore) -> None:
    ledger = Ledger(store, USERS)
    ledger.write(START, "E1", "Ash", START - timedelta(days=10))
    ledger.write(START + timedelta(days=20), "E1", "Elm", START + timedelta(days=5))
    versions = store.versions(USERS)
    day = START + timedelta(days=6)

    def name(day: datetime, known: datetime) -> list[str]:
        return list(true_on(versions, day, known)["surname"])

    assert name(day, START + timedelta(days=6)) == ["Ash"], "nobody knew yet"
    assert name(day, START + timedelta(days=21)) == ["Elm"], "now it is known, of that day"
    assert name(START + timedelta(days=4), START + timedelta(days=21)) == ["Ash"], (
        "before that it was not so"
    )
    assert name(START - timedelta(days=11), START + timedelta(days=21)) == [], (
        "and before that nothing was"
    )


def test_pruning_keeps_what_rows_were_and_forgets_what_is_past_its_retention(
    store: SyncStore,
) -> None:
    ledger = Ledger(store, AWARDS)
    for number, label in enumerate(("Ash", "Elm", "Oak")):
        ledger.write(START + timedelta(days=number), "A1", label, START)
    ledger.write(START, "A2", "Yew", START)
    before = store.versions(AWARDS)
    late = START + timedelta(days=100)
    pruned = store.prune(late, START - timedelta(days=1))
    assert (pruned["plans"], pruned["versions"]) == (4, 0)
    after = store.versions(AWARDS)
    assert after.to_dict("records") == before.to_dict("records")
    assert store.prune(late, START + timedelta(days=1, hours=12))["versions"] == 2, (
        "the first, and what was seen in its place"
    )
    left = store.versions(AWARDS)
    assert sorted(left["award_label"]) == ["Elm", "Elm", "Oak", "Yew"]
    assert told(shown(left, late), "award_label") == {"A1": "Oak", "A2": "Yew"}
    assert store.prune(late, START + timedelta(days=1, hours=12))["versions"] == 0


def test_an_older_mapping_has_written_fewer_columns(store: SyncStore) -> None:
    narrow = AWARDS.model_copy(
        update={"fields": tuple(f for f in AWARDS.fields if f.target != "renewed")}
    )
    Ledger(store, narrow).write(START, "A1", "Ash", START)
    ledger = Ledger(store, AWARDS)
    ledger.write(START + timedelta(days=1), "A2", "Elm", START)
    versions = store.versions(AWARDS)
    assert versions["renewed"].isna().all()
    assert told(shown(versions, None), "award_label") == {"A1": "Ash", "A2": "Elm"}
    assert len(surviving(versions, START)) == 2


def test_somebody_who_is_forgotten_has_no_history(store: SyncStore) -> None:
    ledger = Ledger(store, AWARDS)
    ledger.write(START, "A1", "Ash", START)
    ledger.write(START, "A2", "Elm", START)
    store.prune(START + timedelta(days=100), START - timedelta(days=1))
    ledger.see(START + timedelta(days=101), {"A1": "Oak"})
    # … and some of it is still in a plan.
    ledger.write(START + timedelta(days=102), "A1", "Yew", START)
    erased = store.forget("uA1", [], START + timedelta(days=103))
    assert (erased["versions"], erased["plans"]) == (2, 1)
    left = store.versions(AWARDS)
    assert left["key"].tolist() == ["A2"]
    assert "uA1" not in str(left.to_dict("records"))


def test_the_moment_of_knowledge_is_that_of_the_receipt(store: SyncStore) -> None:
    """What was sent and not yet answered nobody knew."""
    ledger = Ledger(store, AWARDS)
    ledger.write(START, "A1", "Ash", START)
    assert len(shown(store.versions(AWARDS), START)) == 0
    assert len(shown(store.versions(AWARDS), START + timedelta(seconds=1))) == 1
