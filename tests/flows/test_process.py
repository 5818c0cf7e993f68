"""The whole path, both dialects: sandbox over HTTP, reconciliation, HR database, store."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows import awards_to_hr, users_to_hr
from flows._run import Order, plainly, run_process
from flows.catalogue import PROCESSES
from reconciliation.errors import SourceFailed, StalePlan, UnsafePlan
from reconciliation.spec import AwardStates, Guard, HeldByReason, Limit
from sandbox.faults import Faults
from tests.sides import Side


def test_the_filters_of_awards_keep_the_other_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    held = HeldByReason(column="doubt")
    spec = awards_to_hr.SPEC.model_copy(update={"rules": (held, AwardStates())})
    monkeypatch.setattr(awards_to_hr, "SPEC", spec)
    filters = awards_to_hr.Filters(expiring_within_days=7)
    assert awards_to_hr.narrowed(filters).rules == (held, AwardStates(expiring_within_days=7))


def both(side: Side) -> Counter[str]:
    """Outcomes of one run of each process."""
    return Counter(side.users().outcomes) + Counter(side.awards().outcomes)


def sql(side: Side, statement: str, *parameters: Any) -> None:
    """A change in the sandbox's database that its log does not know of."""
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(statement, parameters)


def touch(side: Side) -> str:
    """A DateUpdated later than all that was read."""
    return (side.sandbox.now() + timedelta(seconds=1)).isoformat(timespec="milliseconds")


def test_hr_holds_every_user_and_award_in_scope(side: Side) -> None:
    first = both(side)
    assert side.differences() == []
    assert first["created"] == len(side.rows("employees")) + len(side.rows("awards"))
    assert first["created"] > 500
    again = both(side)
    assert again["created"] == again["updated"] == 0
    assert side.differences() == []


@pytest.mark.loaded
def test_a_full_run_that_finds_nothing_new_writes_nothing(side: Side) -> None:
    before = [(r["employee_id"], r["written_at"]) for r in side.rows("employees")]
    report = side.users(Order(full=True))
    assert report.written == 0
    assert report.outcomes["unchanged"] == report.read == len(before)
    assert [(r["employee_id"], r["written_at"]) for r in side.rows("employees")] == before


@pytest.mark.loaded
def test_after_a_tick_only_what_changed_is_loaded(side: Side) -> None:
    """The counts are those of the sandbox's own log of changes."""
    side.sandbox.tick(60)
    log = side.sandbox.changes_since(0)
    users, awards = side.users(), side.awards()
    changed = {str(c["record"]): str(c["event"]) for c in log if c["module"] == "User"}
    last = Counter(changed.values())
    joined = {str(c["record"]) for c in log if c["event"] == "join"}
    with side.sandbox.engine.connect() as connection:
        statuses = dict(connection.exec_driver_sql('SELECT "ID", "Status" FROM "User"').all())
    loaded = {key for key in changed if statuses[key] in ("Enabled", "New")}
    assert users.outcomes["created"] == len(joined & loaded)
    assert users.outcomes["updated"] == len(loaded - joined)
    assert users.outcomes["created"] + users.outcomes["updated"] + len(
        changed.keys() - loaded
    ) == sum(last.values())
    new = {
        str(c["record"])
        for c in log
        if c["module"] == "UserAward" and c["event"] in ("complete", "achieve")
    }
    renewed = {str(c["record"]) for c in log if c["event"] == "renew"} - new
    assert awards.outcomes["created"] == len(new)
    assert awards.outcomes["updated"] - awards.reexamined == len(renewed)
    assert side.differences() == []


