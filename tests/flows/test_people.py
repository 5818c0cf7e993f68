"""People go both ways: new ones, changes, leavers, and rows that cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from flows.catalogue import PROCESSES
from tests.edits import change, employee, everything, hr, linked, one, reasons, there, writes
from tests.sides import Side

from . import prefect_runs
from .plain_runs import run


@pytest.mark.loaded
def test_new_employees_become_users_and_changes_and_leavers_follow(side: Side) -> None:
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
    outcomes = run(side, "users_from_hr")
    assert [outcomes[name] for name in ("updated", "created", "closed")] == [1, 2, 1]
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
    assert why["N903"] == "held: status has a value that is not in the mapping of status"
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
    run(side, "users_from_hr")
    assert one(side, second_user)["Status"] == "Enabled", "somebody who came back"
    assert "N901" not in reasons(side, "users_from_hr")
    told = side.store.story(made[0]["ID"])
    assert [(e["kind"], e["outcome"]) for e in told if e["process"] == "users_from_hr"] == [
        ("create", "created")
    ]


@pytest.mark.loaded
def test_an_employee_who_is_gone_is_reported_or_disabled(side: Side) -> None:
    (one_, user), (other, other_user) = linked(side, 0), linked(side, 1)
    hr(side, "DELETE FROM employees WHERE employee_id = ?", one_)
    run(side, "users_from_hr", options={"sweep": True})
    assert one(side, user)["Status"] == "Enabled"
    assert reasons(side, "users_from_hr")[one_].startswith(
        "gone: (record) is no longer in HR; accessplanit still has the row"
    )
    hr(side, "DELETE FROM employees WHERE employee_id = ?", other)
    run(side, "users_from_hr", {"gone": "close"}, {"sweep": True})
    assert {one(side, u)["Status"] for u in (user, other_user)} == {"Inactive"}


@pytest.mark.loaded
def test_what_cannot_be_read_in_accessplanit_is_corrected_from_hr(side: Side) -> None:
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


@pytest.mark.loaded
def test_a_row_that_is_put_back_as_it_was_leaves_the_quarantine(side: Side) -> None:
    key, _ = linked(side)
    process = PROCESSES["users_from_hr"].scoped()
    (before,) = [row["surname"] for row in side.rows("employees") if row["employee_id"] == key]
    for surname, waiting in (("a\x00b", [key]), (before, [])):
        hr(side, "UPDATE employees SET surname = ? WHERE employee_id = ?", surname, key)
        side.run(process)
        assert [k for k in side.store.open_keys("users_from_hr", "rejected") if k == key] == waiting


@pytest.mark.prefect
@pytest.mark.loaded
def test_with_upsert_a_new_user_is_sent_as_one(
    configured: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = configured
    monkeypatch.setenv("HRSYNC_DIALECT__UPSERT", side.sandbox.tenant.upsert_parameter)
    asked: list[dict[str, str]] = []
    answer = side.sandbox.answer

    def listening(method: str, path: list[str], query: dict[str, str], *rest: Any) -> Any:
        asked.extend([query] if method == "POST" else [])
        return answer(method, path, query, *rest)

    monkeypatch.setattr(side.sandbox, "answer", listening)
    employee(side, "N900")
    prefect_runs.run("users_from_hr")
    assert asked == [{side.sandbox.tenant.upsert_parameter: "true"}]
    assert len(there(side, 'SELECT 1 FROM "User" WHERE "ExternalID" = \'N900\'')) == 1
