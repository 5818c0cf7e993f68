"""Somebody is known by an ID in any spelling (law 12)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flows import users_from_hr, users_to_hr
from flows._run import Order
from tests.edits import change, employee, linked, new_user, there
from tests.sides import Side
from tests.stops import SWEEP


@pytest.fixture
def dialect_name() -> str:
    """With dates of change: without them a conflict waits for a person."""
    return "standard"


def test_law_12_a_user_is_known_by_the_id_in_any_spelling(make_side: Callable[..., Side]) -> None:
    side = make_side(24, loaded=True)
    key, user_id = linked(side)
    change(
        side,
        'UPDATE "User" SET "ID" = ?, "Town" = \'Kendal\', "DateUpdated" = NOW WHERE "ID" = ?',
        user_id.upper(),
        user_id,
    )
    for order in (Order(), SWEEP):
        side.run(users_to_hr.SPEC, order)
        (row,) = (row for row in side.rows("employees") if row["employee_id"] == key)
        assert (row["town"], row["status"]) == ("Kendal", "Enabled")
    assert side.store.links("employees", target_keys=[key])["source_key"].tolist() == [user_id]


SPELT = [
    ("ExternalID", "aB12", "Ab12"),
    ("Email", "Jane.Doe@X.example", "jane.doe@x.Example"),
    ("Email", "zoe\u0308@x.example ", "zo\u00eb@x.example"),
]


@pytest.mark.parametrize(("column", "there_", "here"), SPELT)
def test_law_12_who_is_in_accessplanit_in_another_spelling_is_not_made_again(
    make_side: Callable[..., Side], column: str, there_: str, here: str
) -> None:
    side = make_side(24, loaded=True)
    new_user(side, "qx7known", **{column: there_})
    employee(
        side,
        "ROW1",
        **(
            {"employee_number": here}
            if column == "ExternalID"
            else {"employee_number": None, "email": here}
        ),
    )
    side.run(users_from_hr.SPEC)
    assert [
        row["ID"]
        for row in there(side, 'SELECT "ID" FROM "User" WHERE "Surname" IN (\'Ashdown\', \'Bie\')')
    ] == ["qx7known"]
    assert side.store.links("employees", target_keys=["ROW1"])["source_key"].tolist() == [
        "qx7known"
    ]
