"""Who is linked with whom, by the numbers and by a person."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tests.sides import Side
from tests.to_hr import AWARDS, USERS, both, hr_sql, sandbox_sql


@pytest.fixture
def dialect_name() -> str:
    """What is tested here does not depend on how the tenant speaks."""
    return "standard"


def test_external_id_is_hr_s_own_key_first_and_then_the_number(side: Side) -> None:
    with side.sandbox.engine.connect() as connection:
        one, two = connection.exec_driver_sql(
            "SELECT ID, ExternalID FROM \"User\" WHERE Status = 'Enabled' AND ExternalID IS "
            "NOT NULL ORDER BY ID LIMIT 2"
        ).all()
    hr_sql(
        side,
        "INSERT INTO employees (employee_id, employee_number, surname) VALUES (?, NULL, 'a'), "
        "('H2', ?, 'b')",
        one[1],
        two[1],
    )
    side.users()
    by_key = {r["employee_id"]: r["accessplanit_id"] for r in side.rows("employees")}
    assert (by_key[one[1]], by_key["H2"]) == (one[0], two[0])


def test_an_ambiguity_is_held_until_a_person_sets_the_link(side: Side) -> None:
    key = side.change_one("Email", "shared@x.example")
    sandbox_sql(side, 'UPDATE "User" SET ExternalID = NULL WHERE ID = ?', key)
    hr_sql(
        side,
        "INSERT INTO employees (employee_id, surname, email) VALUES ('H1', 'a', "
        "'shared@x.example'), ('H2', 'b', 'SHARED@x.example')",
    )
    both(side)
    (held,) = side.store.quarantined(USERS.name)
    assert (held["key"], held["stage"], held["reason"]) == (
        key,
        "held",
        "may be one of several employees, by id, external_id or email",
    )
    now = datetime.now(UTC)
    side.store.set_link("employees", key, "H2", now)
    side.store.look_again([USERS, AWARDS], key, "H2", "linked by hand", now)
    side.users()
    assert {r["employee_id"]: r["accessplanit_id"] for r in side.rows("employees")}["H2"] == key
    for _ in range(3):
        side.awards()
    theirs = {r["employee_id"] for r in side.rows("awards") if r["accessplanit_user_id"] == key}
    assert theirs == {"H2"}
    side.store.set_link("employees", key, "H1", now)
    side.store.look_again([USERS, AWARDS], key, "H1", "linked by hand", now)
    both(side)
    assert {r["employee_id"] for r in side.rows("awards") if r["accessplanit_user_id"] == key} == {
        "H1"
    }, "the awards move along"
