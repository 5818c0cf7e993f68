"""Each flow from end to end: sandbox over HTTP, the flow run in Prefect, the HR database, and the
way back.

What must be there afterwards is written down here or worked out by ``verify_hr.py``, which shares
no code with the flows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from prefect.client.schemas.objects import State

from connectors.hr.sql import capabilities
from flows._run import Order
from flows.catalogue import FLOWS, PROCESSES
from reconciliation.ask import Moment, columns, questions
from reconciliation.scope import in_scope
from reconciliation.spec import Scope
from reconciliation.watermark import Watermark, Window

from .conftest import Side
from .verify_hr import compare_everything

pytestmark = pytest.mark.prefect


def run(name: str, **parameters: Any) -> State[Any]:
    state: State[Any] = FLOWS[name](**parameters, return_state=True)
    assert state.is_completed(), (name, state.message)
    return state


def everything(side: Side, times: int = 1) -> None:
    """Every process once, without Prefect: the flow that a test is about runs in it."""
    for _ in range(times):
        for chosen in PROCESSES.values():
            side.run(chosen.scoped(), through=chosen.through)


def differences(side: Side) -> list[str]:
    return compare_everything(
        str(side.folder / "sandbox.db"), str(side.folder / "hr.db"), side.sandbox.now()
    )


def there(side: Side, query: str, *parameters: Any) -> list[dict[str, Any]]:
    """Rows of accessplanit."""
    with side.sandbox.engine.connect() as connection:
        return [dict(row) for row in connection.exec_driver_sql(query, parameters).mappings()]


def change(side: Side, statement: str, *parameters: Any) -> None:
    """A change in accessplanit, at a moment later than all that was read."""
    moment = (side.sandbox.now() + timedelta(seconds=2)).isoformat(timespec="milliseconds")
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(statement.replace("NOW", f"'{moment}'"), parameters)


def hr(side: Side, statement: str, *parameters: Any) -> None:
    """A change that somebody makes in HR."""
    with side.target.engine.begin() as connection:
        connection.exec_driver_sql(statement, parameters)


def reasons(side: Side, process: str) -> dict[str, str]:
    """Key -> why it is in quarantine."""
    return {
        str(e["key"]): f"{e['stage']}: {e['field']} {e['reason']}"
        for e in side.store.quarantined(process, 1000)
    }


def writes(side: Side) -> list[tuple[str, str, str]]:
    """What the API has written, by accessplanit's own log: (module, record, event)."""
    return [
        (str(c["module"]), str(c["record"]), str(c["event"]))
        for c in side.sandbox.changes_since(0)
        if "api" in str(c["event"])
    ]


def employee(side: Side, key: str, **values: Any) -> None:
    row = {
        "employee_id": key,
        "employee_number": key,
        "forenames": "Wyn",
        "surname": "Ashdown",
        "status": "Active",
    }
    row |= {
        "company_id": "DOUG900E",
        "email": f"{key.lower()}@hr.example",
        "country": "United Kingdom",
    } | values
    hr(
        side,
        f"INSERT INTO employees ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
        *row.values(),
    )


def linked(side: Side, number: int = 0) -> tuple[str, str]:
    """(employee, user) of somebody both sides have, with an e-mail address in neither's way."""
    with side.target.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT employee_id, accessplanit_id FROM employees WHERE status = 'Enabled' AND "
            "accessplanit_id IS NOT NULL ORDER BY 1"
        ).all()
    return str(rows[number][0]), str(rows[number][1])


def one(side: Side, user: str) -> dict[str, Any]:
    return there(side, 'SELECT * FROM "User" WHERE "ID" = ?', user)[0]


