"""What ``hrsync up`` is at work on, and when everything has completed."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import UTC, datetime
from sqlite3 import connect

from flows.catalogue import FLOWS

from .quick_start import QuickStart

LONGEST = 120.0
"""Seconds after a start within which every flow must have completed."""


def completes(quick: QuickStart) -> float:
    """Waits until every flow has completed since the start; after how many seconds that was."""
    began = time.monotonic()
    told = quick.up(LONGEST)
    assert "Not completed" not in told, told
    assert told.count("Completed") == len(FLOWS), told
    return time.monotonic() - began


def nothing_is_held(quick: QuickStart) -> None:
    """No slot of a deployment, no lease of ours, and no run that is said to be at work, once what
    was due has ended."""
    deadline = time.monotonic() + 180
    while left := at_work(quick):
        assert time.monotonic() < deadline, left
        time.sleep(1)


def at_work(quick: QuickStart) -> list[str]:
    limits = quick.ask("POST", "/v2/concurrency_limits/filter", {})
    slots = [f"slot of {limit['name']}" for limit in limits if limit["active_slots"]]
    states = {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}}
    runs = [
        f"run {run['name']}"
        for run in quick.ask("POST", "/flow_runs/filter", {"flow_runs": {"state": states}})
    ]
    now = datetime.now(UTC).replace(tzinfo=None).isoformat(" ")
    with closing(connect(f"file:{quick.home / 'store.db'}?mode=ro", uri=True)) as store:
        leases = [
            f"lease of {name}"
            for (name,) in store.execute(
                "SELECT process FROM lease WHERE run <> '' AND until > ?", (now,)
            )
        ]
    return slots + runs + leases
