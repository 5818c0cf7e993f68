"""Deliveries on the command line: listed, replayed, published."""

from __future__ import annotations

import pytest

from flows.catalogue import PROCESSES
from tests.commands import hrsync
from tests.flows.hints import say, users
from tests.flows.prefect_runs import artifacts
from tests.sides import Side


@pytest.mark.prefect
def test_deliveries_are_listed_replayed_and_published(configured: Side) -> None:
    side = configured
    assert PROCESSES["users_to_hr"].flow(return_state=True).is_completed()
    key = users(side, 1)[0]
    say(side, "User", key)
    listed = hrsync("webhooks", "list")
    assert "waits" in listed
    assert key not in listed, "whom it names is not shown"
    state = PROCESSES["users_to_hr"].flow(run={"hinted": True}, return_state=True)
    assert "1 row read" in str(state.message)
    text = artifacts()["webhooks"]
    assert "| test | 1 | 0 |" in text
    assert "median" in text
    assert key not in text
    assert "waits" not in hrsync("webhooks", "list")
    assert "Queued to be read again: 1 record." in hrsync("webhooks", "replay", "1")
    assert "waits" in hrsync("webhooks", "list", "--waiting")
    skipped = PROCESSES["awards_to_hr"].flow(run={"hinted": True}, return_state=True)
    assert skipped.name == "Skipped"
    for arguments, says in (((), "No deliveries are chosen"), (("99",), "No such delivery")):
        assert says in hrsync("webhooks", "replay", *arguments, code=1)