@pytest.mark.loaded
def test_time_alone_lets_an_award_expire(side: Side) -> None:
    with side.sandbox.engine.connect() as connection:
        due = set(
            connection.exec_driver_sql(
                'SELECT "ID" FROM "UserAward" WHERE "Status" = \'Completed\' AND "Expires" >= '
                '? AND "Expires" < ?',
                (
                    side.sandbox.now().date().isoformat(),
                    (side.sandbox.now() + timedelta(days=200)).date().isoformat() + "T00:00:00",
                ),
            ).scalars()
        )
    assert due
    before = {r["award_record_id"]: r["state"] for r in side.rows("awards")}
    side.sandbox.tick(0, days=200)
    later = datetime.now(UTC) + timedelta(days=200)
    report, _ = run_process(awards_to_hr.SPEC, side.world(now=later), Order(), call=plainly)
    assert report.adds_up()
    after = {r["award_record_id"]: r["state"] for r in side.rows("awards")}
    expired = {k for k in after if after[k] == "expired" and before[k] != "expired"}
    assert expired
    assert expired <= due
    assert report.outcomes["created"] == 0
    assert side.differences() == []
    once_more, _ = run_process(awards_to_hr.SPEC, side.world(now=later), Order(), call=plainly)
    assert once_more.written == 0


@pytest.mark.loaded
def test_renewal_supersedes(side: Side) -> None:
    with side.target.engine.connect() as connection:
        old = (
            connection.exec_driver_sql(
                "SELECT * FROM awards WHERE state IN ('achieved', 'expiring', 'expired') AND "
                "expires_on IS NOT NULL LIMIT 1"
            )
            .mappings()
            .one()
        )
    with side.sandbox.engine.connect() as connection:
        row = dict(
            connection.exec_driver_sql(
                'SELECT * FROM "UserAward" WHERE "ID" = ?', (old["award_record_id"],)
            )
            .mappings()
            .one()
        )
    today = side.sandbox.now().date().isoformat()
    row |= {
        "ID": "renewal",
        "Passed": f"{today}T00:00:00",
        "Expires": "2199-01-01T00:00:00",
        "DateUpdated": touch(side),
    }
    sql(side, f'INSERT INTO "UserAward" VALUES ({", ".join("?" * len(row))})', *row.values())
    report = side.awards()
    assert (report.outcomes["created"], report.outcomes["updated"], report.reexamined) == (1, 1, 1)
    states = {r["award_record_id"]: (r["state"], r["superseded_by"]) for r in side.rows("awards")}
    assert states["renewal"] == ("achieved", None)
    assert states[old["award_record_id"]] == ("superseded", "renewal")
    assert side.differences() == []


def test_an_award_waits_for_its_person_and_goes_through_by_itself(side: Side) -> None:
    first = side.awards()
    assert first.outcomes["held"] == first.read - first.outcomes["out_of_scope"] > 0
    assert [r[1:3] for r in first.reasons] == [
        ("user_id", "waits until this user is an employee in HR")
    ]
    side.users()
    for _ in range(40):
        if not side.awards().outcomes["created"]:
            break
    assert side.differences() == []
    waiting = {e["waits_for"] for e in side.store.quarantined(limit=10_000)}
    assert not waiting & {r["accessplanit_id"] for r in side.rows("employees")}


def test_people_known_to_hr_are_linked_and_not_doubled(side: Side) -> None:
    with side.sandbox.engine.connect() as connection:
        people = (
            connection.exec_driver_sql(
                "SELECT * FROM \"User\" WHERE Status = 'Enabled' AND Email IS NOT NULL AND "
                "ExternalID IS NOT NULL"
            )
            .mappings()
            .all()
        )
    by_number, by_mail = people[0], people[1]
    insert = (
        "INSERT INTO employees (employee_id, employee_number, email, surname) VALUES (?, ?, ?, ?)"
    )
    with side.target.engine.begin() as connection:
        connection.exec_driver_sql(insert, ("H1", by_number["ExternalID"], None, "Old"))
        connection.exec_driver_sql(insert, ("H2", None, by_mail["Email"].upper(), "Old"))
    report = side.users()
    rows = {r["employee_id"]: r for r in side.rows("employees")}
    assert (rows["H1"]["accessplanit_id"], rows["H2"]["accessplanit_id"]) == (
        by_number["ID"],
        by_mail["ID"],
    )
    assert rows["H1"]["surname"] == by_number["Surname"]
    assert report.outcomes["updated"] == 2
    side.awards()
    assert side.differences() == []


