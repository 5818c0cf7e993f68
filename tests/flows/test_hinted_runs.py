"""What a run that hears hints does: exactly the records that were named are read again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from flows import awards_to_hr, course_requests_to_hr, users_from_hr, users_to_hr
from flows._run import Order
from flows.catalogue import PROCESSES
from reconciliation.capabilities import narrowed
from reconciliation.errors import Skipped
from tests.sides import Side

from .hints import AUTH, HINTED, loaded, say, users


def api(side: Side, method: str, path: str, **body: Any) -> httpx.Response:
    answer = httpx.request(
        method, f"{side.base_url}/api/v2/{path}", headers=AUTH, json=body or None
    )
    assert answer.is_success, answer.text
    return answer


def fingerprint(side: Side) -> str:
    """Of the process as it runs, narrowed to what this HR system holds."""
    return narrowed(users_to_hr.SPEC, side.target.capabilities).fingerprint()


def employee(side: Side, user: str) -> dict[str, Any]:
    return next(r for r in side.rows("employees") if r["accessplanit_id"] == user)


def test_exactly_the_records_that_were_named_are_read_and_loaded(side: Side) -> None:
    loaded(side, users_to_hr.SPEC)
    named, other = users(side, 2)
    before = side.store.watermark("users_to_hr", fingerprint(side))
    assert before.as_of is not None, "it is the watermark of the process that has run"
    for key in (named, other):
        api(side, "PUT", f"User/{key}", JobTitle="Named")
    say(side, "User", named)
    report = side.run(users_to_hr.SPEC, HINTED)
    assert (report.mode, report.read, report.outcomes["updated"], report.hints) == (
        "hinted",
        1,
        1,
        1,
    )
    assert employee(side, named)["job_title"] == "Named"
    assert employee(side, other)["job_title"] != "Named", "nobody has named it"
    assert side.store.watermark("users_to_hr", fingerprint(side)) == before, (
        "a hint moves no watermark"
    )
    assert side.store.hints("users_to_hr") == ()
    with pytest.raises(Skipped, match="All change notifications have been processed"):
        side.run(users_to_hr.SPEC, HINTED)
    assert side.users().outcomes["updated"] == 1, "the schedule brings the other"


def test_a_hinted_run_does_not_stand_for_a_scheduled_one(side: Side) -> None:
    loaded(side, users_to_hr.SPEC)
    say(side, "User", users(side, 1)[0])
    due = datetime.now(UTC)
    side.run(users_to_hr.SPEC, HINTED)
    assert not side.store.covered("users_to_hr", fingerprint(side), due, False)
    side.users()
    assert side.store.covered("users_to_hr", fingerprint(side), due, False)


def test_an_ordinary_run_hears_what_waits_too(side: Side) -> None:
    loaded(side, users_to_hr.SPEC)
    key = users(side, 1)[0]
    # Changed without a trace in DateUpdated, as imports do.
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(
            'UPDATE "User" SET "JobTitle" = \'Unnoticed\' WHERE "ID" = ?', (key,)
        )
    say(side, "User", key)
    assert side.users().hints == 1
    assert employee(side, key)["job_title"] == "Unnoticed"
    assert side.store.waiting_hints() == {}


def test_what_is_unknown_gone_or_unchanged_is_a_no_op(side: Side) -> None:
    loaded(side, users_to_hr.SPEC, awards_to_hr.SPEC)
    award = str(side.rows("awards")[0]["award_record_id"])
    before = side.dump()
    api(side, "DELETE", f"UserAward/{award}")
    say(side, "UserAward", award, "never-was")
    say(side, "User", users(side, 1)[0], "nobody")
    assert side.run(awards_to_hr.SPEC, HINTED).written == 0, (
        "an update says nothing about what is not there"
    )
    assert side.run(users_to_hr.SPEC, HINTED).written == 0
    assert side.dump() == before
    assert side.store.hints("awards_to_hr") == ()


def test_a_deletion_is_verified_by_reading_before_anything_is_closed(side: Side) -> None:
    loaded(side, users_to_hr.SPEC, awards_to_hr.SPEC)
    gone, there = (str(r["award_record_id"]) for r in side.rows("awards")[:2])
    api(side, "DELETE", f"UserAward/{gone}")
    say(side, "UserAward", gone, there, "never-was", deleted=True)
    report = side.run(awards_to_hr.SPEC, HINTED)
    assert (report.read, report.outcomes["closed"]) == (1, 1)
    states = {r["award_record_id"]: r["state"] for r in side.rows("awards")}
    assert states[gone] == "revoked"
    assert states[there] != "revoked", "somebody has said so, but it is there"
    assert side.run(awards_to_hr.SPEC, Order(sweep=True)).written == 0, "a sweep finds the same"


def test_when_the_latest_award_is_gone_the_one_before_counts_again(side: Side) -> None:
    loaded(side, users_to_hr.SPEC, awards_to_hr.SPEC)
    rows = side.rows("awards")
    latest, older = next(
        (str(r["superseded_by"]), str(r["award_record_id"]))
        for r in rows
        if r["state"] == "superseded"
    )
    api(side, "DELETE", f"UserAward/{latest}")
    say(side, "UserAward", latest, deleted=True)
    side.run(awards_to_hr.SPEC, HINTED)
    found = {r["award_record_id"]: (r["state"], r["superseded_by"]) for r in side.rows("awards")}
    assert found[latest][0] == "revoked"
    assert found[older][0] in ("achieved", "expiring", "expired")
    assert found[older][1] is None
    assert side.run(awards_to_hr.SPEC, Order(sweep=True)).written == 0


def test_a_user_who_was_deleted_is_reported_unless_told_otherwise(side: Side) -> None:
    loaded(side, users_to_hr.SPEC)
    first, second = users(side, 2)
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql('DELETE FROM "User" WHERE "ID" IN (?, ?)', (first, second))
    say(side, "User", first, deleted=True)
    assert side.run(users_to_hr.SPEC, HINTED).outcomes["held"] == 1
    assert [e["stage"] for e in side.store.quarantined("users_to_hr")] == ["gone"]
    closing = PROCESSES["users_to_hr"].scoped(gone="close")
    side.run(closing)
    say(side, "User", second, deleted=True)
    assert side.run(closing, HINTED).outcomes["closed"] == 1
    assert employee(side, second)["status"] == "Inactive"


def test_while_the_feed_cannot_be_read_in_full_hints_wait(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded(side, users_to_hr.SPEC)
    key = users(side, 1)[0]
    read = type(side.source()).read

    def halved(self: Any, *args: Any) -> Any:
        from dataclasses import replace

        return replace(read(self, *args), complete=False)

    say(side, "User", key, deleted=True)
    with monkeypatch.context() as patch:
        patch.setattr("connectors.accessplanit.client.AccessplanitSource.read", halved)
        side.run(users_to_hr.SPEC, HINTED)
    (hint,) = side.store.hints("users_to_hr")
    assert (hint.key, hint.deleted) == (key, True)


def test_an_authorisation_leads_to_its_request(side: Side) -> None:
    loaded(side)
    with side.sandbox.engine.begin() as connection:
        asked = connection.exec_driver_sql(
            'SELECT a."ID" FROM "ManagerUserCourseDateAuthorisation" a JOIN "UserCourseDate" d '
            'ON d."ID" = a."ID"'
            ' WHERE d."Status" = \'Provisional\' AND d."StartDate" > ? LIMIT 1',
            (side.sandbox.now().isoformat(),),
        ).scalar_one()
        connection.exec_driver_sql(
            'UPDATE "ManagerUserCourseDateAuthorisation" SET "VenueName" = \'Elsewhere\' WHERE '
            '"ID" = ?',
            (asked,),
        )
    say(side, "ManagerUserCourseDateAuthorisation", str(asked))
    report = side.run(course_requests_to_hr.SPEC, HINTED)
    assert report.read >= 1
    assert "Elsewhere" in json.dumps(side.rows("course_requests"), default=str)
    say(side, "ManagerUserCourseDateAuthorisation", "never-was", deleted=True)
    assert side.run(course_requests_to_hr.SPEC, HINTED).read == 0


@pytest.mark.dialects
def test_who_has_arrived_is_a_hint_for_what_has_waited_for_them(side: Side) -> None:
    loaded(side, users_to_hr.SPEC)
    company = side.rows("employees")[0]["company_id"]
    user = api(
        side,
        "POST",
        "User",
        Forenames="New",
        Surname="Starter",
        MainCompanyID=company,
        Status="New",
    ).json()["ID"]
    award = next(
        iter(side.sandbox.engine.connect().exec_driver_sql('SELECT "ID" FROM "Award"').scalars())
    )
    record = api(
        side,
        "POST",
        "UserAward",
        UserID=user,
        AwardID=award,
        Status="Completed",
        Passed="2026-01-05T00:00:00",
    ).json()["ID"]
    say(side, "UserAward", record)
    if side.dialect.names:
        api(side, "PUT", f"UserAward/{record}", CompletionDate="2026-01-05T00:00:00")
    assert side.run(awards_to_hr.SPEC, HINTED).outcomes["held"] == 1
    assert side.store.hints("awards_to_hr") == ()
    say(side, "User", user)
    side.run(users_to_hr.SPEC, HINTED)
    assert [hint.key for hint in side.store.hints("awards_to_hr")] == [record]
    assert side.run(awards_to_hr.SPEC, HINTED).outcomes["created"] == 1


def test_an_echo_of_our_own_write_is_no_change(side: Side) -> None:
    loaded(side, users_to_hr.SPEC)
    key = users(side, 1)[0]
    with side.target.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE employees SET job_title = 'Rigger' WHERE accessplanit_id = ?", (key,)
        )
    assert side.run(users_from_hr.SPEC).outcomes["updated"] == 1
    say(side, "User", key)
    assert side.run(users_to_hr.SPEC, HINTED).written == 0
    assert side.run(users_from_hr.SPEC).written == 0


def test_from_hr_too_a_row_that_was_named_or_all_that_has_changed(side: Side) -> None:
    loaded(side, users_to_hr.SPEC)
    side.run(users_from_hr.SPEC)
    first, second = users(side, 2)
    with side.target.engine.begin() as connection:
        for key in (first, second):
            connection.exec_driver_sql(
                "UPDATE employees SET job_title = 'Welder' WHERE accessplanit_id = ?", (key,)
            )
    say(side, "employees", str(employee(side, first)["employee_id"]))
    assert side.run(users_from_hr.SPEC, HINTED).outcomes["updated"] == 1
    say(side, "employees", None)
    assert side.run(users_from_hr.SPEC, HINTED).outcomes["updated"] == 1, (
        "without a key the window is read"
    )
    assert side.store.waiting_hints() == {}
