"""Nothing lost, nothing doubled, nothing done by surprise: plans, refusals, leases, links."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.store import schema as t
from connectors.store.sql import SyncStore
from flows import awards_to_hr, users_to_hr
from flows._run import Order, World, plainly, run_process
from flows.catalogue import PROCESSES
from reconciliation.capabilities import narrowed
from reconciliation.errors import Misconfigured, Skipped, StalePlan, TargetFailed, UnsafePlan
from reconciliation.plan import CHANGED, LEFT, NEW
from reconciliation.receipts import all_of
from reconciliation.spec import Guard, Limit, ProcessSpec

from .conftest import Side

SWEEP = Order(sweep=True)
USERS, AWARDS = users_to_hr.SPEC, awards_to_hr.SPEC


def both(side: Side, order: Order | None = None) -> None:
    side.users(order)
    side.awards(order)


def sandbox_sql(side: Side, statement: str, *parameters: Any) -> None:
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(statement, parameters)


def hr_sql(side: Side, statement: str, *parameters: Any) -> None:
    with side.target.engine.begin() as connection:
        connection.exec_driver_sql(statement, parameters)


def rows(side: Side, table: sa.Table) -> int:
    with side.store.engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def reasons(side: Side, key: str) -> list[str]:
    return [e["reason"] for e in side.store.story(key)]


@pytest.fixture
def dialect_name() -> str:
    """What is tested here does not depend on how the tenant speaks."""
    return "standard"


# -- plans ---------------------------------------------------------------------------------------

STRICT = USERS.model_copy(update={"guard": Guard(update=Limit(percent=10, absolute=5))})


def stopped(side: Side) -> str:
    """A plan past its guard."""
    side.users()
    later = (side.sandbox.now() + timedelta(seconds=1)).isoformat(timespec="milliseconds")
    sandbox_sql(side, "UPDATE \"User\" SET MainCompanyName = 'Renamed', DateUpdated = ?", later)
    with pytest.raises(UnsafePlan) as caught:
        side.run(STRICT)
    assert f"hrsync apply {caught.value.digest}" in str(caught.value)
    return caught.value.digest


def test_exactly_the_approved_plan_is_applied_from_the_store(side: Side) -> None:
    digest = stopped(side)
    before = len(side.rows("employees"))
    sandbox_sql(side, "UPDATE \"User\" SET MainCompanyName = 'Renamed again', JobTitle = 'later'")
    requests = sum(side.sandbox.requests.values())
    report = side.run(STRICT, Order(approve=digest))
    assert sum(side.sandbox.requests.values()) == requests, "nothing is read again"
    assert (report.mode, report.digest, report.outcomes["updated"]) == ("approved", digest, before)
    assert {r["company_name"] for r in side.rows("employees")} == {"Renamed"}
    with pytest.raises(StalePlan, match="is applied already"):
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
    with pytest.raises(StalePlan, match="is stale already"):
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


def test_reasons_are_told(side: Side) -> None:
    spec = PROCESSES["users_to_hr"].scoped(leavers="close")
    side.run(spec)
    key = side.change_one("JobTitle", "Foreman")
    side.run(spec)
    side.change_one("Status", "Inactive")
    side.run(spec)
    assert reasons(side, key) == [NEW, CHANGED, LEFT]


# -- loading -------------------------------------------------------------------------------------


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


# -- two at once, and too late -------------------------------------------------------------------


def test_two_runs_of_a_process_do_not_interleave(side: Side) -> None:
    side.store.lease_seconds = 1.5
    with side.store.lease(USERS.name, "somebody else") as mine:
        assert mine
        with pytest.raises(Skipped, match="another run of this process is at work"):
            side.users()
        assert side.rows("employees") == []
        assert side.users(Order(mode="plan")).outcomes["created"] > 0, "a preview disturbs nobody"
    assert side.users().outcomes["created"] > 0
    assert [r["outcome"] for r in side.store.runs(3)] == ["completed", "completed", "skipped"]


def test_an_approved_plan_waits_for_a_run_that_is_at_work(side: Side) -> None:
    digest = stopped(side)
    lease = side.store.lease(USERS.name, "somebody else")
    lease.__enter__()
    threading.Timer(0.7, lambda: lease.__exit__(None, None, None)).start()
    assert side.run(STRICT, Order(approve=digest)).outcomes["updated"] > 50


def test_of_late_runs_one_is_useful_and_the_others_do_nothing(side: Side) -> None:
    due = [datetime.now(UTC) - timedelta(minutes=5 * n) for n in range(12, 0, -1)]
    assert side.users(Order(scheduled=due[0])).outcomes["created"] > 0
    side.sandbox.requests.clear()
    for moment in due[1:]:
        with pytest.raises(Skipped, match="has done its work"):
            side.users(Order(scheduled=moment))
    assert sum(side.sandbox.requests.values()) == 0
    assert side.users(Order(scheduled=datetime.now(UTC))).mode == "apply", (
        "the next one on time works"
    )
    assert side.users().mode == "apply", "by hand always"
    assert side.users(Order(scheduled=due[0], sweep=True)).mode == "sweep", (
        "no short run covers a sweep"
    )


# -- links ---------------------------------------------------------------------------------------


def test_external_id_is_hr_s_own_key_first_and_then_the_number(side: Side) -> None:
    with side.sandbox.engine.connect() as connection:
        one, two = connection.exec_driver_sql(
            "SELECT ID, ExternalID FROM \"User\" WHERE Status = 'Enabled' AND ExternalID IS "
            "NOT NULL ORDER BY ID LIMIT 2"
        ).all()
    hr_sql(
        side,
        "INSERT INTO employees (employee_id, employee_number, surname) VALUES (?, NULL, 'a'), "
        "('H2', ?, 'b')",
        one[1],
        two[1],
    )
    side.users()
    by_key = {r["employee_id"]: r["accessplanit_id"] for r in side.rows("employees")}
    assert (by_key[one[1]], by_key["H2"]) == (one[0], two[0])


def test_an_ambiguity_is_held_until_a_person_sets_the_link(side: Side) -> None:
    key = side.change_one("Email", "shared@x.example")
    sandbox_sql(side, 'UPDATE "User" SET ExternalID = NULL WHERE ID = ?', key)
    hr_sql(
        side,
        "INSERT INTO employees (employee_id, surname, email) VALUES ('H1', 'a', "
        "'shared@x.example'), ('H2', 'b', 'SHARED@x.example')",
    )
    both(side)
    (held,) = side.store.quarantined(USERS.name)
    assert (held["key"], held["stage"], held["reason"]) == (
        key,
        "held",
        "may be one of several employees, by id, external_id or email",
    )
    now = datetime.now(UTC)
    side.store.set_link("employees", key, "H2", now)
    side.store.look_again([USERS, AWARDS], key, "H2", "linked by hand", now)
    side.users()
    assert {r["employee_id"]: r["accessplanit_id"] for r in side.rows("employees")}["H2"] == key
    for _ in range(3):
        side.awards()
    theirs = {r["employee_id"] for r in side.rows("awards") if r["accessplanit_user_id"] == key}
    assert theirs == {"H2"}
    side.store.set_link("employees", key, "H1", now)
    side.store.look_again([USERS, AWARDS], key, "H1", "linked by hand", now)
    both(side)
    assert {r["employee_id"] for r in side.rows("awards") if r["accessplanit_user_id"] == key} == {
        "H1"
    }, "the awards move along"


def test_only_specs_that_make_sense_are_made() -> None:
    with pytest.raises(ValueError, match="names the person and must be mapped"):
        ProcessSpec(**{**AWARDS.model_dump(), "fields": AWARDS.model_dump()["fields"][1:]})


def test_all_rows_refused_is_no_receipt_less_change(side: Side) -> None:
    _, plan = run_process(USERS, side.world(), Order(mode="plan"), call=plainly)
    receipts = all_of(plan.changes, "failed", "r")
    assert receipts["key"].tolist() == plan.changes["key"].tolist()
