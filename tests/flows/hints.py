"""Deliveries that name records, without a receiver."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from connectors.webhooks import Arrival
from flows import (
    award_targets_to_hr,
    awards_to_hr,
    course_requests_to_hr,
    delegates_to_hr,
    job_roles_to_hr,
    users_to_hr,
)
from flows._run import Order
from flows.receiver.subscriptions import SPECS
from reconciliation.hints import feeds
from reconciliation.spec import ProcessSpec
from tests.sides import Side

AUTH = {"Authorization": "Bearer sandbox-key"}
HINTED = Order(hinted=True)
TO_HR = [
    users_to_hr.SPEC,
    job_roles_to_hr.ROLES,
    job_roles_to_hr.SPEC,
    awards_to_hr.SPEC,
    award_targets_to_hr.SPEC,
    delegates_to_hr.SPEC,
    course_requests_to_hr.SPEC,
]


def say(side: Side, feed: str, *keys: str | None, deleted: bool = False) -> None:
    """As if a delivery had named these records."""
    arrival = Arrival(
        "test",
        "DELETE" if deleted else "PUT",
        tuple((feed, key) for key in keys),
        f"{feed}{keys}{time.time_ns()}",
        True,
        deleted,
    )
    concerned = {("test", feed): [name for name, spec in SPECS.items() if feed in feeds(spec)]}
    side.store.accept([arrival], concerned, datetime.now(UTC))


def loaded(side: Side, *specs: ProcessSpec) -> None:
    for spec in specs or TO_HR:
        side.run(spec)


def users(side: Side, number: int) -> list[str]:
    rows = [r for r in side.rows("employees") if r["status"] == "Enabled" and r["accessplanit_id"]]
    return [str(r["accessplanit_id"]) for r in rows][:number]
