"""The command line, as a person uses it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows import users_from_hr
from flows.console.cli import app
from sandbox.tenant import AWKWARD
from tests.commands import hrsync
from tests.served import free_port
from tests.sides import DIALECTS, Side


def test_plan_shows_a_diff_and_writes_nothing(configured: Side) -> None:
    shown = hrsync("plan", "users_to_hr", "--limit", "3", "--filter", "companies=DOUG900E")
    assert "DOUG900E" in shown
    assert "create" in shown
    assert configured.rows("employees") == []
    configured.users()
    configured.change_one("Surname", "Newname")
    shown = hrsync("plan", "users_to_hr")
    assert re.search(r"update │ \S+ │ surname │ \S+ │ Newname", shown)


def test_the_filters_of_a_plan_are_those_of_the_form(configured: Side) -> None:
    for name in ("users_to_hr", "awards_to_hr", "job_roles_to_hr"):
        hrsync("run", name)
    shown = hrsync("plan", "role_compliance", "-f", "as_of=2026-03-31", "--limit", "1")
    assert "2026-03-31" in shown
    shown = hrsync("plan", "awards_to_hr", "-f", "statuses=Completed,On Hold", "--sweep")
    assert "out_of_scope" in shown


def test_run_status_and_quarantine(configured: Side) -> None:
    assert "created" in hrsync("run", "users_to_hr")
    assert "held" in hrsync("run", "awards_to_hr", "--full")
    configured.change_one("Email", "reception desk")
    assert "1 quarantined" in hrsync("run", "users_to_hr")
    shown = hrsync("quarantine", "list", "users_to_hr")
    assert "is not a valid e-mail address" in shown
    (entry,) = configured.store.quarantined("users_to_hr")
    assert "reception desk" not in hrsync("quarantine", "show", str(entry["id"]))
    assert "reception desk" in hrsync("quarantine", "show", str(entry["id"]), "--raw")
    with configured.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE \"User\" SET Email = 'mended@x.example' WHERE Email = 'reception desk'"
        )
    assert "1 updated" in hrsync("quarantine", "replay", "users_to_hr", str(entry["key"]))
    assert "The quarantine is empty" in hrsync("quarantine", "list", "users_to_hr")
    status = hrsync("status")
    assert "users_to_hr" in status
    assert "completed" in status
    assert "no open entry 999999" in hrsync("quarantine", "show", "999999", code=1)


def test_why_tells_the_story_of_a_record_and_values_only_on_request(configured: Side) -> None:
    configured.users()
    configured.awards()
    key = configured.change_one("JobTitle", "Chief Beekeeper")
    configured.users()
    told = hrsync("why", key)
    assert re.search(
        rf"accessplanit {key} is employees \S+ in HR \(found by the matching rules, or new\)", told
    )
    assert re.search(
        r"employees \S+ was created in HR because it was new by run \w{8}, plan \w{16}", told
    )
    assert re.search(r"was changed in HR \(job_title\) because it had changed", told)
    assert "awards" in told, "what is the person's, too"
    assert "Chief Beekeeper" not in told
    assert "→ Chief Beekeeper" in hrsync("why", key, "--values")
    waiting = next(e for e in configured.store.quarantined() if e["waits_for"])
    told = hrsync("why", waiting["key"])
    assert (
        "was held: user_id waits until this user is an employee in HR "
        f"({waiting['waits_for']}), 1 time" in told
    )
    assert "Nothing is known of 'nobody'" in hrsync("why", "nobody")


def test_why_tells_the_same_of_an_employee_as_of_the_user(configured: Side) -> None:
    configured.users()
    key = configured.change_one("JobTitle", "Chief Beekeeper")
    configured.users()
    employee = next(
        r["employee_id"] for r in configured.rows("employees") if r["accessplanit_id"] == key
    )
    with configured.target.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE employees SET town = 'Kendal' WHERE employee_id = ?", (employee,)
        )
    configured.run(users_from_hr.SPEC)
    told = hrsync("why", employee)
    assert "was changed in HR (job_title)" in told
    assert f"User {key} was changed in accessplanit (town)" in told
    assert hrsync("why", key) == told


def test_links_are_listed_set_and_undone(configured: Side) -> None:
    key = configured.change_one("Email", "shared@x.example")
    with configured.sandbox.engine.begin() as connection:
        connection.exec_driver_sql('UPDATE "User" SET ExternalID = NULL WHERE ID = ?', (key,))
    with configured.target.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO employees (employee_id, surname, email) VALUES ('H1', 'a', "
            "'shared@x.example'), ('H2', 'b', 'shared@x.example')"
        )
    hrsync("run", "users_to_hr")
    why = "id: may be one of several employees, by id, external_id or email"
    assert re.search(rf"{key} │ {why} │ email: H1, H2", hrsync("links", "list", "--held"))
    assert "HR has no employee_id 'H3'" in hrsync("links", "set", "employees", key, "H3", code=1)
    assert "not linked to awards. Use one of employees" in hrsync(
        "links", "set", "awards", key, "H1", code=1
    )
    assert f"{key} is H1" in hrsync("links", "set", "employees", key, "H1")
    assert "1 updated" in hrsync("run", "users_to_hr")
    assert "No record is waiting for a link" in hrsync("links", "list", "--held")
    assert re.search(rf"employees │ {key} │ H1 │ .* │ set", hrsync("links", "list", key))
    assert "not linked any more" in hrsync("links", "unset", "employees", key)
    assert "has no link" in hrsync("links", "unset", "employees", key, code=1)
    told = hrsync("why", key)
    assert "was linked by hand" in told
    assert "its link was undone by hand" in told


def test_discarding_and_forgetting(configured: Side) -> None:
    key = configured.change_one("Email", "no address")
    hrsync("run", "users_to_hr")
    (entry,) = configured.store.quarantined("users_to_hr")
    assert "is discarded" in hrsync(
        "quarantine", "discard", str(entry["id"]), "--reason", "a test account"
    )
    assert "no open entry" in hrsync(
        "quarantine", "discard", str(entry["id"]), "--reason", "x", code=1
    )
    assert "1 discarded" in hrsync("run", "users_to_hr", "--full")
    other = str(configured.rows("employees")[0]["accessplanit_id"])
    assert "1 links" in hrsync("forget", other, "--yes")
    assert "Nothing is known of" in hrsync("why", other)
    assert "was discarded by a person: a test account" in hrsync("why", key)


def test_a_kept_plan_is_shown_field_by_field(configured: Side) -> None:
    digest = hrsync("plan", "users_to_hr", "--out").rpartition("hrsync apply ")[2].strip()
    shown = hrsync("show", digest, "--limit", "3")
    assert f"changes of {digest}" in shown
    assert re.search(r"\d+ to create, 0 to update, 0 to close; planned on .* UTC from", shown)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("plan", "nonsense"),
            "There is no process 'nonsense'. Use one of users_to_hr, users_from_hr",
        ),
        (
            ("plan", "users_to_hr", "-f", "shoes=42"),
            "There is no filter 'shoes'. Use one of companies",
        ),
        (
            ("plan", "awards_to_hr", "-f", "expiring_within_days=soon"),
            "The value of 'expiring_within_days' is not a whole number. Correct it.",
        ),
        (
            ("plan", "users_to_hr", "--full", "--since", "2026-01-01"),
            "contradict each other: since reads what changed from a moment on, full reads",
        ),
        (
            ("run", "role_compliance", "--sweep"),
            "There is no option 'sweep'. Use one of mode, approve",
        ),
    ],
)
def test_mistakes_are_one_sentence_and_exit_code_1(
    configured: Side, arguments: tuple[str, ...], says: str
) -> None:
    assert says in hrsync(*arguments, code=1)


def test_wrong_credentials_and_an_unreachable_hr(
    configured: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("HRSYNC_ACCESSPLANIT__API_KEY", "wrong")
        for command in (("plan", "users_to_hr"), ("run", "users_to_hr")):
            assert "CredentialsRefused" in hrsync(*command, code=1)
        assert "Ask the accessplanit administrator" in hrsync("doctor", code=1)
    monkeypatch.setenv("HRSYNC_SQL__URL", "sqlite:////proc/nowhere/hr.db")
    assert "TargetFailed: The HR database cannot be used" in hrsync("plan", "users_to_hr", code=1)
    assert "HR: sql │ refuted" in hrsync("doctor", code=1)


def test_doctor_confirms_what_is_set_right(
    configured: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = hrsync("doctor")
    assert "refuted" not in shown
    for check in (
        "credentials",
        "rights on UserAward",
        "clock",
        "HR: sql",
        "sync store",
        "date_literals",
        "names",
    ):
        assert re.search(rf"{check} │ confirmed", shown), check
    monkeypatch.setenv("HRSYNC_ACESSPLANIT__API_KEY", "x")
    assert "setting HRSYNC_ACESSPLANIT__API_KEY │ refuted" in hrsync("doctor", code=1)


def test_doctor_makes_nothing_in_a_home_that_is_mistyped(
    configured: Side, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HRSYNC_STORE__URL", raising=False)
    monkeypatch.setenv("HRSYNC_HOME", str(tmp_path / "mistyped"))
    shown = hrsync("doctor")
    assert re.search(r"sync store +│ not testable │ there is none at", shown)
    assert not (tmp_path / "mistyped").exists()


def test_doctor_confirms_no_tenant_that_does_not_answer(
    configured: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert re.search(r"tenant │ confirmed +│ http", hrsync("doctor"))
    monkeypatch.setenv(
        "HRSYNC_ACCESSPLANIT__BASE_URL", f"http://127.0.0.1:{free_port()}/accessplan"
    )
    monkeypatch.setenv("HRSYNC_ACCESSPLANIT__ATTEMPTS", "0")
    shown = hrsync("doctor", code=1)
    assert re.search(r"connection +│ refuted", shown)
    assert re.search(r"tenant +│ not testable", shown)


def test_doctor_says_that_it_cannot_test_the_tenant_without_the_store(
    configured: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HRSYNC_STORE__URL", "sqlite:////proc/nowhere/store.db")
    shown = hrsync("doctor", code=1)
    assert re.search(r"sync store +│ refuted", shown)
    assert re.search(r"tenant +│ not testable", shown)


@pytest.mark.dialects
def test_doctor_names_each_refuted_assumption_and_the_setting_that_mends_it(
    configured: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against the awkward tenant with default settings; with the settings that it names, everything
    holds and both flows run."""
    if configured.sandbox.tenant is not AWKWARD:
        pytest.skip("is about the awkward tenant")
    for name in type(configured.dialect).model_fields:
        monkeypatch.delenv(f"HRSYNC_DIALECT__{name.upper()}", raising=False)
    monkeypatch.setenv("COLUMNS", "250")
    shown = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": "400"}).output
    refuted = {line.split("│")[1].strip() for line in shown.splitlines() if "refuted" in line}
    assert refuted == {"count_key", "page_size", "date_literals", "date_updated", "names"}
    advice: dict[str, Any] = dict(re.findall(r"(HRSYNC_DIALECT__\w+)=(\{.*?\}|\S+)", shown))
    assert len(advice) == 5
    for name, value in advice.items():
        monkeypatch.setenv(name, value)
    assert "refuted" not in hrsync("doctor")
    for process in ("users_to_hr", "awards_to_hr"):
        hrsync("run", process)
    assert configured.differences() == []
    from connectors.settings import load

    assert load().dialect == DIALECTS["awkward"]


def test_help_names_every_command() -> None:
    shown = hrsync("--help")
    for command in (
        *"up sandbox receiver plan show apply reject run status why quarantine links webhooks "
        "forget doctor".split(),
    ):
        assert command in shown


def test_docs_name_every_setting() -> None:
    from connectors.accessplanit.dialect import Dialect
    from connectors.settings import WebhookSettings

    text = (Path(__file__).resolve().parents[3] / "docs" / "dialect.md").read_text()
    assert all(f"`{name}`" in text for name in Dialect.assumptions())
    page = (Path(__file__).resolve().parents[3] / "docs" / "webhooks.md").read_text()
    assert [name for name in WebhookSettings.model_fields if f"`{name.upper()}`" not in page] == []
