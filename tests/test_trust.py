"""Nothing lost, nothing doubled, nothing done by surprise: sweeps, plans, leases, drift, refusals; both dialects."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.store import schema as t
from flows import awards_to_hr, users_to_hr
from flows._process import Order, World, plainly, run_process
from reconciliation.errors import Misconfigured, Skipped, SourceFailed, StalePlan, TargetFailed, UnsafePlan
from reconciliation.plan import CHANGED, EDITED, FOLLOWS, GONE, LEFT, NEW
from reconciliation.receipts import all_of
from reconciliation.spec import Guard, Limit, ProcessSpec
from sandbox.faults import LIES, Faults

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


# -- sweeps ------------------------------------------------------------------------------------------------------------


def test_a_sweep_finds_what_was_changed_in_hr(side: Side) -> None:
    both(side)
    key = side.rows("employees")[3]["employee_id"]
    award = side.rows("awards")[5]["award_record_id"]
    hr_sql(side, "UPDATE employees SET job_title = 'typed over', email = NULL WHERE employee_id = ?", key)
    hr_sql(side, "UPDATE awards SET expires_on = '2031-01-01' WHERE award_record_id = ?", award)
    hr_sql(side, "DELETE FROM employees WHERE employee_id = (SELECT max(employee_id) FROM employees)")
    assert side.users(Order(full=True)).written == 0, "incremental reading cannot see it"
    found = side.users(SWEEP)
    assert (found.outcomes["updated"], found.outcomes["created"], found.sweep["changed in HR"]) == (1, 1, 1)
    assert reasons(side, key) == [NEW, EDITED]
    assert side.awards(SWEEP).outcomes["updated"] >= 1
    assert reasons(side, award)[-1] == EDITED
    assert side.differences() == []
    assert side.users(SWEEP).written == side.awards(SWEEP).written == 0


def test_a_sweep_that_finds_nothing_new_writes_nothing(side: Side) -> None:
    both(side)
    tables = (t.record, t.link, t.watermark, t.ledger, t.intent, t.plan, t.sweep_part)
    both(side, SWEEP)
    hr = [r["written_at"] for r in side.rows("employees")]
    before = [rows(side, table) for table in tables]
    both(side, SWEEP)
    both(side)
    assert [rows(side, table) for table in tables] == before
    assert [r["written_at"] for r in side.rows("employees")] == hr
    assert rows(side, t.sweep_part) == 0


def test_an_award_that_is_gone_is_revoked_and_its_predecessor_counts_again(side: Side) -> None:
    both(side)
    old, new = next((r["award_record_id"], r["superseded_by"]) for r in side.rows("awards") if r["state"] == "superseded")
    kept = dict(next(r for r in side.rows("awards") if r["award_record_id"] == new))
    with side.sandbox.engine.connect() as connection:
        row = connection.exec_driver_sql('SELECT * FROM "UserAward" WHERE "ID" = ?', (new,)).one()
    sandbox_sql(side, 'DELETE FROM "UserAward" WHERE "ID" = ?', new)
    assert side.awards().written == 0
    found = side.awards(SWEEP)
    assert found.sweep["gone"] == found.outcomes["closed"] == 1
    states = {r["award_record_id"]: r["state"] for r in side.rows("awards")}
    assert states[new] == "revoked"
    assert states[old] != "superseded"
    assert reasons(side, new) == [NEW, GONE]
    assert reasons(side, old)[-1] == FOLLOWS
    assert side.awards(SWEEP).written == 0
    sandbox_sql(side, f'INSERT INTO "UserAward" VALUES ({", ".join("?" * len(row))})', *row)
    side.awards(SWEEP)
    states = {r["award_record_id"]: r["state"] for r in side.rows("awards")}
    assert (states[old], states[new]) == ("superseded", kept["state"]), "it is back, though not a byte of it has changed"
    assert side.differences() == []


def test_a_user_that_is_gone_is_reported_or_closed_as_declared(make_side: Callable[..., Side]) -> None:
    for gone in ("report", "close"):
        side = make_side()
        spec = users_to_hr.scoped(gone=gone)  # type: ignore[arg-type]
        side.run(spec)
        key = side.rows("employees")[0]["accessplanit_id"]
        sandbox_sql(side, 'DELETE FROM "User" WHERE "ID" = ?', key)
        found = side.run(spec, SWEEP)
        assert found.sweep["gone"] == 1
        assert found.outcomes["closed"] == (gone == "close")
        assert [r["status"] for r in side.rows("employees")].count("Inactive") == (gone == "close")
        entries = side.store.quarantined(USERS.name)
        assert [(e["key"], e["stage"]) for e in entries] == ([(key, "gone")] if gone == "report" else [])
        again = side.run(spec, SWEEP)
        assert again.written == 0
        assert [e["key"] for e in side.store.quarantined(USERS.name)] == [e["key"] for e in entries], "closed is not reported again"
        if entries:
            side.store.discard(entries[0]["id"], "left years ago")
            side.run(spec, SWEEP)
            assert side.store.quarantined(USERS.name) == []


def test_rows_that_are_only_in_hr_are_counted_and_left_alone(side: Side) -> None:
    hr_sql(side, "INSERT INTO employees (employee_id, surname) VALUES ('H1', 'Nobody'), ('H2', 'Else')")
    both(side)
    found = side.users(SWEEP)
    assert found.sweep["only in HR"] == 2
    assert found.written == 0


@pytest.mark.parametrize("lie", LIES)
def test_a_feed_that_lies_closes_nothing(make_side: Callable[..., Side], lie: str) -> None:
    side = make_side(400)
    spec = users_to_hr.scoped(leavers="close", gone="close")
    side.run(spec)
    side.awards()
    before = side.dump()
    side.sandbox.faults = Faults(rate=1.0, kinds=(lie,))
    stops = SourceFailed if lie in ("html", "error") else UnsafePlan
    for process in (spec, AWARDS):
        with pytest.raises(stops):
            side.run(process, SWEEP, attempts=1)
        for order in (Order(), Order(full=True)):
            with nullcontext() if stops is UnsafePlan else pytest.raises(stops):
                assert side.run(process, order, attempts=1).outcomes["closed"] == 0
    assert side.dump() == before
    side.sandbox.faults = Faults()
    side.run(spec, SWEEP)
    side.awards(SWEEP)
    assert side.dump() == before


def test_a_record_that_is_unreadable_is_not_gone(side: Side) -> None:
    both(side)
    before = side.dump()
    with side.sandbox.engine.connect() as connection:
        keys = list(connection.exec_driver_sql('SELECT "ID" FROM "UserAward" ORDER BY "ID" LIMIT 3').scalars())
    answer = side.sandbox.answer
    for broken in ({"ID": keys[0], "Status": {"x": 1}}, "<<broken>>"):
        side.sandbox.answer = spoiling(answer, dict.fromkeys(keys[:1], broken))  # type: ignore[method-assign]
        sandbox_sql(side, 'UPDATE "UserAward" SET "CourseDateID" = NULL WHERE "ID" = ?', keys[1])
        sandbox_sql(side, 'DELETE FROM "UserAward" WHERE "ID" = ?', keys[2])
        found = side.awards(SWEEP)
        assert found.outcomes["quarantined"] == 1
        states = {r["award_record_id"]: r["state"] for r in side.rows("awards")}
        assert states[keys[0]] != "revoked"
        # A record without a key may be the one that is missing: then nothing at all is taken for gone.
        assert (states[keys[2]] == "revoked") == (broken != "<<broken>>")
        side.sandbox.answer = answer  # type: ignore[method-assign]
        hr_sql(side, "DELETE FROM awards")
        for row in before["awards"]:
            names = _columns(side)
            hr_sql(side, f"INSERT INTO awards ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})", *row)


def _columns(side: Side) -> list[str]:
    with side.target.engine.connect() as connection:
        return [r[1] for r in connection.exec_driver_sql("PRAGMA table_info(awards)") if r[1] != "written_at"]


def spoiling(answer: Any, instead: dict[str, Any], drop: str = "", add: dict[str, Any] | None = None) -> Any:
    """``answer`` with records replaced, a field taken out of all, or fields added to all."""

    def spoiled(*args: Any) -> Any:
        response = answer(*args)
        if args[0] != "GET" or not response.body.startswith(b"{"):
            return response
        body = json.loads(response.body)
        if "results" in body:
            body["results"] = [
                instead[r["ID"]] if r.get("ID") in instead else {k: v for k, v in r.items() if k != drop} | (add or {})
                for r in body["results"]
            ]
            response.body = json.dumps(body).encode()
            response.headers["content-length"] = str(len(response.body))
        return response

    return spoiled


def test_an_interrupted_sweep_is_taken_up_where_it_was(side: Side) -> None:
    both(side)
    hr_sql(side, "UPDATE awards SET award_label = 'typed over' WHERE award_record_id = (SELECT min(award_record_id) FROM awards)")
    world = side.world()
    read, calls = world.source.read, 0

    def dying(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 15:
            raise KeyboardInterrupt
        return read(*args)

    world.source.read = dying  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run_process(AWARDS, world, SWEEP, call=plainly)
    side.sandbox.requests.clear()
    found = side.awards(Order())
    assert found.mode == "sweep", "the next run, which was to be a short one, takes it up"
    assert found.sweep["parts taken up"] == 14
    assert found.sweep["parts"] > 14
    pages = found.sweep["parts"] - 14
    assert side.sandbox.requests["GET UserAward"] <= (pages * 2 if side.dialect.count_key else found.requests)
    assert found.outcomes["updated"] == 1
    assert side.differences() == []
    assert side.awards().mode == "apply"


def test_a_sweep_does_not_carry_the_watermark_past_what_changed_meanwhile(make_side: Callable[..., Side]) -> None:
    side = make_side()
    if side.dialect.date_updated is None:
        pytest.skip("this tenant has no date of the last change")
    began = datetime.now(UTC)
    report = side.run(USERS, SWEEP, now=began - timedelta(days=2))
    assert report.watermark_after is not None
    assert report.watermark_after <= began - timedelta(days=2)


# -- plans -------------------------------------------------------------------------------------------------------------

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
    mark = side.store.watermark(USERS.name, USERS.fingerprint())
    side.run(STRICT, Order(approve=digest))
    after = side.store.watermark(USERS.name, USERS.fingerprint())
    assert after != mark or side.dialect.date_updated is None
    report = side.users(Order(full=True))
    assert (report.written, report.outcomes["unchanged"]) == (0, report.read)


def test_a_plan_is_refused_when_hr_has_moved(side: Side) -> None:
    digest = stopped(side)
    hr_sql(side, "UPDATE employees SET job_title = 'typed over' WHERE employee_id = (SELECT min(employee_id) FROM employees)")
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
    with pytest.raises(Misconfigured, match="one of users_to_hr"):
        side.awards(Order(approve=digest))


def test_reasons_are_told(side: Side) -> None:
    spec = users_to_hr.scoped(leavers="close")
    side.run(spec)
    key = side.change_one("JobTitle", "Foreman")
    side.run(spec)
    side.change_one("Status", "Inactive")
    side.run(spec)
    assert reasons(side, key) == [NEW, CHANGED, LEFT]


# -- loading -----------------------------------------------------------------------------------------------------------


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
            World(world.source, world.target, world.store, world.zone, lambda n=number: now + timedelta(hours=n * 8)),
            Order(full=True),
            call=plainly,
        )
        assert report.adds_up()
        assert report.outcomes["failed"] + report.outcomes["quarantined"] == 1
        if calls > before:
            tried.append(number)
    assert tried[:4] == [0, 1, 2, 3], "eagerly"
    assert len(tried) == 8, "eight times in all, ever more seldom"
    (entry,) = side.store.quarantined(USERS.name)
    assert (entry["attempts"], entry["next_attempt"]) == (8, None)
    side.store.retry_now(USERS.name, None)
    assert side.users().outcomes["created"] == 1
    assert side.store.quarantined(USERS.name) == []


def test_a_breaker_ends_a_run_whose_every_change_is_refused(side: Side) -> None:
    with pytest.raises(TargetFailed, match=r"refused 50 changes in a row; \d+ more were not tried.*this row is not wanted"):
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
        run_process(USERS, World(world.source, Dying(), world.store, world.zone), Order(), call=plainly)  # type: ignore[arg-type]
    assert (rows(side, t.ledger), len(side.rows("employees"))) == (30, 40)
    assert len(side.store.open_intents(USERS.name)) == 1
    report = side.users()
    assert report.settled == 10
    assert side.store.open_intents(USERS.name) == []
    with side.store.engine.connect() as connection:
        keys = list(connection.execute(sa.select(t.ledger.c.key).where(t.ledger.c.outcome == "created")).scalars())
    assert sorted(keys) == sorted(r["employee_id"] for r in side.rows("employees")), "each was created once, says the ledger"
    assert "found in HR after an interrupted run" in {e["note"] for key in keys for e in side.store.story(key)}


# -- two at once, and too late -----------------------------------------------------------------------------------------


def test_two_runs_of_a_process_do_not_interleave(side: Side) -> None:
    with side.store.lease(USERS.name, "somebody else") as mine:
        assert mine
        with pytest.raises(Skipped, match="another run of this process is at work"):
            side.users()
        assert side.rows("employees") == []
        assert side.users(Order(mode="plan")).outcomes["created"] > 0, "a preview disturbs nobody"
    assert side.users().outcomes["created"] > 0
    assert [r["outcome"] for r in side.store.runs(3)] == ["completed", "completed", "skipped"]


def test_of_late_runs_one_is_useful_and_the_others_do_nothing(side: Side) -> None:
    due = [datetime.now(UTC) - timedelta(minutes=5 * n) for n in range(12, 0, -1)]
    assert side.users(Order(scheduled=due[0])).outcomes["created"] > 0
    side.sandbox.requests.clear()
    for moment in due[1:]:
        with pytest.raises(Skipped, match="has done its work"):
            side.users(Order(scheduled=moment))
    assert sum(side.sandbox.requests.values()) == 0
    assert side.users(Order(scheduled=datetime.now(UTC))).mode == "apply", "the next one on time works"
    assert side.users().mode == "apply", "by hand always"
    assert side.users(Order(scheduled=due[0], sweep=True)).mode == "sweep", "no short run covers a sweep"


# -- drift -------------------------------------------------------------------------------------------------------------


def test_a_new_field_is_reported_once_and_is_not_fatal(side: Side) -> None:
    answer = side.sandbox.answer
    side.sandbox.answer = spoiling(answer, {}, add={"Fax": "1"})  # type: ignore[method-assign]
    assert side.users().drift == ("User.Fax appeared",)
    assert side.users(Order(full=True)).drift == ()
    assert side.awards().drift == ("UserAward.Fax appeared",)
    assert side.differences() == []
    side.sandbox.answer = answer  # type: ignore[method-assign]
    side.users(Order(full=True))
    side.sandbox.answer = spoiling(answer, {}, add={"Fax": "1"})  # type: ignore[method-assign]
    assert side.users(Order(full=True)).drift == ("User.Fax appeared",), "it has been away"


def test_a_vanished_field_that_the_process_needs_stops_it_before_anything_is_written(side: Side) -> None:
    both(side)
    before = side.dump()
    answer = side.sandbox.answer
    for field in ("Email", "Status", "Phone"):
        side.sandbox.answer = spoiling(answer, {}, drop=field)  # type: ignore[method-assign]
        with pytest.raises(Misconfigured, match=rf"no field User\.{field.lower()}, which users_to_hr needs"):
            side.users(Order(full=True))
        with pytest.raises(Misconfigured):
            side.users(SWEEP)
    assert side.dump() == before
    side.sandbox.answer = answer  # type: ignore[method-assign]
    assert side.users(Order(full=True)).written == 0


# -- links -------------------------------------------------------------------------------------------------------------


def test_external_id_is_hr_s_own_key_first_and_then_the_number(side: Side) -> None:
    with side.sandbox.engine.connect() as connection:
        one, two = connection.exec_driver_sql(
            "SELECT ID, ExternalID FROM \"User\" WHERE Status = 'Enabled' AND ExternalID IS NOT NULL ORDER BY ID LIMIT 2"
        ).all()
    hr_sql(side, "INSERT INTO employees (employee_id, employee_number, surname) VALUES (?, NULL, 'a'), ('H2', ?, 'b')", one[1], two[1])
    side.users()
    by_key = {r["employee_id"]: r["accessplanit_id"] for r in side.rows("employees")}
    assert (by_key[one[1]], by_key["H2"]) == (one[0], two[0])


def test_an_ambiguity_is_held_until_a_person_sets_the_link(side: Side) -> None:
    key = side.change_one("Email", "shared@x.example")
    sandbox_sql(side, 'UPDATE "User" SET ExternalID = NULL WHERE ID = ?', key)
    hr_sql(
        side, "INSERT INTO employees (employee_id, surname, email) VALUES ('H1', 'a', 'shared@x.example'), ('H2', 'b', 'SHARED@x.example')"
    )
    both(side)
    (held,) = side.store.quarantined(USERS.name)
    assert (held["key"], held["stage"], held["reason"]) == (key, "held", "several employees have the same email")
    now = datetime.now(UTC)
    side.store.set_link("employees", key, "H2", now)
    side.store.look_again([USERS, AWARDS], key, "linked by hand", now)
    side.users()
    assert {r["employee_id"]: r["accessplanit_id"] for r in side.rows("employees")}["H2"] == key
    for _ in range(3):
        side.awards()
    theirs = {r["employee_id"] for r in side.rows("awards") if r["accessplanit_user_id"] == key}
    assert theirs == {"H2"}
    side.store.set_link("employees", key, "H1", now)
    side.store.look_again([USERS, AWARDS], key, "linked by hand", now)
    both(side)
    assert {r["employee_id"] for r in side.rows("awards") if r["accessplanit_user_id"] == key} == {"H1"}, "the awards move along"


def test_only_specs_that_make_sense_are_made() -> None:
    with pytest.raises(ValueError, match="names the person and must be mapped"):
        ProcessSpec(**{**AWARDS.model_dump(), "fields": AWARDS.model_dump()["fields"][1:]})


def test_all_rows_refused_is_no_receipt_less_change(side: Side) -> None:
    _, plan = run_process(USERS, side.world(), Order(mode="plan"), call=plainly)
    receipts = all_of(plan.changes, "failed", "r")
    assert receipts["key"].tolist() == plan.changes["key"].tolist()
