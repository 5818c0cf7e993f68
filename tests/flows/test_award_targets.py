"""Award targets go both ways and become awards."""

from __future__ import annotations

import pytest

from tests.edits import (
    change,
    differences,
    employee,
    everything,
    hr,
    linked,
    reasons,
    there,
    writes,
)
from tests.sides import Side

from .plain_runs import run


@pytest.mark.loaded
def test_targets_go_both_ways_and_become_awards(side: Side) -> None:
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
    run(side, "award_targets_from_hr")
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
    run(side, "awards_to_hr")
    run(side, "award_targets_to_hr")
    run(side, "award_targets_to_hr", options={"sweep": True})
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
