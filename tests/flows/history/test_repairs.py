"""A repair reads what was found, and only what it would close is to be repaired."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from connectors.webhooks import Arrival
from flows._run import Order, plainly, run_process
from reconciliation.history.findings import to_repair
from tasks.history import origin_of
from tests.sides import Side
from tests.to_hr import hr_sql, sandbox_sql

from .plants import PLAIN, ask, repair, spec_of, verdicts


@PLAIN
@pytest.mark.loaded
def test_a_repair_reads_what_was_found_and_leaves_hints_to_others(side: Side) -> None:
    keys = [r["award_record_id"] for r in side.rows("awards")]
    hr_sql(
        side,
        "UPDATE awards SET award_label = 'x' WHERE award_record_id IN (?, ?, ?)",
        *keys[:2],
        keys[-1],
    )
    found = ask(side, people=(side.rows("awards")[0]["accessplanit_user_id"],))
    told = {k for k, v in verdicts(found).items() if v[1] == "edited in HR"}
    assert keys[-1] not in told
    arrival = Arrival("awards", "PUT", (("UserAward", keys[-1]),), "d1", True)
    side.store.accept([arrival], {("awards", "UserAward"): ["awards_to_hr"]}, datetime.now(UTC))
    digest = repair(side, found)
    plan = side.store.plan(digest)
    assert plan is not None
    assert set(plan.changes["key"]) == told
    spec = spec_of(side, "awards_to_hr")
    report, _ = run_process(spec, side.world(spec), Order(approve=digest), call=plainly)
    assert report.outcomes["updated"] == len(told)
    assert [hint.key for hint in side.store.hints("awards_to_hr")] == [keys[-1]]


@PLAIN
@pytest.mark.loaded
def test_only_what_a_repair_would_close_is_to_be_repaired(side: Side) -> None:
    hr_sql(side, "INSERT INTO employees (employee_id, surname) VALUES ('BY-HAND', 'Doe')")
    person = side.rows("employees")[0]
    sandbox_sql(side, 'DELETE FROM "User" WHERE "ID" = ?', person["accessplanit_id"])
    found = ask(side, "users_to_hr")
    assert verdicts(found) == {
        "BY-HAND": ("only in HR", "made in HR"),
        person["employee_id"]: ("only in HR", "gone from accessplanit"),
    }
    assert (found.findings.needs()["repair"], found.findings.needs()["person"]) == (0, 2)
    assert (
        to_repair(
            spec_of(side, "users_to_hr"),
            found.findings.rows,
            origin_of(side.store, spec_of(side, "users_to_hr")),
        )
        == ()
    )
