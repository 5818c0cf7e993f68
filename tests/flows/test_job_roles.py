"""Job roles and their assignments go both ways."""

from __future__ import annotations

import pytest

from tests.edits import change, differences, everything, hr, linked, reasons, there, writes
from tests.sides import Side

from .plain_runs import run


@pytest.mark.loaded
def test_job_roles_go_both_ways_and_removals_are_found(side: Side) -> None:
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
    run(side, "job_roles_from_hr")
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
    run(side, "job_roles_to_hr", options={"sweep": True})
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


def test_an_assignment_waits_for_its_role(side: Side) -> None:
    run(side, "users_to_hr")
    from flows.job_roles_to_hr import SPEC

    waiting = side.run(SPEC)
    assert waiting.outcomes["created"] == 0
    assert {r[2] for r in waiting.reasons} >= {"waits until this job role is in HR"}
    run(side, "job_roles_to_hr")
    assert side.rows("assignments"), "roles before assignments"
