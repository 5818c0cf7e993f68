"""A hint is heard when its record was read after it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.webhooks import Arrival
from flows import awards_to_hr, users_to_hr
from flows._run import Order, plainly, run_process
from flows.catalogue import PROCESSES
from tests.edits import change, linked
from tests.sides import Side
from tests.stops import SWEEP, stops

from .hints import say

TOLD = {("s", "User"): ["users_to_hr"], ("s", "UserAward"): ["awards_to_hr"]}


def tell(
    side: Side, feed: str, key: str, *, deleted: bool = False, identity: str = "same words"
) -> bool:
    """A delivery whose words alone do not tell which change it is of; whether it counted as new."""
    method = "DELETE" if deleted else "PUT"
    (new,) = side.store.accept(
        [Arrival("s", method, ((feed, key),), identity, False, deleted)], TOLD, datetime.now(UTC)
    )
    return new


@pytest.mark.loaded
def test_what_is_said_while_a_run_reads_is_a_hint_of_its_own(side: Side) -> None:
    _, user_id = linked(side)
    assert tell(side, "User", user_id)
    assert not tell(side, "User", user_id), "nobody has read the record since"
    world = side.world(users_to_hr.SPEC)
    read, came = world.source.read, []

    def reading(*args: Any) -> Any:
        found = read(*args)
        came.append(tell(side, "User", user_id))
        return found

    world.source.read = reading  # type: ignore[method-assign]
    run_process(users_to_hr.SPEC, world, Order(hinted=True), call=plainly)
    assert came[0]
    assert [hint.key for hint in side.store.hints("users_to_hr")] == [user_id]
    side.run(users_to_hr.SPEC, Order(hinted=True))
    assert side.store.hints("users_to_hr") == ()


@pytest.mark.loaded
def test_a_preview_takes_no_hint(side: Side) -> None:
    _, user_id = linked(side)
    tell(side, "User", user_id)
    side.run(users_to_hr.SPEC, Order(mode="plan", hinted=True))
    assert not tell(side, "User", user_id), "still the hint that waits"


@pytest.mark.usefixtures("many_parts")
@pytest.mark.parametrize("change_", ["deleted", "changed"])
def test_a_sweep_that_is_taken_up_again_asks_anew_for_what_hints_name(
    make_side: Callable[..., Side], change_: str
) -> None:
    side = make_side(24, loaded=True)
    stops(side, awards_to_hr.SPEC, SWEEP, 42)
    row = next(r for r in side.rows("awards") if r["state"] == "achieved")
    key = row["award_record_id"]
    if change_ == "deleted":
        change(side, 'DELETE FROM "UserAward" WHERE "ID" = ?', key)
    else:
        change(
            side,
            'UPDATE "UserAward" SET "AwardLabel" = \'Other\', "DateUpdated" = NOW WHERE "ID" = ?',
            key,
        )
    tell(side, "UserAward", key, deleted=change_ == "deleted")
    report = side.run(awards_to_hr.SPEC, Order(hinted=True))
    assert report.sweep["parts taken up"] > 0
    after = next(r for r in side.rows("awards") if r["award_record_id"] == key)
    assert (after["state"] == "revoked", after["award_label"] == "Other") == (
        change_ == "deleted",
        change_ != "deleted",
    )
    assert side.store.hints("awards_to_hr") == ()


@pytest.mark.prefect
def test_a_flow_of_two_processes_goes_on_when_only_the_second_has_a_hint(configured: Side) -> None:
    side = configured
    for name in ("users_to_hr", "job_roles_to_hr"):
        assert PROCESSES[name].flow(return_state=True).is_completed()
    row = side.rows("assignments")[0]
    say(side, "UserUserType", str(row["assignment_id"]))
    state = PROCESSES["job_roles_to_hr"].flow(run={"hinted": True}, return_state=True)
    assert state.is_completed()
    assert side.store.waiting_hints() == {}
