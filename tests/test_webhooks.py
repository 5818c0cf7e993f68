"""From a delivery to HR: exactly the records that were named, read again, through the same path as
ever."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from connectors.hr.bamboohr.webhook import BamboohrWebhooks
from connectors.settings import Settings, WebhookSettings
from connectors.webhooks import Arrival, Delivery, Forged, Unreadable
from flows import (
    award_targets_to_hr,
    awards_to_hr,
    course_requests_to_hr,
    delegates_to_hr,
    job_roles_to_hr,
    users_from_hr,
    users_to_hr,
)
from flows._run import Order
from flows.catalogue import PROCESSES
from flows.receiver.app import make_app
from flows.receiver.subscriptions import SPECS, subscriptions
from reconciliation.capabilities import narrowed
from reconciliation.errors import Skipped
from reconciliation.hints import feeds
from reconciliation.report import RunReport
from reconciliation.spec import ProcessSpec

from .conftest import Served, Side
from .test_cli import hrsync
from .test_receiver import HEADERS, SECRET, Told, until

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
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


def api(side: Side, method: str, path: str, **body: Any) -> httpx.Response:
    answer = httpx.request(
        method, f"{side.base_url}/api/v2/{path}", headers=AUTH, json=body or None
    )
    assert answer.is_success, answer.text
    return answer


def loaded(side: Side, *specs: ProcessSpec) -> None:
    for spec in specs or TO_HR:
        side.run(spec)


def fingerprint(side: Side) -> str:
    """Of the process as it runs, narrowed to what this HR system holds."""
    return narrowed(users_to_hr.SPEC, side.target.capabilities).fingerprint()


def users(side: Side, number: int) -> list[str]:
    rows = [r for r in side.rows("employees") if r["status"] == "Enabled" and r["accessplanit_id"]]
    return [str(r["accessplanit_id"]) for r in rows][:number]


def employee(side: Side, user: str) -> dict[str, Any]:
    return next(r for r in side.rows("employees") if r["accessplanit_id"] == user)


# -- what a run that hears hints does ------------------------------------------------------------


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


# -- the whole way, with a sandbox that sends ----------------------------------------------------


class Line:
    """A side, its receiver, and a sandbox that sends there."""

    def __init__(self, side: Side, **moods: Any) -> None:
        self.side, self.told = side, Told()
        settings = Settings(
            home=side.folder,
            dialect=side.dialect,
            webhooks=WebhookSettings(secret=SECRET, window_seconds=1),
        )  # type: ignore[arg-type,call-arg]
        self.served = Served(make_app(settings, side.store, self.told), lifespan="on")
        self.url = f"http://127.0.0.1:{self.served.port}"
        side.sandbox.webhooks.configure(f"{self.url}/webhooks", HEADERS, **moods)

    def quiet(self) -> dict[str, Any]:
        """Waits until everything has been sent; what was done."""
        until(lambda: not self.side.sandbox.webhooks.status()["instances"].get("Pending"), 60)
        return dict(self.side.sandbox.webhooks.status()["done"])

    def hear(self) -> list[RunReport]:
        """What Prefect would start: the processes for which hints wait, people first."""
        waiting = self.side.store.waiting_hints()
        return [self.side.run(spec, HINTED) for spec in TO_HR if spec.name in waiting]


@pytest.fixture
def make_line(side: Side, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Line]]:
    for name in [n for n in os.environ if n.startswith("HRSYNC_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(side.folder)
    made: list[Line] = []

    def make(**moods: Any) -> Line:
        made.append(Line(side, **moods))
        return made[-1]

    yield make
    for line in made:
        line.served.stop()


def test_what_happens_in_accessplanit_arrives_without_a_schedule(
    make_line: Callable[..., Line],
) -> None:
    line = make_line()
    side = line.side
    loaded(side)
    side.sandbox.tick(
        events=30,
        kinds=(
            "join",
            "move",
            "leave",
            "rename",
            "book",
            "complete",
            "target",
            "achieve",
            "cancel",
            "assign",
        ),
    )
    done = line.quiet()
    assert done["sent"] >= 30
    assert set(done) == {"sent"}
    until(
        lambda: (
            {flow for flow, _ in line.told.flows}
            >= {"users_to_hr", "awards_to_hr", "delegates_to_hr"}
        )
    )
    assert len(line.told.flows) <= 6, "one event for each flow"
    line.hear()
    line.hear()
    assert side.differences() == []
    assert side.store.waiting_hints() == {}
    instance = httpx.get(f"{side.base_url}/api/v2/WebhookInstance?$top=1", headers=AUTH).json()[
        "results"
    ][0]
    assert (instance["Status"], instance["Attempts"]) == ("Sent", 1)


def test_half_of_them_dropped_doubled_late_or_out_of_order_the_next_schedule_makes_it_right(
    make_line: Callable[..., Line],
) -> None:
    line = make_line(drop=0.5, duplicate=0.5, reorder=0.5, late=0.5, delay=1.0, forge=0.5, seed=7)
    side = line.side
    loaded(side)
    for _ in range(3):
        side.sandbox.tick(events=20)
        line.quiet()
        line.hear()
    done = line.quiet()
    assert all(
        done[mood] for mood in ("sent", "dropped", "duplicated", "reordered", "delayed", "forged")
    ), done
    assert side.store.figures(datetime(2026, 1, 1, tzinfo=UTC)).received
    loaded(side)
    loaded(side)
    assert side.differences() == []
    assert side.store.waiting_hints() == {}
    assert [side.run(spec).written for spec in TO_HR] == [0] * len(TO_HR), "both sides say the same"


def test_a_receiver_that_was_away_gets_what_is_sent_again(make_line: Callable[..., Line]) -> None:
    line = make_line()
    side = line.side
    loaded(side, users_to_hr.SPEC)
    line.served.stop()
    until(lambda: _refuses(line.url))
    side.sandbox.tick(events=2, kinds=("rename",))
    until(lambda: side.sandbox.webhooks.status()["instances"].get("Pending") == 2)
    time.sleep(0.3)
    settings = Settings(
        home=side.folder, dialect=side.dialect, webhooks=WebhookSettings(secret=SECRET)
    )  # type: ignore[arg-type,call-arg]
    again = Served(make_app(settings, side.store, Told()), lifespan="on")
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(
            'UPDATE "WebhookInstance" SET "Url" = ?',
            (f"http://127.0.0.1:{again.port}/webhooks/user",),
        )
    line.quiet()
    again.stop()
    assert len(side.store.hints("users_to_hr")) in (1, 2)
    side.run(users_to_hr.SPEC, HINTED)
    assert [line for line in side.differences() if "award" not in line] == []


def _refuses(url: str) -> bool:
    try:
        httpx.get(f"{url}/health")
    except httpx.HTTPError:
        return True
    return False


# -- HR's side -----------------------------------------------------------------------------------


def bamboo(body: object, key: str = "private", at: datetime = NOW) -> Delivery:
    data, stamp = json.dumps(body).encode(), str(int(at.timestamp()))
    mark = hmac.new(key.encode(), data + stamp.encode(), hashlib.sha256).hexdigest()
    headers = {"x-bamboohr-timestamp": stamp, "x-bamboohr-signature": mark}
    return Delivery("bamboohr", "POST", b"/webhooks/bamboohr", None, {}, headers, data, NOW)


def test_bamboohr_signs_and_names_employees() -> None:
    sender = BamboohrWebhooks(SecretStr("private"), "employeeNumber")
    one = {
        "id": "123",
        "action": "Updated",
        "fields": {"employeeNumber": {"value": "E17"}, "jobTitle": {"value": "never loaded"}},
    }
    sender.verify(bamboo({"employees": [one]}))
    arrival = sender.read(
        bamboo(
            {
                "employees": [
                    one,
                    {**one, "fields": {"employeeNumber": "E18"}},
                    {"id": "124", "action": "Created"},
                ]
            }
        )
    )
    assert arrival.records == (("employees", "E17"), ("employees", "E18"), ("employees", None))
    assert not arrival.deleted
    event = {"type": "employee.deleted", "data": {"employeeId": "123"}}
    assert sender.read(bamboo(event)).deleted
    for forged, reason in (
        (bamboo(event, key="other"), "signature"),
        (bamboo(event, at=datetime(2026, 11, 24, 11, 54, tzinfo=UTC)), "time"),
    ):
        with pytest.raises(Forged, match=reason):
            sender.verify(forged)
    for unread in ({}, [], {"employees": "no"}, {"employees": [1]}, "text"):
        with pytest.raises(Unreadable):
            sender.read(bamboo(unread))


def test_hr_systems_that_can_tell_have_a_path_or_are_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HRSYNC_BAMBOOHR__WEBHOOK_KEY", "private")
    found = subscriptions(
        Settings(home=tmp_path, hr="csv_drop", hr_of={"users_from_hr": "bamboohr"})
    )  # type: ignore[call-arg]
    assert set(found.senders) == {"bamboohr"}, "accessplanit's need a secret of their own"
    assert found.concerned["bamboohr", "employees"] == ["users_from_hr"]
    assert set(found.watches) == {"csv_drop"}
    assert found.concerned["csv_drop", "course_requests"] == ["course_decisions_from_hr"]
    assert ("csv_drop", "employees") not in found.concerned


@pytest.mark.parametrize("manifest", [True, False])
def test_an_answer_file_is_noticed_and_its_run_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manifest: bool
) -> None:
    from connectors.store.sql import SyncStore

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HRSYNC_CSV_DROP__QUIET_SECONDS", "0.5")
    hooks = WebhookSettings(watch_seconds=0.2, window_seconds=1)  # type: ignore[call-arg]
    settings = Settings(home=tmp_path, hr="csv_drop", webhooks=hooks)  # type: ignore[call-arg]
    store, told = SyncStore(settings.store_url), Told()
    served = Served(make_app(settings, store, told), lifespan="on")
    inbox = tmp_path / "hr-files" / "from_hr"
    inbox.mkdir(parents=True, exist_ok=True)
    content = "employee_id,status\nE1,Left\n"
    (inbox / "employees-2026-11-24.csv").write_text(content)
    (inbox / "notes.txt").write_text("nothing of ours")
    if manifest:
        mark = hashlib.sha256(content.encode()).hexdigest()
        (inbox / "employees-2026-11-24.csv.manifest.json").write_text(json.dumps({"sha256": mark}))
    until(lambda: told.flows == [("users_from_hr", 1)])
    assert [(h.feed, h.key) for h in store.hints("users_from_hr")] == [("employees", None)]
    time.sleep(1)
    assert len(store.deliveries(10)) == 1, "it is told of once"
    served.stop()
    store.close()


# -- the command line and the flow ---------------------------------------------------------------


@pytest.mark.prefect
def test_deliveries_are_listed_replayed_and_published(configured: Side) -> None:
    from .test_flows import artifacts

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
    for arguments, says in (((), "Nothing is named"), (("99",), "No such delivery")):
        assert says in hrsync("webhooks", "replay", *arguments, code=1)


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