def test_two_users_with_one_number_are_held_and_their_neighbours_load(side: Side) -> None:
    sql(
        side,
        'UPDATE "User" SET ExternalID = \'SAME\' WHERE ID IN (SELECT ID FROM "User" WHERE '
        "Status = 'Enabled' LIMIT 2)",
    )
    report = side.users()
    assert report.outcomes["held"] == 2
    assert report.outcomes["created"] == report.read - 2
    assert "several users lead to the same employee" in str(report.reasons)
    with side.sandbox.engine.connect() as connection:
        one = connection.exec_driver_sql(
            "SELECT min(ID) FROM \"User\" WHERE ExternalID = 'SAME'"
        ).scalar_one()
    sql(
        side,
        'UPDATE "User" SET ExternalID = ?, DateUpdated = ? WHERE ID = ?',
        "OTHER",
        touch(side),
        one,
    )
    side.users()
    assert {r["employee_number"] for r in side.rows("employees")} >= {"SAME", "OTHER"}
    assert side.store.quarantined() == []


def test_leavers_are_left_alone_or_closed_as_declared(make_side: Callable[..., Side]) -> None:
    for leavers, status in (("ignore", "Enabled"), ("close", "Inactive")):
        side = make_side()
        spec = PROCESSES["users_to_hr"].scoped(leavers=leavers)  # type: ignore[arg-type]
        side.run(spec)
        side.change_one("Status", "Inactive")
        report = side.run(spec)
        assert report.outcomes["closed"] == (1 if leavers == "close" else 0)
        counts = Counter(r["status"] for r in side.rows("employees"))
        assert counts["Inactive"] == (1 if status == "Inactive" else 0)
        assert side.run(spec).written == 0


def test_filters_are_parameters(side: Side) -> None:
    side.run(
        PROCESSES["users_to_hr"].scoped(
            companies=["DOUG900E"], custom_fields=["CF_Site", "CF_Payroll_Number"]
        )
    )
    rows = side.rows("employees")
    assert {r["company_id"] for r in rows} == {"DOUG900E"}
    assert all("CF_Site" in json.loads(r["custom"]) for r in rows)
    everyone = side.users()
    assert everyone.watermark_before is None, "another scope has another watermark"
    targets = side.run(PROCESSES["award_targets_to_hr"].scoped(future_targets_only=True))
    today = side.sandbox.now().date().isoformat()
    assert targets.outcomes["created"] > 0
    assert all(
        r["status"] == "Target" and r["target_date"] > today for r in side.rows("award_targets")
    )


@pytest.mark.loaded
def test_a_row_that_cannot_be_read_in_hr_is_corrected_by_its_record(side: Side) -> None:
    before = side.dump()["awards"]
    with side.target.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE awards SET completed_on = 'the day before' WHERE award_record_id = ?",
            (before[0][0],),
        )
    report = side.awards(Order(sweep=True))
    assert report.outcomes["updated"] == 1
    assert side.dump()["awards"] == before
    assert side.awards(Order(sweep=True)).written == 0
    assert before[0][0] not in side.store.open_keys("awards_to_hr", "held"), (
        "it is settled as soon as it can be compared"
    )


def test_plan_mode_writes_nothing_and_foretells_the_run(side: Side) -> None:
    spec = users_to_hr.SPEC
    preview, plan = run_process(spec, side.world(), Order(mode="plan"), call=plainly)
    assert preview.adds_up()
    assert side.rows("employees") == []
    assert side.store.known(spec.name).size == 0
    done = side.users()
    assert done.outcomes == preview.outcomes
    assert done.digest == preview.digest == plan.digest


