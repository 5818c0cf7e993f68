"""Course requests go to HR, and decisions come back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows._run import Order
from flows.catalogue import PROCESSES
from tests.edits import change, differences, everything, hr, reasons, there, writes
from tests.sides import Side

from .plain_runs import run


@pytest.mark.loaded
def test_course_requests_go_to_hr_and_decisions_come_back(side: Side) -> None:
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
    run(side, "course_decisions_from_hr")
    status = {
        r["ID"]: r["Status"] for r in there(side, 'SELECT "ID", "Status" FROM "UserCourseDate"')
    }
    assert (status[yes], status[no]) == ("Booked", "Cancelled")
    assert {status[k] for k in (started, full, off, maybe)} == {"Provisional"}
    why = reasons(side, "course_decisions_from_hr")
    assert why == {
        started: "held: decision is for a course that has started",
        full: "held: decision is for a course that is full",
        off: "held: decision is for a course that is no longer held",
        taken: "held: decision was decided in accessplanit already: Cancelled",
        maybe: "held: decision has a value that is not in the mapping of status",
        "x~1": "held: decision is not a course request in accessplanit",
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
    run(side, "course_decisions_from_hr", {"rejected": "Waiting List"})
    status = {
        r["ID"]: r["Status"] for r in there(side, 'SELECT "ID", "Status" FROM "UserCourseDate"')
    }
    assert status[late] == status[again] == "Waiting List", "configured otherwise"
    everything(side)
    followed = {r["course_request_id"]: r["status"] for r in side.rows("course_requests")}
    assert (followed[yes], followed[no], followed[late]) == ("Booked", "Cancelled", "Waiting List")


def test_law_3_decisions_wait_in_their_order_and_are_done_once(side: Side) -> None:
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