def test_new_employees_become_users_and_changes_and_leavers_follow(configured: Side) -> None:
    side = configured
    everything(side)
    assert writes(side) == [], "nothing is due in accessplanit"
    employee(side, "N900", job_title="Welder", mobile="07700 900123", postcode="LA1 1AB")
    employee(side, "N901", surname="A" * 41)
    employee(side, "N902", company_id="NOWHERE")
    employee(side, "N903", status="On leave")
    employee(side, "N904", status="Left")
    employee(side, "N905", email="not an address")
    employee(side, "N906", employee_number=None)
    (first, first_user), (second, second_user), (third, third_user) = (
        linked(side, n) for n in range(3)
    )
    hr(side, "UPDATE employees SET job_title = 'Rigger', phone = NULL WHERE employee_id = ?", first)
    change(
        side,
        'UPDATE "User" SET "Town" = \'Kendal\', "DateUpdated" = NOW WHERE "ID" = ?',
        first_user,
    )
    hr(side, "UPDATE employees SET status = 'Left' WHERE employee_id = ?", second)
    hr(side, "UPDATE employees SET access_role_id = 'SUPERADMIN' WHERE employee_id = ?", third)
    state = run("users_from_hr")
    assert "1 updated" in str(state.message)
    assert "2 created" in str(state.message)
    assert "1 closed" in str(state.message)
    made = there(
        side,
        'SELECT * FROM "User" WHERE "ExternalID" IN (\'N900\', \'N906\') ORDER BY "ExternalID"',
    )
    assert [m["ExternalID"] for m in made] == ["N900", "N906"], (
        "without a number HR's own key is the ExternalID"
    )
    assert (made[0]["Status"], made[0]["JobTitle"], made[0]["Postcode"]) == (
        "Enabled",
        "Welder",
        "LA1 1AB",
    )
    assert made[0]["MainCompanyName"] == "Douglas Group"
    now = one(side, first_user)
    assert (now["JobTitle"], now["Phone"], now["Town"]) == ("Rigger", None, "Kendal"), (
        "the PUT was a partial one"
    )
    assert one(side, second_user)["Status"] == "Inactive", "disabled, not deleted"
    assert one(side, third_user)["MainRoleID"] != "SUPERADMIN", (
        "a level of access is accessplanit's"
    )
    why = reasons(side, "users_from_hr")
    assert set(why) == {"N901", "N902", "N903", "N905"}
    assert why["N901"] == "failed: (row) surname is longer than 40 characters"
    assert why["N902"] == "failed: (row) company_id is not in accessplanit's Company"
    assert why["N903"] == "held: status has a value that the mapping of status does not name"
    assert why["N905"] == "failed: (row) email is not a valid e-mail address"
    assert (
        there(
            side,
            "SELECT 1 FROM \"User\" WHERE \"ExternalID\" IN ('N901', 'N902', 'N903', 'N904', "
            "'N905')",
        )
        == []
    )
    before = writes(side)
    everything(side, 2)
    assert writes(side) == before, "what comes back is no change"
    employees = {r["employee_id"]: r for r in side.rows("employees")}
    assert employees["N900"]["accessplanit_id"] == made[0]["ID"]
    assert employees["N900"]["status"] == "Active", "HR's own word for it is left alone"
    assert employees[first]["town"] == "Kendal"
    hr(side, "UPDATE employees SET surname = 'Short' WHERE employee_id = 'N901'")
    hr(side, "UPDATE employees SET status = 'Active' WHERE employee_id = ?", second)
    run("users_from_hr")
    assert one(side, second_user)["Status"] == "Enabled", "somebody who came back"
    assert "N901" not in reasons(side, "users_from_hr")
    told = side.store.story(made[0]["ID"])
    assert [(e["kind"], e["outcome"]) for e in told if e["process"] == "users_from_hr"] == [
        ("create", "created")
    ]


def test_an_employee_who_is_gone_is_reported_or_disabled(configured: Side) -> None:
    side = configured
    everything(side)
    (one_, user), (other, other_user) = linked(side, 0), linked(side, 1)
    hr(side, "DELETE FROM employees WHERE employee_id = ?", one_)
    run("users_from_hr", run={"sweep": True})
    assert one(side, user)["Status"] == "Enabled"
    assert reasons(side, "users_from_hr")[one_].startswith(
        "gone: (record) is no more in HR; accessplanit still has the row"
    )
    hr(side, "DELETE FROM employees WHERE employee_id = ?", other)
    run("users_from_hr", run={"sweep": True}, filters={"gone": "close"})
    assert {one(side, u)["Status"] for u in (user, other_user)} == {"Inactive"}


