"""HR's answers in files: taken once, whole, and in their order."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from connectors.hr import connectors
from connectors.hr.csv_drop import CsvDropSettings, inbox
from connectors.hr.csv_drop.inbox import entity_of
from flows.catalogue import PROCESSES
from tests.sides import Side

from .boxes import Box, answer, drop
from .people import People, somebody


def test_an_answer_is_taken_once_and_archived(tmp_path: Path, files: Path) -> None:
    People(drop(tmp_path)).write(somebody("E1"))
    answer(
        files,
        "employees-monday.csv",
        "employee_id,job_title,surname\r\nE1,Rigger,Ashdown\r\nN9,Diver,Beck\r\n",
    )
    people = People(drop(tmp_path))
    read = people.read()
    assert {k: r["job_title"] for k, r in read.items()} == {"E1": "Rigger", "N9": "Diver"}
    assert read["E1"]["phone"] == "+44 1539 555001", "what the file does not name stays"
    archived = list((files / "from_hr/archive").iterdir())
    assert len(archived) == 1
    assert not list((files / "from_hr").glob("*.csv"))
    archived[0].rename(files / "from_hr/employees-monday.csv")
    people.write(somebody("E1", job_title="Welder"), somebody("N9"))
    assert People(drop(tmp_path)).read()["E1"]["job_title"] == "Welder", (
        "the same file again says nothing new"
    )


def test_a_bad_line_is_named_by_its_number_and_mended_by_a_later_one(
    tmp_path: Path, files: Path
) -> None:
    head = "employee_id,surname,source_created_at\r\n"
    text = f'{head}N1,Ashdown,\r\nN2,Beck,soon\r\nN3\r\n,Dale,\r\n"N4","El\nls",\r\nN5,,\r\n'
    mark = sha256(text.encode()).hexdigest()[:12]
    answer(files, "employees-1.csv", text)
    found = drop(tmp_path).read("employees", {"surname": "text"})
    assert sorted(found.frame["employee_id"]) == ["N1", "N4"]
    told = {(r["key"], r["field"]): r["reason"] for r in found.rejected.to_dict("records")}
    assert told == {
        (
            "N2",
            "source_created_at",
        ): f"is not a date written as 2026-12-31T00:00:00Z (line 3 of file {mark})",
        ("N3", "(line)"): f"has 1 cell instead of 3 (line 4 of file {mark})",
        (None, "employee_id"): f"has no value (line 5 of file {mark})",
        ("N5", "surname"): f"has no value (line 8 of file {mark})",
    }
    answer(files, "employees-2.csv", f"{head}N2,Beck,2026-11-24T10:00:00Z\r\n")
    found = drop(tmp_path).read("employees", {"surname": "text"})
    assert "N2" in set(found.frame["employee_id"])
    assert "N2" not in set(found.rejected["key"].dropna())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "shoe size,employee_id\r\n9,E1\r\n",
            "has a header whose column 1 is not a column of this entity",
        ),
        (
            "employee_id;surname\r\nE1;Lee\r\n",
            "has a header with semicolons between the columns, not commas",
        ),
        ("", "has no usable header"),
        ('employee_id,surname\r\nE1,"x"y\r\n', "is not valid CSV from line 2 on"),
    ],
)
def test_a_file_that_is_none_is_said_once_and_archived(
    tmp_path: Path, files: Path, text: str, reason: str
) -> None:
    answer(files, "employees-1.csv", text)
    found = drop(tmp_path).read("employees", {"surname": "text"})
    (archived,) = (files / "from_hr/archive").iterdir()
    mark = sha256(text.encode()).hexdigest()[:12]
    assert archived.name == f"employees-1-{mark}.csv"
    assert found.rejected["reason"].tolist() == [f"{reason} (file {mark})"], (
        "its name is HR's, and may be a person's"
    )


def test_a_file_that_is_still_being_written_is_left_alone(
    tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "employee_id,surname\r\nN1,Ashdown\r\n"
    answer(files, ".employees-1.csv", text)
    answer(files, "employees-2.csv.part", text)
    answer(files, "employees-3.csv", text)
    answer(
        files,
        "employees-3.csv.manifest.json",
        json.dumps({"sha256": sha256(b"more to come").hexdigest()}),
    )
    answer(files, "unknown-1.csv", text)
    assert not len(drop(tmp_path).read("employees", {"surname": "text"}).frame)
    fresh = answer(files, "employees-4.csv", text)
    assert not len(drop(tmp_path, quiet_seconds=60).read("employees", {"surname": "text"}).frame)
    answer(
        files,
        "employees-4.csv.manifest.json",
        json.dumps({"sha256": sha256(fresh.read_bytes()).hexdigest()}),
    )
    assert not len(drop(tmp_path, quiet_seconds=60).read("employees", {"surname": "text"}).frame), (
        "an older one may still be arriving"
    )
    monkeypatch.setattr(inbox, "STUCK", 0)
    assert (
        len(drop(tmp_path, quiet_seconds=60).read("employees", {"surname": "text"}).frame) == 1
    ), "but not for ever"


def test_a_file_that_goes_back_to_an_older_content_is_read(box: Box) -> None:
    for number, status in enumerate(("Left", "Active", "Left", "Left")):
        box.say("employees.csv", status, at=1_700_000_000 + number)
        assert box.status() == status
    assert not list(box.inbox.glob("*.csv"))


def test_the_same_content_is_a_new_delivery_if_its_manifest_says_so(box: Box) -> None:
    """Not by its time: the sender keeps that."""
    for sequence, left in ((1, True), (2, True), (2, False)):
        file = box.say("employees.csv", "Left", at=1_700_000_000)
        told = {"sequence": sequence, "sha256": sha256(file.read_bytes()).hexdigest()}
        box.put("employees.csv.manifest.json", json.dumps(told))
        people = People(drop(box.home, **box.settings))
        assert (people.read()["N1"]["status"] == "Left") == left
        assert not [f for f in box.inbox.iterdir() if f.is_file()], (
            "the manifest goes with its file"
        )
        people.write(somebody("N1", status="Enabled"))


def test_the_letters_of_a_manifests_name_do_not_matter(box: Box) -> None:
    """Windows servers and old FTP clients change them."""
    file = box.say("EMPLOYEES.CSV", "Left")
    box.put(
        "Employees.csv.MANIFEST.JSON", json.dumps({"sha256": sha256(file.read_bytes()).hexdigest()})
    )
    assert box.status(quiet_seconds=60) == "Left", "its manifest says that the file is complete"
    assert not [f for f in box.inbox.iterdir() if f.is_file()]


@pytest.mark.parametrize(
    ("older", "newer", "apart"),
    [
        ("employees-b.csv", "employees-a.csv", 1),
        ("employees_2.csv", "employees_10.csv", 0),
        ("employees_10.csv", "employees_2.csv", 1),
        ("employees-20261124.csv", "EMPLOYEES-20261125.CSV", 0),
    ],
)
def test_files_count_by_their_time_then_by_the_numbers_in_their_names(
    box: Box, older: str, newer: str, apart: int
) -> None:
    box.say(newer, "Left", at=1_700_000_000 + apart)
    box.say(older, "Active", at=1_700_000_000)
    assert box.status() == "Left"


def test_a_newer_file_waits_for_an_older_one_that_is_still_being_written(box: Box) -> None:
    box.say("employees-1.csv", "Active", at=1_700_000_000)
    newer = box.say("employees-2.csv", "Left", at=1_700_000_001)
    box.put(
        "employees-2.csv.manifest.json",
        json.dumps({"sha256": sha256(newer.read_bytes()).hexdigest()}),
    )
    assert box.status(quiet_seconds=60) is None
    assert box.status() == "Left"


@pytest.mark.parametrize(
    ("name", "entity"),
    [
        ("employees_20261124.csv", "employees"),
        ("employees_2026-11-24.csv", "employees"),
        ("employees.csv", "employees"),
        ("EMPLOYEES-starters.CSV", "employees"),
        ("award_targets_new.csv", "award_targets"),
        ("employees.2.csv", "employees"),
        ("employeeses.csv", None),
        ("my_employees.csv", None),
    ],
)
def test_a_file_is_of_the_entity_with_which_its_name_begins(name: str, entity: str | None) -> None:
    assert entity_of(name) == entity


@pytest.mark.parametrize(
    "name",
    [os.fsdecode(b"employees-J\xfcrgen\n\x07.csv"), f"employees-{'x' * 240}.csv"],
    ids=["bytes", "long"],
)
def test_a_file_with_an_odd_name_is_taken_like_any_other(box: Box, name: str) -> None:
    box.say(name, "Active")
    assert box.status() == "Active"
    box.put(name, "shoe size\r\n9\r\n")
    assert "".join(box.read().rejected["raw"]).encode()
    assert not list(box.inbox.glob("*.csv"))


@pytest.mark.parametrize("ahead", [-3600, 0, 3600, 400 * 366 * 86400])
def test_a_file_that_stays_as_it_is_is_taken_whatever_the_clock_of_its_place_says(
    box: Box, ahead: int
) -> None:
    if box.settings:
        ahead = min(ahead, 3600)  # SFTP's moments end in 2106.
    box.say("employees-1.csv", "Left", at=time.time() + ahead)
    assert box.status(quiet_seconds=0.2) == "Left"


@pytest.mark.parametrize("ahead", [-3600, 0, 3600])
def test_a_file_that_grows_is_never_taken_whatever_the_clock_of_its_place_says(
    box: Box, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    moment = time.time() + ahead
    file = box.say("employees-1.csv", "Left", at=moment)

    def grow() -> None:
        box.put(file.name, file.read_bytes() + b"N2,Be", at=moment)

    def growing(seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
        grow()
        sleep(seconds)

    with monkeypatch.context() as patch:
        patch.setattr("connectors.hr.csv_drop.inbox.time.sleep", growing)
        for _ in range(3):
            grow()
            assert box.status(quiet_seconds=0.2) is None
    assert file.exists()


@pytest.mark.parametrize("when", ["get", "take_in"])
def test_a_file_that_changes_while_it_is_taken_stays_for_the_next_run(
    box: Box, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    box.say("employees-1.csv", "Active", at=1_700_000_000)
    where: Any = {"get": type(drop(box.home, **box.settings).place), "take_in": inbox}[when]
    real = getattr(where, when)

    def and_then(*arguments: Any) -> Any:
        found = real(*arguments)
        box.say("employees-1.csv", "Left", at=1_700_000_009)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(where, when, and_then)
        assert box.status() == {"get": None, "take_in": "Active"}[when]
    assert box.status() == "Left"


def test_what_the_receiver_has_seen_of_a_file_a_run_need_not_wait_for(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    box.say("employees-1.csv", "Left")
    monkeypatch.setattr("connectors.hr.csv_drop.inbox.PATIENCE", 0)
    settings = CsvDropSettings.model_validate(
        {"folder": box.inbox.parent, **box.settings, "quiet_seconds": 0.5}
    )
    watch = connectors()["csv_drop"].watch(settings, box.home)
    assert watch
    assert not watch.look(), "it may still be written to"
    time.sleep(0.6)
    marks = watch.look()
    assert list(marks.values()) == ["employees"]
    assert box.status(quiet_seconds=0.5) == "Left"
    box.say("employees-1.csv", "Left", at=1_700_000_000)
    watch.look()
    time.sleep(0.6)
    assert set(watch.look()) - set(marks), "the same content again is something new"
    watch.close()


@pytest.mark.slow
def test_decisions_of_an_answer_file_reach_accessplanit(
    make_side: Callable[..., Side], tmp_path: Path, files: Path
) -> None:
    side = make_side(size=60)
    side.target = drop(tmp_path)  # type: ignore[assignment]
    for name in ("users_to_hr", "course_requests_to_hr"):
        side.run(PROCESSES[name].scoped())
    requests = (
        side.target.read("course_requests", {"status": "text"}).frame["course_request_id"].tolist()
    )
    text = f"course_request_id,decision\r\n{requests[0]},Approved\r\nNONE,Approved\r\n"
    mark = sha256(text.encode()).hexdigest()[:12]
    answer(files, "course_requests-1.csv", text)
    side.target = drop(tmp_path)  # type: ignore[assignment]
    report = side.run(PROCESSES["course_decisions_from_hr"].scoped())
    assert report.outcomes["updated"] == 1
    with side.sandbox.engine.connect() as connection:
        status = connection.exec_driver_sql(
            'SELECT "Status" FROM "UserCourseDate" WHERE "ID" = ?', (requests[0],)
        ).scalar_one()
    assert status == "Booked"
    (entry,) = side.store.quarantined("course_decisions_from_hr")
    assert (entry["key"], entry["reason"]) == (
        "NONE",
        f"is not the key of any row of course_requests (line 3 of file {mark})",
    )


@pytest.fixture
def dialect_name() -> str:
    return "standard"
