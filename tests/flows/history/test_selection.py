"""Which records a question is about."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from connectors.checkpoints import Folder
from flows import awards_to_hr
from flows.catalogue import PROCESSES
from reconciliation.errors import Misconfigured
from reconciliation.history import classes as c
from reconciliation.history.inquiry import Inquiry, asks
from tests.sides import Side
from tests.to_hr import hr_sql

from .plants import PLAIN, TODAY, ask, verdicts


@pytest.mark.loaded
def test_only_what_was_asked_about(side: Side) -> None:
    everything = {
        str(k): r for k, r in zip(ask(side).findings.rows["key"], side.rows("awards"), strict=False)
    }
    assert everything
    awards = side.rows("awards")
    hr_sql(side, "DELETE FROM awards WHERE award_record_id = ?", awards[0]["award_record_id"])
    hr_sql(
        side,
        "UPDATE awards SET award_label = 'x' WHERE award_record_id = ?",
        awards[-1]["award_record_id"],
    )
    one = awards[0]
    companies = {r["employee_id"]: r["company_id"] for r in side.rows("employees")}

    def keys(**question: Any) -> set[str]:
        found = ask(side, **question).findings.rows
        return set(found[~found["class"].isin([c.OUTSIDE, c.QUARANTINED])]["key"])

    assert keys(awards=(one["award_id"],)) == {
        r["award_record_id"] for r in awards if r["award_id"] == one["award_id"]
    }
    assert keys(people=(one["accessplanit_user_id"],)) == {
        r["award_record_id"] for r in awards if r["employee_id"] == one["employee_id"]
    }
    company = companies[one["employee_id"]]
    assert keys(companies=(company,)) == {
        r["award_record_id"] for r in awards if companies[r["employee_id"]] == company
    }
    first, last = date(TODAY.year - 1, 1, 1), date(TODAY.year - 1, 12, 31)
    within = {
        r["award_record_id"]
        for r in awards
        if r["completed_on"] and str(first) <= str(r["completed_on"]) <= str(last)
    }
    assert keys(first=first, last=last) == within
    assert verdicts(ask(side, first=first, last=last)).keys() <= {
        one["award_record_id"],
        awards[-1]["award_record_id"],
    }
    assert verdicts(ask(side, awards=(one["award_id"],), people=(one["accessplanit_user_id"],)))[
        one["award_record_id"]
    ] == (
        "missing in HR",
        "removed in HR",
    )


@PLAIN
def test_people_of_a_job_role(side: Side) -> None:
    for name in ("users_to_hr", "job_roles_to_hr", "assignments_to_hr", "awards_to_hr"):
        side.run(PROCESSES[name].scoped())
    held = [
        r
        for r in side.rows("assignments")
        if str(r["valid_from"] or "") <= str(TODAY)
        and (r["valid_to"] is None or str(r["valid_to"]) > str(TODAY))
    ]
    role = held[0]["job_role_id"]
    who = {r["employee_id"] for r in held if r["job_role_id"] == role}
    found = ask(side, roles=(role,)).findings.rows
    mine = set(found[found["class"] == c.EQUAL]["key"])
    assert mine == {r["award_record_id"] for r in side.rows("awards") if r["employee_id"] in who}


@PLAIN
@pytest.mark.usefixtures("many_parts")
@pytest.mark.loaded
def test_of_a_period_no_more_is_read_than_its_months(side: Side) -> None:
    side.sandbox.requests.clear()
    ask(side, first=date(2026, 1, 15), last=date(2026, 3, 14))
    asked = sum(side.sandbox.requests.values())
    side.sandbox.requests.clear()
    ask(side)
    assert asked < sum(side.sandbox.requests.values())


def test_a_period_is_one_part_of_a_small_feed_and_months_of_a_large_one() -> None:
    inquiry = Inquiry(process="x", as_of=TODAY, first=date(2026, 1, 15), last=date(2026, 3, 14))

    def ranges(records: int) -> list[tuple[str, str]]:
        parts = asks(awards_to_hr.SPEC, inquiry, TODAY, "UTC", {}, records)
        return [(str(part.range.low), str(part.range.high)) for part in parts if part.range]

    assert ranges(200) == [("2026-01-15", "2026-03-15")]
    assert ranges(200_000) == [
        ("2026-01-15", "2026-02-01"),
        ("2026-02-01", "2026-03-01"),
        ("2026-03-01", "2026-03-15"),
    ]


def test_a_question_that_is_none() -> None:
    with pytest.raises(ValueError, match="ends before it begins"):
        Inquiry(process="x", as_of=TODAY, first=date(2026, 2, 1), last=date(2026, 1, 1))
    with pytest.raises(ValueError, match="needs an offset"):
        Inquiry(process="x", as_of=TODAY, known_at=datetime(2026, 1, 1))
    with pytest.raises(Misconfigured, match="HRSYNC_HISTORY__FOLDER"):
        Folder("nowhere://x")