def test_course_requests_go_to_hr_and_decisions_come_back(configured: Side) -> None:
    side = configured
    everything(side)
    assert differences(side) == []
    requests = [r for r in side.rows("course_requests") if r["status"] == "Provisional"]
    assert len(requests) >= 9
    assert all(r["venue"] and r["course_name"] for r in requests)
    assert set(reasons(side, "course_requests_to_hr").values()) == {
        "held: user_id waits until this user is an employee in HR"
    }
    yes, no, started, full, off, taken, maybe, late, again = (
        r["course_request_id"] for r in requests[:9]
    )
    dates = {r["course_request_id"]: r["course_date_id"] for r in requests}
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql('UPDATE "CourseDate" SET "SpacesLeft" = 5')

        def course_of(request: str, **values: Any) -> None:
            """The request's course, as one of its own."""
            row = dict(
                connection.exec_driver_sql(
                    'SELECT * FROM "CourseDate" WHERE "ID" = ?', (dates[request],)
                )
                .mappings()
                .one()
            )
            row |= {"ID": f"C{request[:4]}{len(values)}{next(iter(values))}"} | values
            connection.exec_driver_sql(
                f'INSERT INTO "CourseDate" VALUES ({", ".join("?" * len(row))})',
                tuple(row.values()),
            )
            connection.exec_driver_sql(
                'UPDATE "UserCourseDate" SET "CourseDateID" = ? WHERE "ID" = ?',
                (row["ID"], request),
            )

        course_of(started, StartDate="2020-01-01T09:00:00")
        course_of(full, SpacesLeft=0)
        course_of(off, Status="Cancelled")
        connection.exec_driver_sql(
            'UPDATE "UserCourseDate" SET "Status" = \'Cancelled\' WHERE "ID" = ?', (taken,)
        )
    for key, decision in (
        (yes, "Approved"),
        (no, "rejected"),
        (started, "Approved"),
        (full, "Approved"),
        (off, "Approved"),
    ):
        hr(
            side,
            "UPDATE course_requests SET decision = ?, decided_at = CURRENT_TIMESTAMP WHERE "
            "course_request_id = ?",
            decision,
            key,
        )
    for key, decision in ((taken, "Approved"), (maybe, "Perhaps")):
        hr(
            side,
            "UPDATE course_requests SET decision = ? WHERE course_request_id = ?",
            decision,
            key,
        )
    hr(
        side,
        "INSERT INTO course_requests (course_request_id, employee_id, course_date_id, "
        "decision) VALUES ('x~1', 'e', '1', 'Approved')",
    )
    run("course_decisions_from_hr")
    status = {
        r["ID"]: r["Status"] for r in there(side, 'SELECT "ID", "Status" FROM "UserCourseDate"')
    }
    assert (status[yes], status[no]) == ("Booked", "Cancelled")
    assert {status[k] for k in (started, full, off, maybe)} == {"Provisional"}
    why = reasons(side, "course_decisions_from_hr")
    assert why == {
        started: "held: decision is for a course that has started",
        full: "held: decision is for a course that is full",
        off: "held: decision is for a course that is not held any more",
        taken: "held: decision was decided in accessplanit already: Cancelled",
        maybe: "held: decision has a value that the mapping of status does not name",
        "x~1": "held: decision is no course request in accessplanit",
    }
    assert {(module, record) for module, record, _ in writes(side)} == {
        ("UserCourseDate", yes),
        ("UserCourseDate", no),
    }
    left = {
        r["ID"]: r["SpacesLeft"] for r in there(side, 'SELECT "ID", "SpacesLeft" FROM "CourseDate"')
    }
    assert left[dates[yes]] == 4, "the delegate has taken a place"
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(
            'UPDATE "CourseDate" SET "SpacesLeft" = 1 WHERE "ID" LIKE \'%SpacesLeft\''
        )
    everything(side)
    assert full not in reasons(side, "course_decisions_from_hr"), (
        "it goes through when there is a place, with no one's help"
    )
    assert {
        r["ID"]: r["Status"] for r in there(side, 'SELECT "ID", "Status" FROM "UserCourseDate"')
    }[full] == "Booked"
    hr(
        side,
        "UPDATE course_requests SET decision = 'Declined' WHERE course_request_id IN (?, ?)",
        late,
        again,
    )
    run("course_decisions_from_hr", filters={"rejected": "Waiting List"})
    status = {
        r["ID"]: r["Status"] for r in there(side, 'SELECT "ID", "Status" FROM "UserCourseDate"')
    }
    assert status[late] == status[again] == "Waiting List", "configured otherwise"
    everything(side)
    followed = {r["course_request_id"]: r["status"] for r in side.rows("course_requests")}
    assert (followed[yes], followed[no], followed[late]) == ("Booked", "Cancelled", "Waiting List")


def test_law_3_decisions_wait_in_their_order_and_are_done_once(configured: Side) -> None:
    side = configured
    for name in ("users_to_hr", "course_requests_to_hr"):
        side.run(PROCESSES[name].scoped())
    spec = PROCESSES["course_decisions_from_hr"].scoped()
    first, second, third = [
        r["course_request_id"] for r in side.rows("course_requests") if r["status"] == "Provisional"
    ][:3]
    now = datetime.now(UTC)

    def course(**values: Any) -> None:
        there_are = ", ".join(f'"{name}" = ?' for name in values)
        with side.sandbox.engine.begin() as connection:
            connection.exec_driver_sql(
                f'UPDATE "CourseDate" SET {there_are} WHERE "ID" = ?', (*values.values(), shared)
            )

    def decide(key: str, decision: str, at: datetime) -> None:
        statement = (
            "UPDATE course_requests SET decision = ?, decided_at = ? WHERE course_request_id = ?"
        )
        hr(side, statement, decision, at.strftime("%Y-%m-%d %H:%M:%S"), key)

    def statuses() -> list[str]:
        found = {
            r["ID"]: r["Status"] for r in there(side, 'SELECT "ID", "Status" FROM "UserCourseDate"')
        }
        return [found[key] for key in (first, second, third)]

    shared = next(
        r["course_date_id"] for r in side.rows("course_requests") if r["course_request_id"] == first
    )
    hr_keys = (shared, first, second, third)
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(
            'UPDATE "UserCourseDate" SET "CourseDateID" = ? WHERE "ID" IN (?, ?, ?)', hr_keys
        )
    course(SpacesLeft=0, Status="Active", StartDate=f"{now + timedelta(days=30):%Y-%m-%dT%H:%M:%S}")
    decide(first, "Approved", now)
    for hour in range(6):
        side.run(spec, now=now + timedelta(hours=3 * hour))
    assert not side.store.retryable(spec.name, now + timedelta(hours=16)), "it rests"
    course(SpacesLeft=1)
    decide(second, "Approved", now + timedelta(hours=15))
    decide(third, "Rejected", now + timedelta(hours=15))
    side.run(spec, now=now + timedelta(hours=16))
    assert statuses() == ["Booked", "Provisional", "Cancelled"], (
        "the place goes to the decision that waits longest"
    )
    # What has been done is settled, whatever becomes of the delegate; another decision is a new
    # one.
    change(side, 'UPDATE "UserCourseDate" SET "Status" = \'Completed\' WHERE "ID" = ?', first)
    change(side, 'UPDATE "UserCourseDate" SET "Status" = \'On Hold\' WHERE "ID" = ?', third)
    side.run(spec, Order(sweep=True), now=now + timedelta(hours=17))
    assert reasons(side, spec.name) == {second: "held: decision is for a course that is full"}
    assert statuses() == ["Completed", "Provisional", "On Hold"]
    decide(first, "Rejected", now + timedelta(hours=18))
    side.run(spec, now=now + timedelta(hours=18))
    assert (
        reasons(side, spec.name)[first]
        == "held: decision was decided in accessplanit already: Completed"
    )


