"""Writes that accessplanit does not answer (law 11)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from connectors.store import schema as t
from connectors.store.quarantine import REFUSALS
from flows import users_from_hr, users_to_hr
from flows._run import Order
from reconciliation.errors import CredentialsRefused, TargetFailed
from sandbox.faults import Faults
from tests.sides import Side


def moved(side: Side, count: int = 3) -> list[str]:
    """Lets ``count`` employees move house in HR; returns their user IDs."""
    side.users()
    side.run(users_from_hr.SPEC)
    with side.target.engine.begin() as connection:
        query = (
            "SELECT employee_id, accessplanit_id FROM employees WHERE status = 'Enabled' AND "
            "accessplanit_id IS NOT NULL ORDER BY 1"
        )
        found = connection.exec_driver_sql(query).all()[:count]
        for employee, _ in found:
            connection.exec_driver_sql(
                "UPDATE employees SET town = 'Kendal' WHERE employee_id = ?", (employee,)
            )
    return [str(user) for _, user in found]


def towns(side: Side, users: list[str]) -> list[str]:
    with side.sandbox.engine.connect() as connection:
        return [
            connection.exec_driver_sql(
                'SELECT "Town" FROM "User" WHERE "ID" = ?', (user,)
            ).scalar_one()
            for user in users
        ]


@pytest.mark.parametrize(
    ("kind", "done"),
    [("403", False), ("503", False), ("504", True), ("html", False), ("html", True)],
)
def test_law_11_an_outage_of_writes_uses_up_no_attempt_and_everything_is_loaded_after_it(
    make_side: Callable[..., Side], dialect_name: str, kind: str, done: bool
) -> None:
    if dialect_name != "standard":
        pytest.skip("one tenant is enough")
    side = make_side(30)
    users = moved(side)
    side.sandbox.faults = Faults(writes=kind, done=done)
    now = datetime.now(UTC)
    # More often than a row may be refused; that the kinds of outage are alike takes fewer times.
    for hours in range(REFUSALS + 2 if kind == "503" else 2):
        with pytest.raises((TargetFailed, CredentialsRefused), match="accessplanit"):
            side.run(users_from_hr.SPEC, now=now + timedelta(hours=hours), attempts=1)
        if done:
            break
    assert not side.store.quarantined(users_from_hr.SPEC.name)
    side.sandbox.faults = Faults()
    side.run(users_from_hr.SPEC, now=now + timedelta(hours=11))
    assert set(towns(side, users)) == {"Kendal"}
    side.run(users_to_hr.SPEC, Order(sweep=True), now=now + timedelta(hours=12))
    assert {row["town"] for row in side.rows("employees") if row["accessplanit_id"] in users} == {
        "Kendal"
    }, "HR's edit stands"


@pytest.mark.parametrize(
    ("fault", "left"),
    [(Faults(writes="503", spared=2), 2), (Faults(writes="504", done=True, spared=2), 1)],
)
def test_law_11_every_write_is_receipted_once_whether_or_not_it_was_answered(
    make_side: Callable[..., Side], dialect_name: str, fault: Faults, left: int
) -> None:
    if dialect_name != "standard":
        pytest.skip("one tenant is enough")
    side = make_side(30)
    users = moved(side, 4)
    side.sandbox.faults = fault
    with pytest.raises(TargetFailed, match="50"):
        side.run(users_from_hr.SPEC, attempts=1, concurrency=1)
    assert updates(side, users) == 2
    side.sandbox.faults = Faults()
    assert side.run(users_from_hr.SPEC).outcomes["updated"] == left
    assert updates(side, users) == 4
    assert set(towns(side, users)) == {"Kendal"}


def updates(side: Side, users: list[str]) -> int:
    e = t.ledger.c
    query = sa.select(sa.func.count()).where(
        e.key.in_(users), e.outcome == "updated", e.fields.contains("town")
    )
    with side.store.engine.connect() as connection:
        return int(connection.execute(query).scalar_one())
