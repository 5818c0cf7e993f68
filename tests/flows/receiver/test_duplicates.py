"""A delivery that comes twice, and one that only looks like it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from connectors.webhooks import Arrival

from .desks import HEADERS, Desk, hear


@pytest.mark.parametrize("headers", [{**HEADERS, "X-Webhook-Id": "77"}, HEADERS])
def test_a_delivery_that_can_be_told_apart_counts_once_for_ever(
    desk: Desk, headers: dict[str, str]
) -> None:
    body = {"ID": "jasmit", "DateUpdated": "2026-11-24T10:00:00"}
    assert [desk.send("user", body, headers=headers).json()["status"] for _ in range(3)] == [
        "accepted",
        "duplicate",
        "duplicate",
    ]
    hear(desk)
    assert desk.send("user", body, headers=headers).json()["status"] == "duplicate"
    assert desk.store.hints("users_to_hr") == ()
    other = {**body, "DateUpdated": "2026-11-24T10:00:01"}
    assert (
        desk.send("user", other, headers={**headers, "X-Webhook-Id": "78"}).json()["status"]
        == "accepted"
    )


def test_two_changes_that_look_alike_are_both_looked_at(desk: Desk) -> None:
    """A body with nothing but an ID says the same of each change: only while the first waits is the
    second none."""
    assert [desk.send("user", {"ID": "jasmit"}).json()["status"] for _ in range(2)] == [
        "accepted",
        "duplicate",
    ]
    hear(desk)
    assert desk.send("user", {"ID": "jasmit"}).json()["status"] == "accepted"
    assert len(desk.store.hints("users_to_hr")) == 1


def test_duplicates_that_come_at_once_are_counted(desk: Desk) -> None:
    arrival = Arrival("user", "POST", (("User", "jasmit"),), "the same", True)
    assert desk.store.accept(
        [arrival] * 3, {("user", "User"): ["users_to_hr"]}, datetime.now(UTC)
    ) == [True, False, False]
    assert desk.store.accept([arrival], {}, datetime.now(UTC)) == [False]
    assert desk.store.figures(datetime.now(UTC) - timedelta(hours=1)).received == {"user": (1, 3)}


def test_a_hint_that_comes_while_a_run_is_at_work_waits_for_the_next(desk: Desk) -> None:
    desk.send("user", {"ID": "jasmit"}, headers={**HEADERS, "X-Webhook-Id": "1"})
    taken = desk.store.hints("users_to_hr")
    desk.send("user", {"ID": "jasmit"}, "DELETE", headers={**HEADERS, "X-Webhook-Id": "2"})
    with desk.store.engine.begin() as connection:
        desk.store.hear(connection, "run", "users_to_hr", taken, datetime.now(UTC))
    (left,) = desk.store.hints("users_to_hr")
    assert (left.key, left.deleted) == ("jasmit", True)