def test_registrations_follow_whatever_becomes_of_them(configured: Side) -> None:
    side = configured
    everything(side)
    assert differences(side) == []
    keys = [r["registration_id"] for r in side.rows("registrations") if r["status"] == "Booked"][:4]
    change(
        side,
        'UPDATE "UserCourseDate" SET "Status" = \'Cancelled\', "DateUpdated" = NOW WHERE "ID" = ?',
        keys[0],
    )
    change(
        side,
        'UPDATE "UserCourseDate" SET "Status" = \'Transferred\', "DateUpdated" = NOW WHERE '
        '"ID" = ?',
        keys[1],
    )
    change(
        side,
        'UPDATE "UserCourseDate" SET "Status" = \'Nonsense\', "DateUpdated" = NOW WHERE "ID" = ?',
        keys[2],
    )
    change(side, 'DELETE FROM "UserCourseDate" WHERE "ID" = ?', keys[3])
    state = run("delegates_to_hr")
    assert "1 updated, 1 closed" in str(state.message)
    found = {r["registration_id"]: r["status"] for r in side.rows("registrations")}
    assert [found[k] for k in keys] == ["Cancelled", "Transferred", "Booked", "Booked"]
    assert (
        reasons(side, "delegates_to_hr")[keys[2]]
        == "rejected: status is not a delegate status of the importer's list"
    )
    run("delegates_to_hr", run={"sweep": True})
    assert {r["registration_id"]: r["status"] for r in side.rows("registrations")}[
        keys[3]
    ] == "Cancelled", "found by the sweep"
    unknown = there(side, 'SELECT "ID" FROM "UserCourseDate" WHERE "Status" = \'NoAttend\'')
    assert unknown
    assert not {u["ID"] for u in unknown} & set(found), "never in scope, never loaded"
    waiting = [e for e in side.store.quarantined("delegates_to_hr", 1000) if e["waits_for"]]
    assert waiting
    change(
        side,
        'UPDATE "User" SET "Status" = \'Enabled\', "DateUpdated" = NOW WHERE "ID" = ?',
        waiting[0]["waits_for"],
    )
    run("users_to_hr")
    run("delegates_to_hr")
    assert waiting[0]["key"] in {r["registration_id"] for r in side.rows("registrations")}, (
        "it waited for the person"
    )


