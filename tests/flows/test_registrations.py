"""Registrations follow whatever becomes of them."""

from __future__ import annotations

import pytest

from tests.edits import change, differences, reasons, there
from tests.sides import Side

from .plain_runs import run


@pytest.mark.loaded
def test_registrations_follow_whatever_becomes_of_them(side: Side) -> None:
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
    outcomes = run(side, "delegates_to_hr")
    assert (outcomes["updated"], outcomes["closed"]) == (1, 1)
    found = {r["registration_id"]: r["status"] for r in side.rows("registrations")}
    assert [found[k] for k in keys] == ["Cancelled", "Transferred", "Booked", "Booked"]
    assert (
        reasons(side, "delegates_to_hr")[keys[2]]
        == "rejected: status is not a delegate status of the importer's list"
    )
    run(side, "delegates_to_hr", options={"sweep": True})
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
    run(side, "users_to_hr")
    run(side, "delegates_to_hr")
    assert waiting[0]["key"] in {r["registration_id"] for r in side.rows("registrations")}, (
        "it waited for the person"
    )
