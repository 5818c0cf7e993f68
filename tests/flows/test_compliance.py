"""Role compliance as it is published."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from flows._run import Order
from flows.catalogue import PROCESSES
from tests.edits import differences, everything, hr, reasons, there
from tests.sides import Side

from .prefect_runs import run

pytestmark = pytest.mark.prefect


@pytest.mark.loaded
def test_compliance_says_who_lacks_what_as_of_a_day(configured: Side) -> None:
    side = configured
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


@pytest.mark.loaded
def test_law_1_compliance_of_people_in_doubt_stays_as_it_was_published(configured: Side) -> None:
    side = configured
    chosen = PROCESSES["role_compliance"]

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