def test_targets_go_both_ways_and_become_awards(configured: Side) -> None:
    side = configured
    everything(side)
    assert differences(side) == []
    rows = [r for r in side.rows("award_targets") if r["status"] == "Target"]
    achieved, moved, withdrawn = (r["award_target_id"] for r in rows[:3])
    employee_, user = linked(side)
    today = side.sandbox.now().date()
    free = next(
        a["ID"]
        for a in there(side, 'SELECT "ID" FROM "Award"')
        if not [r for r in rows if (r["employee_id"], r["award_id"]) == (employee_, a["ID"])]
    )
    aim = (
        "INSERT INTO award_targets (award_target_id, employee_id, award_id, target_date) VALUES "
        "(?, ?, ?, ?)"
    )
    hr(side, aim, "HR-1", employee_, free, "2027-05-01")
    hr(side, aim, "HR-2", employee_, "NOSUCHAWRD", "2027-05-01")
    hr(side, aim, "HR-3", "nobody yet", free, "2027-05-01")
    hr(side, aim, "HR-4", employee_, free, "soon")
    hr(side, "UPDATE award_targets SET target_date = '2027-08-09' WHERE award_target_id = ?", moved)
    day = f"{today.isoformat()}T00:00:00"
    change(
        side,
        'UPDATE "UserAward" SET "Status" = \'Completed\', "Passed" = ?, "DateUpdated" = NOW '
        'WHERE "ID" = ?',
        day,
        achieved,
    )
    change(side, 'DELETE FROM "UserAward" WHERE "ID" = ?', withdrawn)
    run("award_targets_from_hr")
    made = there(
        side,
        'SELECT * FROM "UserAward" WHERE "UserID" = ? AND "AwardID" = ? AND "Status" = \'Target\'',
        user,
        free,
    )
    assert [m["TargetDate"] for m in made] == ["2027-05-01T00:00:00"]
    assert (
        there(side, 'SELECT "TargetDate" FROM "UserAward" WHERE "ID" = ?', moved)[0]["TargetDate"]
        == "2027-08-09T00:00:00"
    )
    assert reasons(side, "award_targets_from_hr") == {
        "HR-2": "failed: (row) award_id is not in accessplanit's Award",
        "HR-3": "held: employee_id waits until this employee is a user in accessplanit",
        "HR-4": "rejected: target_date is not an ISO date",
    }
    hr(side, "DELETE FROM award_targets WHERE award_target_id IN ('HR-2', 'HR-4')")
    before = writes(side)
    run("awards_to_hr")
    run("award_targets_to_hr")
    run("award_targets_to_hr", run={"sweep": True})
    everything(side)
    assert writes(side) == before
    found = {r["award_target_id"]: r["status"] for r in side.rows("award_targets")}
    assert (found[achieved], found[withdrawn], found["HR-1"]) == (
        "Completed",
        "Withdrawn",
        "Target",
    )
    assert {a["award_record_id"]: a["state"] for a in side.rows("awards")}[achieved] in (
        "achieved",
        "superseded",
    )
    hr(side, "DELETE FROM award_targets WHERE award_target_id = 'HR-3'")
    assert differences(side) == []
    employee(side, "nobody yet", employee_number="N77", email="n77@hr.example")
    hr(side, aim, "HR-3", "nobody yet", free, "2027-05-01")
    everything(side, 2)
    user = there(side, 'SELECT "ID" FROM "User" WHERE "ExternalID" = \'N77\'')[0]["ID"]
    assert there(side, 'SELECT 1 FROM "UserAward" WHERE "UserID" = ?', user), (
        "it went through when the person arrived"
    )
    assert differences(side) == []


def test_job_roles_go_both_ways_and_removals_are_found(configured: Side) -> None:
    side = configured
    everything(side)
    assert differences(side) == []
    rows = [r for r in side.rows("assignments") if not r["valid_to"]]
    ended_there, ended_here, removed = rows[:3]
    employee_, user = linked(side, 5)
    mine = {r["job_role_id"] for r in rows if r["employee_id"] == employee_}
    role, other = [
        r["job_role_id"] for r in side.rows("job_roles") if r["job_role_id"] not in mine
    ][:2]
    today = side.sandbox.now().date().isoformat()
    change(
        side,
        'UPDATE "UserUserType" SET "ToDate" = ?, "DateUpdated" = NOW WHERE "ID" = ?',
        f"{today}T00:00:00",
        ended_there["assignment_id"],
    )
    change(side, 'DELETE FROM "UserUserType" WHERE "ID" = ?', removed["assignment_id"])
    change(
        side,
        'INSERT INTO "UserType" ("ID", "Label", "DateCreated", "DateUpdated") VALUES (\'JRN\', '
        "'Diver', NOW, NOW)",
    )
    hr(
        side,
        "UPDATE assignments SET valid_to = ? WHERE assignment_id = ?",
        today,
        ended_here["assignment_id"],
    )
    give = (
        "INSERT INTO assignments (assignment_id, employee_id, job_role_id, valid_from) VALUES "
        "(?, ?, ?, ?)"
    )
    hr(side, give, "HR-1", employee_, role, "2026-11-01")
    hr(side, give, "HR-2", employee_, "NOROLE", "2026-11-01")
    hr(side, give, "HR-3", "nobody yet", role, "2026-11-01")
    hr(side, give, "HR-4", employee_, other, "tomorrow")
    run("job_roles_from_hr")
    made = there(
        side, 'SELECT * FROM "UserUserType" WHERE "UserID" = ? AND "UserTypeID" = ?', user, role
    )
    assert [(m["FromDate"], m["ToDate"]) for m in made] == [("2026-11-01T00:00:00", None)]
    assert (
        there(
            side, 'SELECT "ToDate" FROM "UserUserType" WHERE "ID" = ?', ended_here["assignment_id"]
        )[0]["ToDate"]
        == f"{today}T00:00:00"
    )
    assert reasons(side, "assignments_from_hr") == {
        "HR-2": "failed: (row) user_type_id is not in accessplanit's UserType",
        "HR-3": "held: employee_id waits until this employee is a user in accessplanit",
        "HR-4": "rejected: valid_from is not an ISO date",
    }
    hr(side, "DELETE FROM assignments WHERE assignment_id IN ('HR-2', 'HR-3', 'HR-4')")
    before = writes(side)
    run("job_roles_to_hr", run={"sweep": True})
    everything(side, 2)
    assert writes(side) == before
    found = {r["assignment_id"]: r for r in side.rows("assignments")}
    assert found[ended_there["assignment_id"]]["valid_to"] == today
    assert found[removed["assignment_id"]]["valid_to"] == today, (
        "removed there, found by the sweep, ended here"
    )
    assert found["HR-1"]["accessplanit_user_id"] == user
    assert "Diver" in {r["label"] for r in side.rows("job_roles")}
    assert differences(side) == []


