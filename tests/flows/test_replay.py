"""A replay reads the named records as the run did that left them."""

from __future__ import annotations

import pytest

from flows.catalogue import PROCESSES
from reconciliation.errors import Misconfigured
from tests.commands import hrsync
from tests.edits import change, one, there
from tests.sides import Side


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
