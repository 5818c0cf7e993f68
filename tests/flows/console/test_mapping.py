"""Mappings as data: the guide's fields are in them, mistakes are found with their place, the page
shows what is declared."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connectors.accessplanit.dialect import Dialect
from connectors.mapping import load_mapping
from flows import course_decisions_from_hr
from flows._declared import FOLDERS
from flows.catalogue import PROCESSES
from flows.console.cli import app
from flows.console.mapping import PAGE, page, wire
from reconciliation.errors import Misconfigured
from tests.edits import change, everything, hr, one
from tests.sides import Side

PERSON = (
    "Forenames Surname ExternalID MainCompanyID MainRoleID JobTitle Status Email Phone "
    "Mobile MarketingOptIn"
)
DELEGATE = (
    "CourseDateID ID UserID UserFullName CandidateEmailAddress Status DateCreated Description"
)
GUIDE = {
    "users_to_hr": f"{PERSON} ID MainCompanyName MainRoleLabel DateCreated DateUpdated FullAddress",
    "users_from_hr": f"{PERSON} Address Town County Postcode Country",
    "course_requests_to_hr": f"{DELEGATE} CourseDateDetailsLabel CourseDateStartDate CompanyID "
    "CompanyName ManagersEmailAddresses"
    " UserForenames UserSurname CourseName CourseDateEndDate VenueName",
    "course_decisions_from_hr": "Status",
    "delegates_to_hr": f"{DELEGATE} CourseDateDetailsLabel CourseDateStartDate",
    "award_targets_to_hr": "AwardID AwardLabel TargetDate UserID UserFullname",
}
"""The fields that the vendor's guide recommends, for processes a to i."""


def test_the_page_is_made_from_the_specs() -> None:
    assert PAGE.read_text() == page(), "make docs"


@pytest.mark.parametrize("name", GUIDE)
def test_every_field_of_the_guide_is_mapped(name: str) -> None:
    spec = PROCESSES[name].scoped()
    mapped = {wire(spec, field, Dialect()) for field in spec.fields}
    if spec.direction == "to_hr":
        mapped |= {"ID"}  # the row's own key
    assert set(GUIDE[name].split()) <= mapped
    listed = page().split(f"## {name}\n")[1].split("\n## ")[0]
    assert all(f"| {field} |" in listed for field in set(GUIDE[name].split()) - {"ID"})


def test_the_guide_s_filters_are_the_defaults() -> None:
    text = page()
    assert "status is Enabled or New |" in text
    assert "status is Provisional and starts_at lies in the future |" in text
    assert "status is Booked or Provisional or In Progress or Completed |" in text
    values = dict(course_decisions_from_hr.SPEC.fields[0].values)
    assert (values["Approved"], values["Rejected"]) == ("Booked", "Cancelled")


WRONG = {
    'forenames = { hr = "forenames" }\nfornames = { hr = "surname" }': (
        r"fields.fornames: accessplanit's User has no 'fornames'"
    ),
    'forenames = { hr = "first_name" }': r"fields.forenames: HR's employees has no 'first_name'",
    'forenames = { hr = "forenames", owner = "both" }': (
        r"fields.forenames.owner is not one of 'accessplanit', 'hr' or 'newest'"
    ),
    'created_at = { hr = "surname" }': (
        r"fields.created_at: is a moment in accessplanit and a text in HR"
    ),
    'forenames = { hr = "surname" }\nsurname = { hr = "surname" }': (
        r"fields: surname is mapped twice"
    ),
    'forenames = { hr = "forenames", ownr = "hr" }': (r"fields.forenames.ownr is not known"),
    "forenames = {": r"people.toml is not valid TOML: ",
    'forenames = { hr = "forenames" }\n[custom]\nSite = "hr"': (
        r"custom.Site: a custom field's name begins with CF_"
    ),
}


@pytest.mark.parametrize(
    ("fields", "says"), WRONG.items(), ids=[says[:40] for says in WRONG.values()]
)
def test_a_mistake_is_found_at_start_with_its_place(fields: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "people.toml").write_text(
        f'title = "People"\nfeed = "User"\nentity = "employees"\n[fields]\n{fields}\n'.replace(
            "\n[fields]", "[fields]" if says.startswith("people") else "\n[fields]"
        )
    )
    with pytest.raises(Misconfigured, match=says):
        load_mapping("people", [tmp_path, *FOLDERS])