def test_an_assignment_waits_for_its_role(configured: Side) -> None:
    side = configured
    run("users_to_hr")
    from flows.job_roles_to_hr import SPEC

    waiting = side.run(SPEC)
    assert waiting.outcomes["created"] == 0
    assert {r[2] for r in waiting.reasons} >= {"waits until this job role is in HR"}
    run("job_roles_to_hr")
    assert side.rows("assignments"), "roles before assignments"


def test_compliance_says_who_lacks_what_as_of_a_day(configured: Side) -> None:
    side = configured
    everything(side)
    assert differences(side) == []
    found = side.rows("role_compliance")
    assert {r["state"] for r in found} >= {"held", "missing", "targeted"}
    leaver = next(r["employee_id"] for r in found)
    hr(side, "UPDATE employees SET status = 'Left' WHERE employee_id = ?", leaver)
    later = side.sandbox.now().date() + timedelta(days=3650)
    run("role_compliance", filters={"as_of": later})
    after = side.rows("role_compliance")
    assert {r["state"] for r in after if r["employee_id"] == leaver} == {"not required"}
    still = [r for r in after if r["employee_id"] != leaver]
    assert all(r["expires_on"] is None for r in still if r["state"] == "held"), (
        "ten years on only what never expires is held"
    )
    assert date.fromisoformat(str(still[0]["as_of"])[:10]) in (later, side.sandbox.now().date())


def test_what_cannot_be_read_in_accessplanit_is_corrected_from_hr(configured: Side) -> None:
    side = configured
    everything(side)
    key, user_id = linked(side)
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(
            'UPDATE "User" SET "Address" = ? WHERE "ID" = ?', ("1 High St\x0bFlat 2", user_id)
        )
    hr(
        side,
        "UPDATE employees SET address = '1 High St, Flat 2', job_title = 'Rigger' WHERE "
        "employee_id = ?",
        key,
    )
    process = PROCESSES["users_from_hr"].scoped()
    report = side.run(process)
    assert (report.outcomes["updated"], report.outcomes["held"], report.adds_up()) == (1, 1, True)
    assert one(side, user_id)["Address"] == "1 High St, Flat 2"
    side.run(process)
    assert one(side, user_id)["JobTitle"] == "Rigger", (
        "the rest follows when the record can be read"
    )


def test_a_row_that_is_put_back_as_it_was_leaves_the_quarantine(configured: Side) -> None:
    side = configured
    everything(side)
    key, _ = linked(side)
    process = PROCESSES["users_from_hr"].scoped()
    (before,) = [row["surname"] for row in side.rows("employees") if row["employee_id"] == key]
    for surname, waiting in (("a\x00b", [key]), (before, [])):
        hr(side, "UPDATE employees SET surname = ? WHERE employee_id = ?", surname, key)
        side.run(process)
        assert [k for k in side.store.open_keys("users_from_hr", "rejected") if k == key] == waiting


def test_names_that_the_requirements_lack_are_taken_from_where_they_are(configured: Side) -> None:
    side = configured
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(
            'UPDATE "AwardUserType" SET "AwardLabel" = NULL, "UserTypeLabel" = NULL'
        )
    everything(side)
    found = side.rows("role_compliance")
    awards = {row["ID"]: row["Label"] for row in there(side, 'SELECT "ID", "Label" FROM "Award"')}
    roles = {row["ID"]: row["Label"] for row in there(side, 'SELECT "ID", "Label" FROM "UserType"')}
    assert found
    assert all(
        (r["award_label"], r["job_role_label"]) == (awards[r["award_id"]], roles[r["job_role_id"]])
        for r in found
    )


