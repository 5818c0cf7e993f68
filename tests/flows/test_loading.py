"""Rows that HR refuses, and batches that are interrupted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.store import schema as t
from flows._run import Order, World, plainly, run_process
from flows.catalogue import PROCESSES
from reconciliation.errors import TargetFailed
from reconciliation.plan import CHANGED, LEFT, NEW
from reconciliation.receipts import all_of
from tests.sides import Side
from tests.to_hr import USERS, both, reasons, rows


@pytest.fixture
def dialect_name() -> str:
    """What is tested here does not depend on how the tenant speaks."""
    return "standard"


def test_reasons_are_told(side: Side) -> None:
    spec = PROCESSES["users_to_hr"].scoped(leavers="close")
    side.run(spec)
    key = side.change_one("JobTitle", "Foreman")
    side.run(spec)
    side.change_one("Status", "Inactive")
    side.run(spec)
    assert reasons(side, key) == [NEW, CHANGED, LEFT]


def refusing(side: Side, keys: Callable[[str], bool], batch: int = 20000) -> World:
    """A world whose HR refuses the rows of some keys."""
    world, inner = side.world(), side.target

    class Target:
        name = inner.name

        def __init__(self) -> None:
            self.batch = batch

        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        def apply(self, entity: str, changes: Any) -> Any:
            if any(keys(key) for key in changes["key"]):
                from reconciliation.errors import Refused

                raise Refused("this row is not wanted")
            return inner.apply(entity, changes)

    return World(world.source, Target(), world.store, world.zone, world.clock)  # type: ignore[arg-type]


@pytest.mark.parametrize("batch", [7, 20000])
def test_a_bad_row_stands_alone_at_last_and_its_neighbours_load(side: Side, batch: int) -> None:
    _, plan = run_process(USERS, side.world(), Order(mode="plan"), call=plainly)
    bad = set(plan.changes["key"].iloc[[0, 5, 6, 50]])
    report, _ = run_process(USERS, refusing(side, bad.__contains__, batch), Order(), call=plainly)
    assert report.adds_up()
    assert report.outcomes["failed"] == len(bad)
    assert {r["employee_id"] for r in side.rows("employees")} == set(plan.changes["key"]) - bad
    entries = side.store.quarantined(USERS.name)
    assert {e["reason"] for e in entries} == {"this row is not wanted"}
    told = [e for key in bad for e in side.store.story(key)]
    assert {(e["outcome"], e["note"]) for e in told} == {("failed", "this row is not wanted")}
    both(side)
    assert side.differences() == []


def test_a_refused_row_rests_between_attempts_and_then_waits_for_a_person(side: Side) -> None:
    _, plan = run_process(USERS, side.world(), Order(mode="plan"), call=plainly)
    bad, calls = plan.changes["key"].iloc[0], 0

    def is_bad(key: str) -> bool:
        nonlocal calls
        calls += key == bad
        return key == bad

    now = datetime.now(UTC)
    tried = []
    for number in range(60):
        world = refusing(side, is_bad)
        before = calls
        report, _ = run_process(
            USERS,
            World(
                world.source,
                world.target,
                world.store,
                world.zone,
                lambda n=number: now + timedelta(hours=n * 8),
            ),
            Order(),
            call=plainly,
        )
        assert report.adds_up()
        if calls > before:
            tried.append(number)
    assert tried[:4] == [0, 1, 2, 3], "eagerly"
    assert len(tried) == 8, "eight times in all, ever more seldom"
    world = refusing(side, is_bad)
    later = World(
        world.source, world.target, world.store, world.zone, lambda: now + timedelta(days=30)
    )
    before = calls
    run_process(USERS, later, Order(sweep=True), call=plainly)
    assert calls > before, "and once more in each sweep"
    (entry,) = side.store.quarantined(USERS.name)
    assert (entry["attempts"], entry["next_attempt"]) == (9, None)
    side.store.retry_now(USERS.name, None)
    assert side.users().outcomes["created"] == 1
    assert side.store.quarantined(USERS.name) == []


def test_a_breaker_ends_a_run_whose_every_change_is_refused(side: Side) -> None:
    with pytest.raises(
        TargetFailed,
        match=r"refused 50 changes in a row; \d+ more were not tried.*this row is not wanted",
    ):
        run_process(USERS, refusing(side, lambda _: True), Order(), call=plainly)
    run = side.store.runs(1)[0]
    assert run["outcome"] == "failed"
    assert sum(run["report"]["outcomes"].values()) == run["report"]["read"]
    assert len(side.store.quarantined(USERS.name, limit=999)) == 50
    assert side.store.watermark(USERS.name, USERS.fingerprint()).moment is None
    side.users()
    side.awards()
    assert side.differences() == []


def test_the_fate_of_an_interrupted_batch_is_found_out(side: Side) -> None:
    world = side.world()
    inner = side.target

    class Dying:
        name, batch, calls = inner.name, 10, 0

        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

        def apply(self, entity: str, changes: Any) -> Any:
            self.calls += 1
            receipts = inner.apply(entity, changes)
            if self.calls == 4:
                raise KeyboardInterrupt
            return receipts

    with pytest.raises(KeyboardInterrupt):
        run_process(
            USERS, World(world.source, Dying(), world.store, world.zone), Order(), call=plainly
        )  # type: ignore[arg-type]
    assert (rows(side, t.ledger), len(side.rows("employees"))) == (30, 40)
    assert len(side.store.open_intents(USERS.name)) == 1
    report = side.users()
    assert report.settled == 10
    assert side.store.open_intents(USERS.name) == []
    with side.store.engine.connect() as connection:
        keys = list(
            connection.execute(
                sa.select(t.ledger.c.key).where(t.ledger.c.outcome == "created")
            ).scalars()
        )
    assert sorted(keys) == sorted(r["employee_id"] for r in side.rows("employees")), (
        "each was created once, says the ledger"
    )
    assert "found after an interrupted run" in {
        e["note"] for key in keys for e in side.store.story(key)
    }


def test_all_rows_refused_is_no_receipt_less_change(side: Side) -> None:
    _, plan = run_process(USERS, side.world(), Order(mode="plan"), call=plainly)
    receipts = all_of(plan.changes, "failed", "r")
    assert receipts["key"].tolist() == plan.changes["key"].tolist()
