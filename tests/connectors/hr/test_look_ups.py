"""A look-up finds whatever the match accepts (law 12)."""

from __future__ import annotations

import pytest

from connectors.hr.sql import SqlHr
from reconciliation.identifiers import identifier

SPELLED = [
    "Öz@x.example",
    "öz@x.example",
    " OZ@x.example\u00a0",
    "o\u0308z@X.example",
    "\u200böz@x.example",
    "Straße",
    "STRASSE",
]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_law_12_a_look_up_finds_whatever_the_match_accepts(
    database: str, request: pytest.FixtureRequest
) -> None:
    url = "sqlite://" if database == "sqlite" else request.getfixturevalue("postgresql")()
    hr = SqlHr(url)
    with hr.engine.begin() as connection:
        for n, text in enumerate(SPELLED):
            marks = ", ".join(["?" if database == "sqlite" else "%s"] * 3)
            values = (f" K{n}" if n % 2 else f"k{n}", text, "x")
            connection.exec_driver_sql(
                f"INSERT INTO employees (employee_id, email, surname) VALUES ({marks})", values
            )
    for text in SPELLED:
        found = hr.read("employees", {"email": "text"}, {"email": [text]}).frame["email"]
        assert sorted(found) == sorted(
            other for other in SPELLED if identifier(other) == identifier(text)
        )
    assert hr.read("employees", {}, {"employee_id": ["k1", "K2"]}).frame[
        "employee_id"
    ].tolist() == [" K1", "k2"]
    hr.close()
