"""Sweeps, feeds that lie, and fields that come and go; both dialects."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.store import schema as t
from flows import awards_to_hr, users_to_hr
from flows._run import Order, plainly, run_process
from flows.catalogue import PROCESSES
from reconciliation.capabilities import narrowed
from reconciliation.errors import Misconfigured, SourceFailed, UnsafePlan
from reconciliation.plan import EDITED, FOLLOWS, GONE, NEW
from sandbox.faults import LIES, Faults
from tests.sides import Side
from tests.to_hr import both, hr_sql, reasons, rows, sandbox_sql

SWEEP = Order(sweep=True)
USERS, AWARDS = users_to_hr.SPEC, awards_to_hr.SPEC


# -- sweeps --------------------------------------------------------------------------------------


@pytest.mark.loaded
def test_a_sweep_finds_what_was_changed_in_hr(side: Side) -> None:
    key = side.rows("employees")[3]["employee_id"]
    award = side.rows("awards")[5]["award_record_id"]
    hr_sql(
        side,
        "UPDATE employees SET full_address = 'typed over', access_role_id = 'X' WHERE "
        "employee_id = ?",
        key,
    )
    hr_sql(side, "UPDATE awards SET expires_on = '2031-01-01' WHERE award_record_id = ?", award)
    hr_sql(
        side, "DELETE FROM employees WHERE employee_id = (SELECT max(employee_id) FROM employees)"
    )
    assert side.users(Order(full=True)).written == 0, "incremental reading cannot see it"
    found = side.users(SWEEP)
    assert (found.outcomes["updated"], found.outcomes["created"], found.sweep["changed in HR"]) == (
        1,
        1,
        1,
    )
    assert reasons(side, key) == [NEW, EDITED]
    assert side.awards(SWEEP).outcomes["updated"] >= 1
    assert reasons(side, award)[-1] == EDITED
    assert side.differences() == []
    assert side.users(SWEEP).written == side.awards(SWEEP).written == 0


@pytest.mark.loaded
def test_a_sweep_that_finds_nothing_new_writes_nothing(side: Side) -> None:
    tables = (t.record, t.link, t.watermark, t.ledger, t.intent, t.plan, t.sweep_part)
    both(side, SWEEP)
    hr = [r["written_at"] for r in side.rows("employees")]
    before = [rows(side, table) for table in tables]
    both(side, SWEEP)
    both(side)
    assert [rows(side, table) for table in tables] == before
    assert [r["written_at"] for r in side.rows("employees")] == hr
    assert rows(side, t.sweep_part) == 0


@pytest.mark.loaded
def test_an_award_that_is_gone_is_revoked_and_its_predecessor_counts_again(side: Side) -> None:
    old, new = next(
        (r["award_record_id"], r["superseded_by"])
        for r in side.rows("awards")
        if r["state"] == "superseded"
    )
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
    assert (states[old], states[new]) == ("superseded", kept["state"]), (
        "it is back, though not a byte of it has changed"
    )
    assert side.differences() == []


def test_a_user_that_is_gone_is_reported_or_closed_as_declared(
    make_side: Callable[..., Side],
) -> None:
    for gone in ("report", "close"):
        side = make_side()
        spec = PROCESSES["users_to_hr"].scoped(gone=gone)  # type: ignore[arg-type]
        side.run(spec)
        key = side.rows("employees")[0]["accessplanit_id"]
        sandbox_sql(side, 'DELETE FROM "User" WHERE "ID" = ?', key)
        found = side.run(spec, SWEEP)
        assert found.sweep["gone"] == 1
        assert found.outcomes["closed"] == (gone == "close")
        assert [r["status"] for r in side.rows("employees")].count("Inactive") == (gone == "close")
        entries = side.store.quarantined(USERS.name)
        assert [(e["key"], e["stage"]) for e in entries] == (
            [(key, "gone")] if gone == "report" else []
        )
        again = side.run(spec, SWEEP)
        assert again.written == 0
        assert [e["key"] for e in side.store.quarantined(USERS.name)] == [
            e["key"] for e in entries
        ], "closed is not reported again"
        if entries:
            side.store.discard(entries[0]["id"], "left years ago")
            side.run(spec, SWEEP)
            assert side.store.quarantined(USERS.name) == []


@pytest.mark.parametrize("gone", ["report", "close"])
def test_what_is_gone_is_asked_for_once_and_is_found_when_it_comes_back(
    make_side: Callable[..., Side], gone: str
) -> None:
    side = make_side()
    spec = PROCESSES["users_to_hr"].scoped(gone=gone)  # type: ignore[arg-type]
    side.run(spec)
    usual = side.run(spec, SWEEP).requests
    key, employee = (side.rows("employees")[0][name] for name in ("accessplanit_id", "employee_id"))
    with side.sandbox.engine.connect() as connection:
        row = connection.exec_driver_sql('SELECT * FROM "User" WHERE "ID" = ?', (key,)).one()
    sandbox_sql(side, 'DELETE FROM "User" WHERE "ID" = ?', key)
    assert side.run(spec, SWEEP).requests > usual
    again = side.run(spec, SWEEP)
    assert (again.requests, again.written, again.sweep["gone"]) == (usual, 0, 1)
    assert side.store.gone(spec.name) == [key]
    sandbox_sql(side, f'INSERT INTO "User" VALUES ({", ".join("?" * len(row))})', *row)
    side.run(spec, SWEEP)
    assert side.store.gone(spec.name) == side.store.quarantined(spec.name) == []
    sandbox_sql(side, 'DELETE FROM "User" WHERE "ID" = ?', key)
    hr_sql(side, "DELETE FROM employees WHERE employee_id = ?", employee)
    side.run(spec, SWEEP)
    assert key not in side.store.links("employees")["source_key"].tolist(), (
        "neither side has the person"
    )
    assert side.run(spec, SWEEP).requests == usual
    assert side.store.gone(spec.name) == []


@pytest.mark.loaded
def test_a_record_that_hr_never_had_is_no_more_known_once_it_is_gone(side: Side) -> None:
    side.awards(SWEEP)
    outside = "\"Status\" NOT IN ('Completed', 'Target')"
    with side.sandbox.engine.begin() as connection:
        gone = set(
            connection.exec_driver_sql(f'SELECT "ID" FROM "UserAward" WHERE {outside}').scalars()
        )
        connection.exec_driver_sql(f'DELETE FROM "UserAward" WHERE {outside}')
    assert gone & set(side.store.origin(AWARDS)["source_key"])
    side.awards(SWEEP)
    assert not gone & set(side.store.origin(AWARDS)["source_key"])


def test_rows_that_are_only_in_hr_are_counted_and_left_alone(side: Side) -> None:
    hr_sql(
        side, "INSERT INTO employees (employee_id, surname) VALUES ('H1', 'Nobody'), ('H2', 'Else')"
    )
    both(side)
    found = side.users(SWEEP)
    assert found.sweep["only in HR"] == 2
    assert found.written == 0


def test_a_feed_that_lies_closes_nothing(make_side: Callable[..., Side]) -> None:
    side = make_side(400)
    spec = PROCESSES["users_to_hr"].scoped(leavers="close", gone="close")
    side.run(spec)
    side.awards()
    before = side.dump()
    for lie in LIES:
        side.sandbox.faults = Faults(rate=1.0, kinds=(lie,))
        for process in (spec, AWARDS):
            # If no person can be seen either, it is not the awards that are gone.
            unreadable = lie in ("html", "error") or (lie == "empty" and process is AWARDS)
            stops = SourceFailed if unreadable else UnsafePlan
            with pytest.raises(stops):
                side.run(process, SWEEP, attempts=1)
            for order in (Order(), Order(full=True)):
                with nullcontext() if stops is UnsafePlan else pytest.raises(stops):
                    assert side.run(process, order, attempts=1).outcomes["closed"] == 0, lie
        assert side.dump() == before, lie
        side.sandbox.faults = Faults()
        side.run(spec, SWEEP)
        side.awards(SWEEP)
        assert side.dump() == before, lie


@pytest.mark.loaded
def test_a_record_that_is_unreadable_is_not_gone(side: Side) -> None:
    before = side.dump()
    with side.sandbox.engine.connect() as connection:
        keys = list(
            connection.exec_driver_sql(
                'SELECT "ID" FROM "UserAward" WHERE "Status" = \'Completed\' ORDER BY "ID" LIMIT 3'
            ).scalars()
        )
    answer = side.sandbox.answer
    for broken in ({"ID": keys[0], "Status": {"x": 1}}, "<<broken>>"):
        side.sandbox.answer = spoiling(answer, dict.fromkeys(keys[:1], broken))  # type: ignore[method-assign]
        sandbox_sql(side, 'UPDATE "UserAward" SET "CourseDateID" = NULL WHERE "ID" = ?', keys[1])
        sandbox_sql(side, 'DELETE FROM "UserAward" WHERE "ID" = ?', keys[2])
        found = side.awards(SWEEP)
        assert found.outcomes["quarantined"] == 1
        states = {r["award_record_id"]: r["state"] for r in side.rows("awards")}
        assert states[keys[0]] != "revoked"
        # A record without a key may be the one that is missing: then nothing at all is taken for
        # gone.
        assert (states[keys[2]] == "revoked") == (broken != "<<broken>>")
        side.sandbox.answer = answer  # type: ignore[method-assign]
        hr_sql(side, "DELETE FROM awards")
        for row in before["awards"]:
            names = _columns(side)
            hr_sql(
                side,
                f"INSERT INTO awards ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
                *row,
            )


def _columns(side: Side) -> list[str]:
    with side.target.engine.connect() as connection:
        return [
            r[1]
            for r in connection.exec_driver_sql("PRAGMA table_info(awards)")
            if r[1] != "written_at"
        ]


def spoiling(
    answer: Any, instead: dict[str, Any], drop: str = "", add: dict[str, Any] | None = None
) -> Any:
    """``answer`` with records replaced, a field taken out of all, or fields added to all."""

    def spoiled(*args: Any) -> Any:
        response = answer(*args)
        if args[0] != "GET" or not response.body.startswith(b"{"):
            return response
        body = json.loads(response.body)
        if "results" in body:
            body["results"] = [
                instead[r["ID"]]
                if r.get("ID") in instead
                else {k: v for k, v in r.items() if k != drop} | (add or {})
                for r in body["results"]
            ]
            response.body = json.dumps(body).encode()
            response.headers["content-length"] = str(len(response.body))
        return response

    return spoiled


@pytest.mark.usefixtures("many_parts")
@pytest.mark.loaded
def test_an_interrupted_sweep_is_taken_up_where_it_was(side: Side) -> None:
    hr_sql(
        side,
        "UPDATE awards SET award_label = 'typed over' WHERE award_record_id = (SELECT "
        "min(award_record_id) FROM awards)",
    )
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
        run_process(narrowed(AWARDS, side.target.capabilities), world, SWEEP, call=plainly)
    side.sandbox.requests.clear()
    found = side.awards(Order())
    assert found.mode == "sweep", "the next run, which was to be a short one, takes it up"
    assert found.sweep["parts taken up"] == 14
    assert found.sweep["parts"] > 14
    pages = found.sweep["parts"] - 14
    assert side.sandbox.requests["GET UserAward"] <= (
        pages * 2 if side.dialect.count_key else found.requests
    )
    assert found.outcomes["updated"] == 1
    assert side.differences() == []
    assert side.awards().mode == "apply"


@pytest.mark.dialects
def test_a_sweep_does_not_carry_the_watermark_past_what_changed_meanwhile(
    make_side: Callable[..., Side],
) -> None:
    side = make_side()
    if side.dialect.date_updated is None:
        pytest.skip("this tenant has no date of the last change")
    began = datetime.now(UTC)
    report = side.run(USERS, SWEEP, now=began - timedelta(days=2))
    assert report.watermark_after is not None
    assert report.watermark_after <= began - timedelta(days=2)


# -- drift ---------------------------------------------------------------------------------------


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


@pytest.mark.loaded
def test_law_1_a_vanished_field_that_the_process_needs_stops_it_before_anything_is_written(
    side: Side,
) -> None:
    before = side.dump()
    answer = side.sandbox.answer
    for field in ("Email", "Status", "Phone"):
        side.sandbox.answer = spoiling(answer, {}, drop=field)  # type: ignore[method-assign]
        with pytest.raises(
            Misconfigured, match=rf"no field User\.{field.lower()}, which users_to_hr needs"
        ):
            side.users(Order(full=True))
        with pytest.raises(Misconfigured):
            side.users(SWEEP)
    assert side.dump() == before
    side.sandbox.answer = answer  # type: ignore[method-assign]
    assert side.users(Order(full=True)).written == 0
