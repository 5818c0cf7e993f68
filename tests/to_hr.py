"""Runs to HR over one side, and what its databases and its store hold."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from flows import awards_to_hr, users_to_hr
from flows._run import Order
from reconciliation.errors import UnsafePlan
from reconciliation.spec import Guard, Limit

from .sides import Side

USERS, AWARDS = users_to_hr.SPEC, awards_to_hr.SPEC


def both(side: Side, order: Order | None = None) -> None:
    side.users(order)
    side.awards(order)


def sandbox_sql(side: Side, statement: str, *parameters: Any) -> None:
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(statement, parameters)


def hr_sql(side: Side, statement: str, *parameters: Any) -> None:
    with side.target.engine.begin() as connection:
        connection.exec_driver_sql(statement, parameters)


def rows(side: Side, table: sa.Table) -> int:
    with side.store.engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def reasons(side: Side, key: str) -> list[str]:
    return [e["reason"] for e in side.store.story(key)]


STRICT = USERS.model_copy(update={"guard": Guard(update=Limit(percent=10, absolute=5))})


def stopped(side: Side) -> str:
    """A plan past its guard."""
    side.users()
    later = (side.sandbox.now() + timedelta(seconds=1)).isoformat(timespec="milliseconds")
    sandbox_sql(side, "UPDATE \"User\" SET MainCompanyName = 'Renamed', DateUpdated = ?", later)
    with pytest.raises(UnsafePlan) as caught:
        side.run(STRICT)
    assert f"hrsync apply {caught.value.digest}" in str(caught.value)
    return caught.value.digest
