"""Whose value counts, who is who, and which rows are quarantined."""

from __future__ import annotations

import pytest

from flows import awards_to_hr
from reconciliation.history import classes as c
from tests.sides import Side
from tests.to_hr import hr_sql, sandbox_sql

from .plants import PLAIN, ask, verdicts


@PLAIN
def test_people_that_nobody_can_tell_apart_are_ambiguous_and_so_is_the_row(side: Side) -> None:
    with side.sandbox.engine.begin() as connection:
        one, two = connection.exec_driver_sql(
            "SELECT ID FROM \"User\" WHERE Status = 'Enabled' AND ExternalID IS NULL ORDER BY "
            "ID LIMIT 2"
        ).scalars()
        connection.exec_driver_sql(
            'UPDATE "User" SET Email = ? WHERE ID IN (?, ?)', ("shared@example.org", one, two)
        )
    hr_sql(
        side,
        "INSERT INTO employees (employee_id, surname, email) VALUES ('E-SHARED', 'Doe', "
        "'shared@example.org')",
    )
    side.users()
    found = verdicts(ask(side, "users_to_hr"))
    assert found == {
        one: (c.AMBIGUOUS, "several users lead to the same employee"),
        two: (c.AMBIGUOUS, "several users lead to the same employee"),
        "E-SHARED": (c.AMBIGUOUS, "several records may be this row"),
    }


@PLAIN
@pytest.mark.loaded
def test_a_value_of_hr_that_counts_is_no_fault_of_hr(side: Side) -> None:
    row = side.rows("employees")[4]
    hr_sql(
        side,
        "UPDATE employees SET phone = '+44 1', written_at = '2030-01-01' WHERE employee_id = ?",
        row["employee_id"],
    )
    hr_sql(
        side,
        "UPDATE employees SET full_address = 'elsewhere' WHERE employee_id = ?",
        side.rows("employees")[5]["employee_id"],
    )
    found = ask(side, "users_to_hr")
    assert verdicts(found) == {
        row["employee_id"]: (c.DIFFERS, "HR's value counts"),
        side.rows("employees")[5]["employee_id"]: (c.DIFFERS, "edited in HR"),
    }
    (phone,) = [d for d in found.findings.differences.to_dict("records") if d["field"] == "phone"]
    assert (phone["source"], phone["target"], phone["ledger"]) == (
        row["phone"],
        "+44 1",
        row["phone"],
    )
    (changed,) = found.findings.faults[found.findings.faults["key"] == row["employee_id"]].to_dict(
        "records"
    )
    assert str(changed["changed_by"]).startswith("users_to_hr "), "who wrote it last"


@PLAIN
@pytest.mark.loaded
def test_no_value_is_a_difference_only_where_somebody_would_write_one(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = next(r for r in side.rows("employees") if r["employee_number"] is None)
    hr_sql(
        side,
        "UPDATE employees SET employee_number = 'N1' WHERE employee_id = ?",
        row["employee_id"],
    )
    assert verdicts(ask(side, "users_to_hr")) == {
        row["employee_id"]: (c.DIFFERS, "HR's value counts")
    }
    award = next(r for r in side.rows("awards") if r["target_date"] is None)
    hr_sql(
        side,
        "UPDATE awards SET target_date = '2030-01-01' WHERE award_record_id = ?",
        award["award_record_id"],
    )
    assert verdicts(ask(side)) == {award["award_record_id"]: (c.DIFFERS, "edited in HR")}
    kept = tuple(
        f.model_copy(update={"clears": f.target != "target_date"}) for f in awards_to_hr.SPEC.fields
    )
    monkeypatch.setattr(awards_to_hr, "SPEC", awards_to_hr.SPEC.model_copy(update={"fields": kept}))
    assert verdicts(ask(side)) == {}, "by this mapping no value erases nothing"


@PLAIN
@pytest.mark.loaded
def test_what_hr_refuses_and_what_a_person_has_discarded_is_quarantined(side: Side) -> None:
    keys = [r["award_record_id"] for r in side.rows("awards")][:2]
    sandbox_sql(
        side,
        'UPDATE "UserAward" SET "Passed" = \'never\', "DateUpdated" = ? WHERE "ID" IN (?, ?)',
        "2030-01-01T00:00:00.000",
        *keys,
    )
    side.awards()
    entry = next(
        e["id"]
        for e in side.store.quarantined("awards_to_hr", 2000)
        if e["key"] == keys[0] and e["stage"] == "rejected"
    )
    side.store.discard(entry, "a test")
    found = verdicts(ask(side))
    assert found[keys[1]] == (c.QUARANTINED, "completed_on is not an ISO date")
    assert found[keys[0]][0] == c.QUARANTINED


@PLAIN
@pytest.mark.loaded
def test_what_is_unreadable_now_still_stands_beside_the_others_of_its_group(side: Side) -> None:
    """The record that superseded another one was read well once: that it cannot be read now brings
    nothing back to life."""
    old, new = next(
        (r["award_record_id"], r["superseded_by"])
        for r in side.rows("awards")
        if r["state"] == "superseded"
    )
    sandbox_sql(side, 'UPDATE "UserAward" SET "Passed" = \'never\' WHERE "ID" = ?', new)
    assert verdicts(ask(side)) == {new: (c.QUARANTINED, "completed_on is not an ISO date")}, old
