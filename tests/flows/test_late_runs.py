"""Two runs at once, and runs that come too late."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from flows._run import Order
from reconciliation.errors import Skipped
from tests.sides import Side
from tests.to_hr import STRICT, USERS, stopped


@pytest.fixture
def dialect_name() -> str:
    """What is tested here does not depend on how the tenant speaks."""
    return "standard"


def test_two_runs_of_a_process_do_not_interleave(side: Side) -> None:
    side.store.lease_seconds = 1.5
    with side.store.lease(USERS.name, "somebody else") as mine:
        assert mine
        with pytest.raises(Skipped, match="another run of this process is at work"):
            side.users()
        assert side.rows("employees") == []
        assert side.users(Order(mode="plan")).outcomes["created"] > 0, "a preview disturbs nobody"
    assert side.users().outcomes["created"] > 0
    assert [r["outcome"] for r in side.store.runs(3)] == ["completed", "completed", "skipped"]


def test_an_approved_plan_waits_for_a_run_that_is_at_work(side: Side) -> None:
    digest = stopped(side)
    lease = side.store.lease(USERS.name, "somebody else")
    lease.__enter__()
    threading.Timer(0.7, lambda: lease.__exit__(None, None, None)).start()
    assert side.run(STRICT, Order(approve=digest)).outcomes["updated"] > 50


def test_of_late_runs_one_is_useful_and_the_others_do_nothing(side: Side) -> None:
    due = [datetime.now(UTC) - timedelta(minutes=5 * n) for n in range(12, 0, -1)]
    assert side.users(Order(scheduled=due[0])).outcomes["created"] > 0
    side.sandbox.requests.clear()
    for moment in due[1:]:
        with pytest.raises(Skipped, match="has done its work"):
            side.users(Order(scheduled=moment))
    assert sum(side.sandbox.requests.values()) == 0
    assert side.users(Order(scheduled=datetime.now(UTC))).mode == "apply", (
        "the next one on time works"
    )
    assert side.users().mode == "apply", "by hand always"
    assert side.users(Order(scheduled=due[0], sweep=True)).mode == "sweep", (
        "no short run covers a sweep"
    )
