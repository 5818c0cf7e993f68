"""A hint is heard when its record was read after it; a replay reads the named records as the run
did that left them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.webhooks import Arrival
from flows import awards_to_hr, users_to_hr
from flows._run import Order, plainly, run_process
from flows.catalogue import PROCESSES
from reconciliation.errors import Misconfigured
from reconciliation.frame import of
from reconciliation.snapshot import REJECTED, Snapshot, renewed

from .conftest import Side
from .test_cli import hrsync
from .test_laws_two_sides import SWEEP, stops
from .test_two_ways import change, everything, linked, one, there

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


def test_what_is_said_while_a_run_reads_is_a_hint_of_its_own(side: Side) -> None:
    everything(side)
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


def test_a_preview_takes_no_hint(side: Side) -> None:
    everything(side)
    _, user_id = linked(side)
    tell(side, "User", user_id)
    side.run(users_to_hr.SPEC, Order(mode="plan", hinted=True))
    assert not tell(side, "User", user_id), "still the hint that waits"


@pytest.mark.parametrize("change_", ["deleted", "changed"])
def test_a_sweep_that_is_taken_up_again_asks_anew_for_what_hints_name(
    make_side: Callable[..., Side], change_: str
) -> None:
    side = make_side(24)
    everything(side)
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


def test_a_fresh_answer_stands_for_what_was_read_before() -> None:
    kinds = {"id": "text", "town": "text", "hash": "hash"}
    bad = of(REJECTED, [("c", "town", "is odd", None, 3), ("d", "town", "is odd", None, 4)])
    read = Snapshot(of(kinds, [("a", "x", 1), ("b", "x", 2)]), True, bad, 4)
    fresh = Snapshot(of(kinds, [("a", "y", 5), ("c", "y", 6)]), True, of(REJECTED, []), 2)
    now = renewed(read, "id", {"a", "b", "c"}, fresh, None)
    assert sorted(zip(now.frame["id"], now.frame["town"], strict=True)) == [("a", "y"), ("c", "y")]
    assert (now.rejected["key"].tolist(), now.read) == (["d"], 3)


def test_a_replay_keeps_the_filters_and_reads_only_what_is_named(configured: Side) -> None:
    side = configured
    largest = (
        'SELECT "MainCompanyID" AS c FROM "User" WHERE "Status" = \'Enabled\' GROUP BY 1 '
        "ORDER BY count(*) DESC"
    )
    company = there(side, largest)[0]["c"]
    deployed = PROCESSES["users_to_hr"].scoped(companies=[company])
    mine = there(
        side,
        'SELECT "ID" FROM "User" WHERE "MainCompanyID" = ? AND "Status" = \'Enabled\' ORDER BY 1',
        company,
    )
    bad, other = mine[0]["ID"], mine[1]["ID"]
    change(
        side, 'UPDATE "User" SET "Email" = \'no address\', "DateUpdated" = NOW WHERE "ID" = ?', bad
    )
    side.run(deployed)
    before = {row["accessplanit_id"]: row for row in side.rows("employees")}
    assert bad not in before
    change(
        side,
        'UPDATE "User" SET "Email" = \'mended@x.example\', "DateUpdated" = NOW WHERE "ID" = ?',
        bad,
    )
    change(side, 'UPDATE "User" SET "Town" = \'Kendal\', "DateUpdated" = NOW WHERE "ID" = ?', other)
    mark = side.store.watermark("users_to_hr", deployed.fingerprint())
    assert "1 created" in hrsync("quarantine", "replay", "users_to_hr", bad)
    after = {row["accessplanit_id"]: row for row in side.rows("employees")}
    assert set(after) == {*before, bad}, "nobody of another company"
    assert after[other]["town"] == before[other]["town"] != one(side, other)["Town"], (
        "nobody else was read"
    )
    assert side.store.watermark("users_to_hr", deployed.fingerprint()) == mark
    assert "Nothing to replay" in hrsync("quarantine", "replay", "users_to_hr", bad)


def test_a_replay_of_what_no_run_has_left_says_what_to_do(side: Side) -> None:
    with pytest.raises(Misconfigured, match="Run its deployment once"):
        side.store.scope("users_to_hr", None)