def test_law_1_compliance_of_people_in_doubt_stays_as_it_was_published(configured: Side) -> None:
    side = configured
    chosen = PROCESSES["role_compliance"]
    everything(side)

    def states() -> dict[str, tuple[str, str]]:
        return {
            r["compliance_id"]: (r["employee_id"], r["state"]) for r in side.rows("role_compliance")
        }

    before = states()
    people = sorted({person for person, state in before.values() if state == "held"})
    by_award, by_role, by_target = people[:3]
    hr(side, "UPDATE awards SET completed_on = '01/02/2025' WHERE employee_id = ?", by_award)
    hr(side, "UPDATE assignments SET valid_from = 'soon' WHERE employee_id = ?", by_role)
    hr(side, "DELETE FROM awards WHERE employee_id IN (?, ?)", by_role, by_target)
    hr(
        side,
        "INSERT INTO award_targets (award_target_id, employee_id, award_id, target_date) "
        "VALUES ('t', ?, '1', '31/31/26')",
        by_target,
    )
    report = side.run(chosen.scoped(), Order(sweep=True), through=chosen.through)
    mine = {key for key, (person, _) in before.items() if person in (by_award, by_role, by_target)}
    assert states() == before
    assert report.outcomes["held"] == len(mine)
    why = reasons(side, "role_compliance")
    assert why.keys() == mine
    assert set(why.values()) == {
        "held: (row) is of a person with an award in HR that cannot be read",
        "held: (row) is of a person with an assignment in HR that cannot be read",
        "held: (row) is of a person with an award target in HR that cannot be read",
    }
    # Once it can be read, the compliance follows.
    hr(side, "UPDATE assignments SET valid_from = NULL WHERE employee_id = ?", by_role)
    side.run(chosen.scoped(), Order(sweep=True), through=chosen.through)
    after = states()
    assert {after[key][1] for key, (person, _) in before.items() if person == by_role} <= {
        "missing",
        "targeted",
    }
    assert (
        not {key for key, (person, _) in before.items() if person == by_role}
        & reasons(side, "role_compliance").keys()
    )


def test_only_needed_fields_travel(configured: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()
    answer = configured.sandbox.answer

    def listening(method: str, path: list[str], query: dict[str, str], *rest: Any) -> Any:
        asked.update(query.get("$select", "*").split(","))
        return answer(method, path, query, *rest)

    monkeypatch.setattr(configured.sandbox, "answer", listening)
    everything(configured)
    assert not asked & {"*", "DOB", "NINumber", "Title", "MoodleID", "CF_Payroll_Number"}


@pytest.fixture
def dialect_of_hr(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str | None], None]:
    def choose(column: str | None) -> None:
        monkeypatch.setenv("HRSYNC_SQL__UPDATED_COLUMN", column or "null")

    return choose


@pytest.mark.parametrize("column", ["written_at", None], ids=["updated date", "content"])
def test_hr_tells_what_has_changed_by_date_or_by_content(
    configured: Side, dialect_of_hr: Callable[[str | None], None], column: str | None
) -> None:
    side = configured
    dialect_of_hr(column)
    side.target.capabilities = capabilities(column)
    everything(side)
    employee_, user = linked(side)
    past = (datetime.now() - timedelta(days=9)).isoformat(sep=" ")
    hr(side, "UPDATE employees SET written_at = ?", past)
    hr(side, "UPDATE employees SET job_title = 'Rigger' WHERE employee_id = ?", employee_)
    state = run("users_from_hr")
    assert "1 updated" in str(state.message)
    assert one(side, user)["JobTitle"] == "Rigger"
    hr(
        side,
        "UPDATE employees SET job_title = 'Diver', written_at = ? WHERE employee_id = ?",
        "2020-01-01 00:00:00",
        employee_,
    )
    state = run("users_from_hr")
    assert ("1 updated" in str(state.message)) == (column is None), (
        "a moment that lies is found by a sweep, or by content"
    )
    run("users_from_hr", run={"sweep": True})
    assert one(side, user)["JobTitle"] == "Diver"


def scopes() -> list[Any]:
    """Every process to HR with its defaults and with its optional filters."""
    given = {
        "users_to_hr": [{}, {"companies": ["DOUG900E", "MERI901E"]}, {"statuses": ["New"]}],
        "awards_to_hr": [{}, {"statuses": ["In Progress", "On Hold"]}],
        "award_targets_to_hr": [{}, {"future_targets_only": True}],
        "delegates_to_hr": [
            {},
            {"companies": ["DOUG900E"], "statuses": ["Booked"]},
            {"training_providers": ["DOUG900E"], "courses": ["CRS001"]},
        ],
        "course_requests_to_hr": [{}, {"companies": ["DOUG900E"]}],
        "assignments_to_hr": [{}, {"roles": ["JR01", "JR02"]}],
    }
    return [(name, filters) for name, every in given.items() for filters in every]


@pytest.mark.parametrize(("name", "filters"), scopes(), ids=str)
def test_what_the_source_filters_and_the_rest_is_the_whole_filter(
    side: Side, name: str, filters: dict[str, Any]
) -> None:
    """Read with the filter pushed down, then filtered here: the same as all of it filtered here,
    and fewer rows."""
    spec = PROCESSES[name].scoped(**filters)
    now = datetime.now(UTC)
    source, wanted = side.source(), columns(spec)
    when, mark = Moment(now.date(), now), Watermark()
    (pushed,) = questions(spec, Window(None), mark, when, (), "updated_at", first=True)
    (plain,) = questions(
        spec.model_copy(update={"scope": Scope()}),
        Window(None),
        mark,
        when,
        (),
        "updated_at",
        first=True,
    )
    none = np.empty(0, dtype=np.int64)
    some, everybody = (
        source.read(spec.feed, wanted, (), ask, none, "0").frame for ask in (pushed, plain)
    )
    found = [
        sorted(rows["id"][in_scope(rows, spec.scope, now.date(), now)])
        for rows in (some, everybody)
    ]
    assert found[0] == found[1]
    assert len(found[0]) <= len(some) <= len(everybody)
    if pushed.clauses or pushed.also:
        assert len(some) == len(found[0]) < len(everybody), (
            "all of this filter is one that the API can do"
        )