def test_a_mapping_of_your_own_takes_the_place_of_ours(tmp_path: Path) -> None:
    ours = (FOLDERS[-1] / "people.toml").read_text()
    (tmp_path / "people.toml").write_text(
        ours.replace('job_title        = { hr = "job_title", owner = "newest" }', "")
    )
    env = {**os.environ, "HRSYNC_MAPPINGS": str(tmp_path), "COLUMNS": "200"}
    show = [sys.executable, "-m", "flows.start", "mapping", "show", "users_to_hr"]
    done = subprocess.run(show, env=env, capture_output=True, text=True, check=True)
    assert "JobTitle" not in done.stdout
    assert "Surname" in done.stdout


def test_conflicts_are_listed_and_settled_from_the_command_line(
    configured: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    side, runner = configured, CliRunner(env={"COLUMNS": "200"})
    for name in ("users_to_hr", "users_from_hr"):
        held = PROCESSES[name].scoped().model_copy(update={"conflict": "hold"})
        monkeypatch.setitem(
            PROCESSES, name, replace(PROCESSES[name], narrowed=lambda _, held=held: held)
        )
    everything(side)
    assert "No field waits" in runner.invoke(app, ["conflicts", "list"]).output
    row = side.rows("employees")[0]
    key, user = row["employee_id"], row["accessplanit_id"]
    hr(side, "UPDATE employees SET job_title = 'Here' WHERE employee_id = ?", key)
    change(
        side, 'UPDATE "User" SET "JobTitle" = \'There\', "DateUpdated" = NOW WHERE "ID" = ?', user
    )
    side.run(PROCESSES["users_to_hr"].scoped())
    listed = runner.invoke(app, ["conflicts", "list"])
    assert all(text in listed.output for text in (user, key, "job_title", "Here", "There")), (
        listed.output
    )
    assert runner.invoke(app, ["conflicts", "settle", user, "surname", "hr"]).exit_code == 1
    settled = runner.invoke(app, ["conflicts", "settle", user, "job_title", "hr"])
    assert "the value of hr is right" in settled.output
    everything(side, 2)
    assert one(side, user)["JobTitle"] == "Here"
    assert [r["job_title"] for r in side.rows("employees") if r["employee_id"] == key] == ["Here"]
    assert "No field waits" in runner.invoke(app, ["conflicts", "list"]).output


def test_custom_fields_go_the_way_of_their_owner(
    side: Side, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from connectors.accessplanit.feeds import FEEDS, kinds
    from flows import users_from_hr, users_to_hr

    ours = (FOLDERS[-1] / "people.toml").read_text()
    (tmp_path / "people.toml").write_text(
        ours + 'CF_Payroll_Number = "accessplanit"\nCF_Site = "hr"\n'
    )
    mapping = load_mapping("people", [tmp_path])
    to_hr = users_to_hr.SPEC.model_copy(update={"custom": mapping.custom_of("accessplanit")})
    from_hr = users_from_hr.SPEC.model_copy(
        update={"fields": mapping.from_hr(kinds(FEEDS["User"]))}
    )
    side.run(to_hr)
    row = next(r for r in side.rows("employees") if r["custom"])
    assert list(__import__("json").loads(row["custom"])) == ["CF_Payroll_Number"]
    hr(
        side,
        "UPDATE employees SET custom_for_accessplanit = ? WHERE employee_id = ?",
        '{"CF_Site": "Dock 9"}',
        row["employee_id"],
    )
    assert side.run(from_hr).outcomes["updated"] == 1
    assert one(side, row["accessplanit_id"])["CF_Site"] == "Dock 9"
    assert side.run(from_hr).written == side.run(to_hr).written == 0


def test_the_page_of_systems_is_as_the_connectors_declare() -> None:
    from flows.console.systems_page import PAGE, whole

    text = PAGE.read_text(encoding="utf-8")
    assert text == whole(text), "run 'make docs'"
