"""Law 11: a fault of the system is never a fault of the row."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from connectors.accessplanit.refusals import refusal
from connectors.store import schema as t
from flows import users_from_hr, users_to_hr
from flows._run import Order
from reconciliation.errors import CredentialsRefused, HrsyncError, Misconfigured, TargetFailed
from sandbox.faults import Faults

from .conftest import Side

BODY = {"Email": "jo.lee@example.org", "Surname": "Lee"}
SYSTEM: list[tuple[int, type[HrsyncError]]] = [
    (302, TargetFailed),
    (403, CredentialsRefused),
    (405, Misconfigured),
    *((status, TargetFailed) for status in (408, 425, 429, 500, 501, 502, 503, 504)),
]
SAID: list[tuple[Any, str]] = [
    (
        {"errors": [{"field": "Email", "message": "is in use by Peter Bridge (pebrid)"}]},
        "accessplanit refused Email (400): already in use",
    ),
    ({"errors": {"Email": ["already exists"]}}, "accessplanit refused Email (400): already in use"),
    ({"errors": ["Surname is mandatory"]}, "accessplanit refused Surname (400): mandatory"),
    ({"errors": {"Peter Bridge": "is not valid"}}, "accessplanit refused it (400): not valid"),
    (
        {"error": {"code": "General", "message": "Email is too long"}},
        "accessplanit refused Email (400): too long",
    ),
    ({"message": "no such company"}, "accessplanit refused it (400): not found"),
    (["Bridge"], "accessplanit refused it (400): for another reason"),
    ({}, "accessplanit refused it (400): for another reason"),
]


def answered(status: int, method: str = "PUT", **content: Any) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request(method, "http://tenant.example"), **content)


@pytest.mark.parametrize(("status", "error"), SYSTEM)
def test_a_status_of_the_system_ends_the_run(status: int, error: type[HrsyncError]) -> None:
    with pytest.raises(error, match=str(status)):
        refusal(answered(status, json={"errors": ["is not valid"]}), "User", BODY)


@pytest.mark.parametrize("status", [400, 404, 409, 412, 422])
def test_a_status_of_the_row_is_its_own(status: int) -> None:
    assert str(status) in str(refusal(answered(status), "User", BODY))


@pytest.mark.parametrize(("said", "reason"), SAID)
def test_law_10_a_refusal_is_told_by_its_kind_and_in_our_words(said: Any, reason: str) -> None:
    assert refusal(answered(400, json=said), "User", BODY) == reason


def test_what_is_not_the_api_s_answer_is_neither_done_nor_refused() -> None:
    for content in ({"html": "<html>Please sign in</html>"}, {"text": "OK"}, {"json": "OK"}):
        with pytest.raises(TargetFailed, match="not API v2"):
            refusal(answered(200, **content), "User", BODY)
    assert refusal(answered(204), "User", BODY) is None
    assert refusal(answered(200, json={"ID": "U1", "errors": []}), "User", BODY) is None
    assert refusal(
        answered(200, json={"errors": [{"field": "Email", "message": "is in use"}]}), "User", BODY
    )


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
    for hours in range(10):
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
