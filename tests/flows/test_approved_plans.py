"""Exactly the plan that was approved is applied, or it is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from connectors.store import schema as t
from connectors.store.sql import SyncStore
from flows._run import Order, plainly, run_process
from reconciliation.capabilities import narrowed
from reconciliation.errors import Misconfigured, StalePlan
from tests.sides import Side
from tests.to_hr import STRICT, USERS, both, hr_sql, rows, sandbox_sql, stopped


@pytest.fixture
def dialect_name() -> str:
    """What is tested here does not depend on how the tenant speaks."""
    return "standard"


def test_exactly_the_approved_plan_is_applied_from_the_store(side: Side) -> None:
    digest = stopped(side)
    before = len(side.rows("employees"))
    sandbox_sql(side, "UPDATE \"User\" SET MainCompanyName = 'Renamed again', JobTitle = 'later'")
    requests = sum(side.sandbox.requests.values())
    report = side.run(STRICT, Order(approve=digest))
    assert sum(side.sandbox.requests.values()) == requests, "nothing is read again"
    assert (report.mode, report.digest, report.outcomes["updated"]) == ("approved", digest, before)
    assert {r["company_name"] for r in side.rows("employees")} == {"Renamed"}
    with pytest.raises(StalePlan, match="is already applied"):
        side.run(STRICT, Order(approve=digest))
    side.users(Order(full=True))
    side.awards()
    assert side.differences() == []


def test_an_approved_plan_moves_the_watermark_and_lands_its_records(side: Side) -> None:
    digest = stopped(side)
    fingerprint = narrowed(USERS, side.target.capabilities).fingerprint()
    mark = side.store.watermark(USERS.name, fingerprint)
    side.run(STRICT, Order(approve=digest))
    after = side.store.watermark(USERS.name, fingerprint)
    assert after != mark or side.dialect.date_updated is None
    report = side.users(Order(full=True))
    assert (report.written, report.outcomes["unchanged"]) == (0, report.read)


def test_a_plan_is_refused_when_hr_has_moved(side: Side) -> None:
    digest = stopped(side)
    hr_sql(
        side,
        "UPDATE employees SET job_title = 'typed over' WHERE employee_id = (SELECT "
        "min(employee_id) FROM employees)",
    )
    before = side.dump()
    with pytest.raises(StalePlan, match="1 of its rows"):
        side.run(STRICT, Order(approve=digest))
    assert side.dump() == before
    with pytest.raises(StalePlan, match="is already stale"):
        side.run(STRICT, Order(approve=digest))


def test_a_create_is_refused_when_the_row_is_there_by_now(side: Side) -> None:
    report, plan = run_process(USERS, side.world(), Order(mode="plan", keep=True), call=plainly)
    assert rows(side, t.ledger) == 0
    key = plan.changes["key"].iloc[0]
    hr_sql(side, "INSERT INTO employees (employee_id, surname) VALUES (?, 'Typed')", key)
    with pytest.raises(StalePlan):
        side.users(Order(approve=report.digest))
    assert len(side.rows("employees")) == 1


def test_a_plan_of_one_process_is_not_applied_by_another(side: Side) -> None:
    digest = stopped(side)
    with pytest.raises(Misconfigured, match="belongs to users_to_hr"):
        side.awards(Order(approve=digest))


def test_the_whole_path_over_a_store_in_postgresql(
    side: Side, postgresql: Callable[[], str]
) -> None:
    side.store.close()
    side.store = SyncStore(postgresql())
    both(side)
    side.sandbox.tick(30)
    hr_sql(side, "UPDATE awards SET award_label = 'typed over' WHERE rowid % 9 = 0")
    sandbox_sql(
        side,
        'DELETE FROM "UserAward" WHERE "ID" IN (SELECT "ID" FROM "UserAward" ORDER BY "ID" '
        "LIMIT 3)",
    )
    both(side)
    for _ in range(2):
        both(side, Order(sweep=True))
    assert side.differences() == []
    assert side.users(Order(full=True)).written == 0
    digest = stopped(side)
    assert side.run(STRICT, Order(approve=digest)).outcomes["updated"] > 50
    key = side.rows("employees")[0]["accessplanit_id"]
    assert next(e["kind"] for e in side.store.story(key) if e["entity"] == "employees") == "create"
    erased = side.store.forget(key, [], datetime.now(UTC))
    assert erased["links"] == 1
    assert side.store.story(key) == []