def test_a_guard_stops_the_run_and_a_digest_lets_exactly_that_plan_pass(side: Side) -> None:
    side.users()
    sql(side, "UPDATE \"User\" SET MainCompanyName = 'Renamed', DateUpdated = ?", touch(side))
    before = side.dump()
    strict = users_to_hr.SPEC.model_copy(
        update={"guard": Guard(update=Limit(percent=10, absolute=5))}
    )
    with pytest.raises(UnsafePlan, match=r"rows to update in HR: more than 10 %") as stopped:
        side.run(strict)
    assert side.dump() == before
    with pytest.raises(StalePlan, match="There is no plan 0000000000000000"):
        side.run(strict, Order(approve="0" * 16))
    report = side.run(strict, Order(approve=stopped.value.digest))
    assert report.outcomes["updated"] == len(before["employees"])
    assert [r["outcome"] for r in side.store.runs(3)] == ["completed", "stopped", "stopped"]


@pytest.mark.soak
def test_twelve_runs_under_faults_end_where_an_undisturbed_run_ends(
    make_side: Callable[..., Side],
) -> None:
    side = make_side(80)
    calm = make_side(80, name="calm")
    dialect = side.dialect.model_copy(update={"page_size": 15})
    side.dialect = dialect
    secret = side.settings.api_key.__class__("sandbox-password")  # type: ignore[union-attr]
    login = {
        "api_key": None,
        "username": "svc-hr",
        "password": secret,
        "timeout": 0.3,
        "attempts": 4,
    }
    side.sandbox.faults = Faults(rate=0.2, seed=11, delay=0.5)
    failed = 0
    for number in range(12):
        for sandbox in (side.sandbox, calm.sandbox):
            random.seed(number)
            sandbox.tick(10)
        for spec in (users_to_hr.SPEC, awards_to_hr.SPEC):
            try:
                side.run(spec, Order(full=number % 2 == 0), **login)
            except SourceFailed:
                failed += 1
    drawn = side.sandbox.faults.drawn
    assert len(drawn) == 9, drawn
    side.sandbox.faults = Faults()
    for _ in range(3):
        side.users()
        side.awards()
    assert side.differences() == []
    both(calm)
    for spec in (users_to_hr.SPEC, awards_to_hr.SPEC):
        calm.run(spec, Order(full=True))
    assert calm.differences() == []
    assert failed < 12


@pytest.mark.dialects
@pytest.mark.loaded
def test_equal_time_stamps_and_late_arrivals_are_not_lost(side: Side) -> None:
    if side.dialect.date_updated is None:
        pytest.skip("this tenant has no date of the last change: every read is a full one")
    with side.sandbox.engine.connect() as connection:
        latest = connection.exec_driver_sql(
            "SELECT max(DateUpdated) FROM \"User\" WHERE Status IN ('Enabled', 'New')"
        ).scalar_one()
    late = (datetime.fromisoformat(latest) - timedelta(minutes=90)).isoformat()
    some = "SELECT ID FROM \"User\" WHERE Status = 'Enabled' ORDER BY ID LIMIT 1 OFFSET ?"
    statement = f'UPDATE "User" SET JobTitle = ?, DateUpdated = ? WHERE ID = ({some})'
    sql(side, statement, "same moment", latest, 0)
    sql(side, statement, "committed late", late, 1)
    assert side.users().outcomes["updated"] == 2
    assert {"same moment", "committed late"} <= {r["job_title"] for r in side.rows("employees")}


def test_a_row_of_hr_that_cannot_be_read_is_named_where_its_record_is_held(side: Side) -> None:
    """What to correct, and where: the field of HR's row, without its value."""
    side.users()
    row = min(side.rows("employees"), key=lambda row: str(row["employee_id"]))
    with side.target.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE employees SET marketing_opt_in = 'perhaps', job_title = 'old' WHERE "
            "employee_id = ?",
            (row["employee_id"],),
        )
    sql(
        side,
        'UPDATE "User" SET "JobTitle" = ?, "DateUpdated" = ? WHERE "ID" = ?',
        "Rigger",
        touch(side),
        row["accessplanit_id"],
    )
    report = side.users()
    assert report.outcomes["held"] == 1
    reason = "marketing_opt_in cannot be read in HR: it is neither true nor false; correct it there"
    assert ("held", "marketing_opt_in", reason, 1) in report.reasons
