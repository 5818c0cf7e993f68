"""Deliveries of HR systems, and files that are noticed."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.hr.bamboohr.webhook import BamboohrWebhooks
from connectors.settings import Settings, WebhookSettings
from connectors.webhooks import Delivery, Forged, Unreadable
from flows.receiver.app import make_app
from flows.receiver.subscriptions import subscriptions
from tests.served import Served

from .desks import Told, until

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


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
    for unread in ({}, [], {"employees": []}, {"employees": "no"}, {"employees": [1]}, "text"):
        with pytest.raises(Unreadable, match="names no employee"):
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