def test_a_kept_plan_of_a_flow_of_several_processes_is_applied_by_its_own(configured: Side) -> None:
    """The flow of job roles runs two processes; a plan of either is applied and the other one left
    alone."""
    from flows._run import Order, plainly, run_process

    side = configured
    run("users_to_hr")
    for name, table in (("job_roles_to_hr", "job_roles"), ("assignments_to_hr", "assignments")):
        spec = PROCESSES[name].scoped()
        _, plan = run_process(spec, side.world(spec), Order(mode="plan", keep=True), call=plainly)
        before = len(side.rows("assignments"))
        state = run("job_roles_to_hr", run={"approve": plan.digest})
        assert "created" in str(state.message)
        assert len(side.rows(table)) == len(plan.changes)
        assert table == "assignments" or len(side.rows("assignments")) == before == 0


CHANGED = {
    "users_to_hr": (
        "users_to_hr",
        "User",
        "employees",
        "accessplanit_id",
        ("JobTitle", "job_title", "Rigger", "Rigger"),
        "DateCreated",
    ),
    "awards_to_hr": (
        "awards_to_hr",
        "UserAward",
        "awards",
        "award_record_id",
        ("AwardLabel", "award_label", "Other", "Other"),
        "Passed",
    ),
    "award_targets_to_hr": (
        "award_targets_to_hr",
        "UserAward",
        "award_targets",
        "award_target_id",
        ("AwardLabel", "award_label", "Other", "Other"),
        "TargetDate",
    ),
    "delegates_to_hr": (
        "delegates_to_hr",
        "UserCourseDate",
        "registrations",
        "registration_id",
        ("CompanyName", "company_name", "Other", "Other"),
        "StartDate",
    ),
    "course_requests_to_hr": (
        "course_requests_to_hr",
        "UserCourseDate",
        "course_requests",
        "course_request_id",
        ("CompanyName", "company_name", "Other", "Other"),
        "StartDate",
    ),
    "assignments_to_hr": (
        "job_roles_to_hr",
        "UserUserType",
        "assignments",
        "assignment_id",
        ("FromDate", "valid_from", "2026-02-03T00:00:00", "2026-02-03"),
        "ToDate",
    ),
    "job_roles_to_hr": (
        "job_roles_to_hr",
        "UserType",
        "job_roles",
        "job_role_id",
        ("Description", "description", "Other", "Other"),
        "DateCreated",
    ),
}
"""Process -> its flow, module, entity and key; a field that changes; one that is spoilt."""


@pytest.mark.parametrize("name", CHANGED)
def test_a_change_arrives_and_a_record_that_cannot_be_read_is_quarantined_beside_it(
    configured: Side, name: str
) -> None:
    side = configured
    everything(side)
    flow, module, entity, key, (wire, column, value, becomes), spoilt = CHANGED[name]
    good, bad = (r[key] for r in side.rows(entity)[:2])
    change(
        side, f'UPDATE "{module}" SET "{wire}" = ?, "DateUpdated" = NOW WHERE "ID" = ?', value, good
    )
    change(
        side,
        f'UPDATE "{module}" SET "{spoilt}" = \'31.02.\', "DateUpdated" = NOW WHERE "ID" = ?',
        bad,
    )
    state = run(flow)
    assert "1 quarantined" in str(state.message)
    assert next(r[column] for r in side.rows(entity) if r[key] == good) == becomes
    assert reasons(side, name)[bad].endswith("is not an ISO date")


def test_with_upsert_a_new_user_is_sent_as_one(
    configured: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = configured
    everything(side)
    monkeypatch.setenv("HRSYNC_DIALECT__UPSERT", side.sandbox.tenant.upsert_parameter)
    asked: list[dict[str, str]] = []
    answer = side.sandbox.answer

    def listening(method: str, path: list[str], query: dict[str, str], *rest: Any) -> Any:
        asked.extend([query] if method == "POST" else [])
        return answer(method, path, query, *rest)

    monkeypatch.setattr(side.sandbox, "answer", listening)
    employee(side, "N900")
    run("users_from_hr")
    assert asked == [{side.sandbox.tenant.upsert_parameter: "true"}]
    assert len(there(side, 'SELECT 1 FROM "User" WHERE "ExternalID" = \'N900\'')) == 1
