"""What is the drop's alone: how files look, when they come into sight, and HR's answers."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from alembic import command
from alembic.config import Config
from pydantic import ValidationError

from connectors.hr import connectors
from connectors.hr.csv_drop import CsvDropSettings, inbox
from connectors.hr.csv_drop.forget import without
from connectors.hr.csv_drop.inbox import entity_of
from connectors.hr.csv_drop.schema import delivery
from connectors.hr.csv_drop.sftp import SftpServer
from connectors.hr.csv_drop.system import CsvDrop
from connectors.hr.sql import SqlHr
from flows.catalogue import PROCESSES
from reconciliation.errors import Misconfigured, TargetFailed
from reconciliation.person import Person
from reconciliation.snapshot import Snapshot
from tests.conftest import Side

from .stands import Sshd
from .test_laws_of_systems import People, somebody


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return tmp_path / "files"


def drop(tmp_path: Path, **settings: Any) -> CsvDrop:
    values = {"folder": tmp_path / "files", "quiet_seconds": 0, **settings}
    opened = connectors()["csv_drop"].open(CsvDropSettings.model_validate(values), tmp_path)
    assert isinstance(opened, CsvDrop)
    return opened


def answer(files: Path, name: str, text: str) -> Path:
    (files / "from_hr").mkdir(parents=True, exist_ok=True)
    (files / "from_hr" / name).write_text(text, newline="", encoding="utf-8")
    return files / "from_hr" / name


def test_a_delta_holds_what_has_changed_and_its_manifest_says_so(
    tmp_path: Path, files: Path
) -> None:
    people = People(drop(tmp_path))
    people.write(somebody("E1"), somebody("E2"))
    people.write(somebody("E1", job_title="Rigger"), somebody("E2"))
    names = sorted(f.name for f in (files / "to_hr").iterdir())
    assert names == [
        f"employees-0000000{n}.csv{end}" for n in (1, 2) for end in ("", ".manifest.json")
    ]
    content = (files / "to_hr" / names[2]).read_bytes()
    (row,) = csv.DictReader(io.StringIO(content.decode()))
    assert (row["employee_id"], row["job_title"], row["phone"]) == (
        "E1",
        "Rigger",
        "+44 1539 555001",
    )
    told = json.loads((files / "to_hr" / names[3]).read_text())
    assert told == {
        "file": names[2],
        "entity": "employees",
        "mode": "delta",
        "sequence": 2,
        "rows": 1,
        "sha256": sha256(content).hexdigest(),
    }


def test_a_full_file_holds_everybody_under_one_name(tmp_path: Path, files: Path) -> None:
    people = People(drop(tmp_path, mode="full", file_name="{entity}.csv"))
    people.write(somebody("E1"))
    people.write(somebody("E1"), somebody("E2"))
    rows = list(csv.DictReader(io.StringIO((files / "to_hr/employees.csv").read_text())))
    assert [r["employee_id"] for r in rows] == ["E1", "E2"]
    assert json.loads((files / "to_hr/employees.csv.manifest.json").read_text())["rows"] == 2


def test_files_are_written_as_it_was_declared(tmp_path: Path, files: Path) -> None:
    columns = {"employees": ["surname", "employee_id", "source_created_at"]}
    system = drop(
        tmp_path, columns=columns, delimiter=";", encoding="cp1252", moment_format="%d.%m.%Y %H:%M"
    )
    people = People(system)
    assert dict(
        people.write(somebody("E1", surname="Ångström; x"), somebody("E2", surname="李"))
    ) == {"E1": "created", "E2": "failed"}
    assert people.reasons == ["surname has a character that cp1252 cannot hold"]
    assert (
        files / "to_hr/employees-00000001.csv"
    ).read_bytes() == 'surname;employee_id;source_created_at\r\n"Ångström; x";E1;\r\n'.encode(
        "cp1252"
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+cmd|x", "'-2+cmd|x"),
        ("+44 (0)1539 555-001", "+44 (0)1539 555-001"),
        ("-5", "-5"),
    ],
)
def test_what_a_spreadsheet_would_compute_is_defused(
    tmp_path: Path, files: Path, text: str, written: str
) -> None:
    People(drop(tmp_path)).write(somebody(job_title=text))
    (row,) = csv.DictReader(io.StringIO((files / "to_hr/employees-00000001.csv").read_text()))
    assert row["job_title"] == written


def test_what_could_not_be_delivered_is_delivered_first(
    tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is through and the folder is not there: the next run delivers before anything
    else, and writes nothing twice."""
    system = drop(tmp_path)
    people = People(system)
    changes = people.plan(somebody("E1")).changes

    def gone(*_: Any) -> None:
        raise TargetFailed("The folder is gone", "Look at it.")

    with monkeypatch.context() as patch:
        patch.setattr(system.place, "put", gone)
        with pytest.raises(TargetFailed):
            system.apply("employees", changes)
    assert not list((files / "to_hr").glob("*"))
    again = People(drop(tmp_path))
    assert not len(again.plan(somebody("E1")).changes), "it was written"
    assert [f.name for f in sorted((files / "to_hr").iterdir())] == [
        "employees-00000001.csv",
        "employees-00000001.csv.manifest.json",
    ]


def test_what_is_remembered_of_deliveries_is_limited(
    tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.hr.csv_drop.system.REMEMBERED", 2)
    for number in range(5):
        system = drop(tmp_path)
        People(system).write(somebody("E1", job_title=f"Grade {number}"))
    with system.mirror.engine.connect() as connection:
        assert connection.exec_driver_sql(
            "SELECT sequence FROM delivery ORDER BY sequence"
        ).scalars().all() == [4, 5]
    assert len(list((files / "to_hr").glob("*.csv"))) == 5


@pytest.mark.parametrize("place", range(1, 4))
def test_killed_anywhere_in_a_delivery_nothing_half_is_taken_for_whole(
    tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    system = drop(tmp_path, mode="full", file_name="{entity}.csv")
    people = People(system)
    people.write(somebody("E1"))
    calls = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == place:
                raise KeyboardInterrupt
            return real(*arguments)

        return call

    with monkeypatch.context() as patch:
        for name in ("put", "remove"):
            patch.setattr(system.place, name, counted(getattr(system.place, name)))
        with pytest.raises(KeyboardInterrupt):
            system.apply("employees", people.plan(somebody("E1", job_title="Rigger")).changes)
    manifest = files / "to_hr/employees.csv.manifest.json"
    if manifest.exists():
        assert (
            json.loads(manifest.read_text())["sha256"]
            == sha256((files / "to_hr/employees.csv").read_bytes()).hexdigest()
        )
    People(drop(tmp_path, mode="full", file_name="{entity}.csv")).read()
    assert (
        json.loads(manifest.read_text())["sha256"]
        == sha256((files / "to_hr/employees.csv").read_bytes()).hexdigest()
    )
    assert "Rigger" in (files / "to_hr/employees.csv").read_text()


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
        ): f"is not a date that is written as 2026-12-31T00:00:00Z (line 3 of file {mark})",
        ("N3", "(line)"): f"has 1 cells instead of 3 (line 4 of file {mark})",
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


HEAD = "employee_id,surname,status\r\n"


@pytest.fixture(params=["folder", "sftp"])
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Box:
    """An inbox in a folder and one over SFTP."""
    if request.param == "folder":
        return Box(tmp_path, tmp_path / "files/from_hr", {})
    server: Sshd = request.getfixturevalue("sshd")
    name = f"box{time.time_ns()}"
    return Box(tmp_path, server.root / name / "inbox", {"folder": None, **server.settings(name)})


@dataclass
class Box:
    """An inbox and the settings that lead there; files are put into it as if they were written
    ``at`` a moment."""

    home: Path
    inbox: Path
    settings: dict[str, Any]

    def put(self, name: str, content: str | bytes, at: float | None = None) -> Path:
        self.inbox.mkdir(parents=True, exist_ok=True)
        (self.inbox / name).write_bytes(content.encode() if isinstance(content, str) else content)
        if at is not None:
            os.utime(self.inbox / name, (at, at))
        return self.inbox / name

    def say(self, name: str, status: str, at: float | None = None) -> Path:
        """A file that gives N1 a status."""
        return self.put(name, f"{HEAD}N1,Ashdown,{status}\r\n", at)

    def read(self, **settings: Any) -> Snapshot:
        system = drop(self.home, **self.settings, **settings)
        found = system.read("employees", {"surname": "text", "status": "text"})
        system.close()
        return found

    def status(self, **settings: Any) -> str | None:
        """That of N1, as a run sees it."""
        return next(iter(self.read(**settings).frame["status"]), None)


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


def test_a_mended_file_ends_what_was_wrong_with_it(box: Box) -> None:
    faults = (
        "employee_id,shoe size\r\nN1,9\r\n",
        f"{HEAD},Ashdown,Left\r\nN2,,Left\r\nN1x,,Left\r\n",
        f"{HEAD}N1,Ashdown,Left\r\n",
    )
    for number, (content, wrong) in enumerate(zip(faults, (1, 3, 0), strict=True)):
        box.put("employees-1.csv", content, at=1_700_000_000 + number)
        assert len(box.read().rejected) == wrong
    box.put("employees-1.csv", faults[1], at=1_700_000_009)
    box.put("employees-2.csv", faults[1], at=1_700_000_009)
    assert len(box.read().rejected) == 3, "the same line in another file is one entry"
    box.put("employees-2.csv", HEAD, at=1_700_000_010)
    found = box.read()
    assert not len(found.rejected), "a header alone ends them"
    assert found.frame["employee_id"].tolist() == ["N1"], "and changes no row"


@pytest.mark.parametrize(
    ("line", "key", "field", "reason"),
    [
        (b"N2\0,Beck,Left", "N2␀", "employee_id", "has a control character"),
        (b"N2,Be\x0bck,Left", "N2", "surname", "has a control character"),
        (b"\x0b,\x1c,\x1f", "␋", "employee_id", "has a control character"),
        (b"N2,M\xfcller,Left", "N2", "surname", "is not utf-8: save the file in this encoding"),
        (b"N\xfc2,Beck,Left", "N�2", "employee_id", "is not utf-8: save the file in this encoding"),
        (b"N2," + b"x" * 140_000 + b",Left", "N2", "surname", "has more than 131072 characters"),
        (b"N" * 140_000 + b",Beck,Left", None, "employee_id", "has more than 131072 characters"),
        (b"N" * 300 + b",Beck,Left", None, "employee_id", "has more than 200 characters"),
        (b" employee_id , surname,status", None, "(line)", "repeats the header"),
        ("\ufeffemployee_id,surname,status".encode(), None, "(line)", "repeats the header"),
        (b"N2,\0", "N2", "(line)", "has 2 cells instead of 3"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_line_that_cannot_be_read_is_one_entry_and_its_neighbours_load(
    box: Box, line: bytes, key: str | None, field: str, reason: str
) -> None:
    box.put(
        "employees-1.csv",
        HEAD.encode() + b"N1,Ashdown,Left\r\n" + line + b'\r\nN3,"Cairn\r\n\tof Quay",Left\r\n',
    )
    found = box.read()
    assert found.frame.set_index("employee_id")["surname"].to_dict() == {
        "N1": "Ashdown",
        "N3": "Cairn\r\n\tof Quay",
    }
    (entry,) = found.rejected.astype(object).where(found.rejected.notna(), None).to_dict("records")
    assert (entry["key"], entry["field"], entry["reason"].partition(" (line 3 of file ")[0]) == (
        key,
        field,
        reason,
    )
    kept = f"{entry['key']}{entry['raw']}"
    assert "\0" not in kept, "PostgreSQL cannot hold it"
    assert kept.encode()
    assert len(kept) < 5000


def test_a_byte_that_the_encoding_has_not_spoils_its_line_only(box: Box) -> None:
    box.put("employees-1.csv", HEAD.encode() + b"N1,\xc5ngstr\xf6m,Left\r\nN2,\x81,Left\r\n")
    found = box.read(encoding="cp1252")
    assert found.frame["surname"].tolist() == ["Ångström"]
    assert found.rejected["key"].tolist() == ["N2"]


def test_law_9_of_a_key_that_stands_twice_in_a_file_neither_row_is_taken(box: Box) -> None:
    box.put("employees-1.csv", f"{HEAD}1.23E+11,Ashdown,Left\r\nN1,Dale,Left\r\n1.23E+11,Beck,\r\n")
    found = box.read()
    assert found.frame["employee_id"].tolist() == ["N1"]
    assert found.rejected["key"].tolist() == ["1.23E+11"] * 2
    assert [reason.partition(" (")[0] for reason in found.rejected["reason"]] == [
        "stands on the lines 2, 4 of this file"
    ] * 2


def test_what_is_remembered_of_files_is_limited(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.hr.csv_drop.answers.REMEMBERED", 3)
    for number in range(5):
        box.say(f"employees-{number}.csv", "Left", at=1_700_000_000 + number)
        box.read()
    with drop(box.home, **box.settings).mirror.engine.connect() as connection:
        names = (
            connection.exec_driver_sql("SELECT name FROM answer_file ORDER BY name").scalars().all()
        )
        looks = connection.exec_driver_sql("SELECT count(*) FROM answer_look").scalar_one()
    assert names == [f"employees-{number}.csv" for number in (2, 3, 4)]
    assert looks <= 1


def test_lines_that_an_earlier_version_has_rejected_are_mended_too(box: Box) -> None:
    mirror = SqlHr(f"sqlite:///{box.home / 'hr-mirror.db'}")
    config = Config()
    config.set_main_option("script_location", str(Path(inbox.__file__).parent / "migrations"))
    lines = [
        ("(file)", "employees-1.csv has no usable header", "employees-1.csv"),
        ("employee_id", "has no value (line 5 of employees-1.csv)", ",Ashdown"),
    ]
    with mirror.engine.begin() as connection:
        config.attributes |= {"connection": connection, "version_table": "drop_version"}
        command.upgrade(config, "0001")
        for line in lines:
            connection.exec_driver_sql(
                "INSERT INTO answer_line (entity, field, reason, raw) VALUES ('employees', ?, "
                "?, ?)",
                line,
            )
    mirror.close()
    assert box.read().rejected["reason"].tolist() == [
        "has no usable header",
        "has no value (line 5)",
    ]
    box.say("employees-1.csv", "Left")
    assert not len(box.read().rejected)


def test_a_delta_that_would_overwrite_itself_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"needs \{sequence\}"):
        CsvDropSettings(file_name="{entity}.csv")  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="not to both"):
        CsvDropSettings(folder=Path("x"), sftp={"host": "h", "username": "u", "known_hosts": "k"})  # type: ignore[arg-type,call-arg]


def test_an_unknown_host_key_is_not_trusted(sshd: Sshd) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    for known in (f"[127.0.0.1]:{sshd.port} {other}", ""):
        settings = CsvDropSettings.model_validate(sshd.settings("x", known_hosts=known)).sftp
        assert settings
        with pytest.raises(Misconfigured, match=r"known_hosts"):
            SftpServer(settings).files("x")


def test_a_server_without_an_atomic_rename(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unsupported(*_: Any) -> None:
        raise asyncssh.SFTPOpUnsupported("no posix-rename here")

    monkeypatch.setattr(asyncssh.SFTPClient, "posix_rename", unsupported)
    settings = CsvDropSettings.model_validate(sshd.settings("x")).sftp
    assert settings
    place = SftpServer(settings)
    path = f"{sshd.root}/plain/a.csv"
    for content in (b"one", b"two"):
        place.put(path, content)
    assert place.get(path) == b"two"
    assert [name for name, _, _ in place.files(f"{sshd.root}/plain")] == ["a.csv"]
    place.close()


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


WYN = Person.of(["wynash"], ["E1"], ["UA1"], ["wyn@hr.example"])


def test_a_file_loses_the_lines_of_somebody_who_is_forgotten_and_keeps_the_others() -> None:
    settings = CsvDropSettings(delimiter=";")
    content = (
        b"award_record_id;employee_id;managers_emails\r\nUA1;;\r\nUA2;E1;\r\n"
        b"UA3;E2;a@hr.example,WYN@hr.example\r\nUA4;E11;\r\n"
    )
    left = without(content, settings, WYN)
    assert left == (
        b"award_record_id;employee_id;managers_emails\r\nUA3;E2;a@hr.example,(forgotten)\r\nUA4;E11;\r\n",
        2,
    )
    assert without(left[0], settings, WYN) is None
    torn = b'id;name\r\nE1;"never closed\r\nwynash;x\r\nE2;y\r\n'
    assert without(torn, settings, WYN) == (b'id;name\r\nE1;"never closed\r\nE2;y\r\n', 2), (
        "what is not CSV is taken line by line"
    )


def test_what_was_not_delivered_is_delivered_without_somebody_who_is_forgotten(
    tmp_path: Path, files: Path
) -> None:
    people = People(drop(tmp_path))
    people.write(somebody("E1", email="wyn@hr.example"), somebody("E2"))
    with people.system.mirror.engine.begin() as connection:  # type: ignore[attr-defined]
        content = (files / "to_hr" / "employees-00000001.csv").read_bytes()
        connection.execute(
            delivery.insert().values(
                entity="employees", rows=2, content=content, made=datetime(2026, 1, 1)
            )
        )
    drop_of = drop(tmp_path)
    drop_of._begun = True
    told = drop_of.forget(WYN)
    assert told.rows == 2, "a row of the mirror and a line of the file"
    assert [
        line for line in told.left if "employees-00000001.csv " in line and "handed to HR" in line
    ]
    assert list(People(drop_of).read()) == ["E2"]
    drop(tmp_path).population("employees")
    waited = (files / "to_hr" / "employees-00000002.csv").read_text()
    assert "E2" in waited
    assert "E1" not in waited


@pytest.mark.parametrize(
    ("content", "left"),
    [
        (b"employee_id;surname\r\nE1;Ashdown\r\nE2;Lee\r\n", b"employee_id;surname\r\nE2;Lee\r\n"),
        (b"Employee ID,Name\r\n7,wyn@hr.example\r\nE2,Lee\r\n", b"Employee ID,Name\r\nE2,Lee\r\n"),
        (
            b"employee_id,surname\r\nE1,Ashdown\r\nE2,M\xfc\x81ller\r\n",
            b"employee_id,surname\r\nE2,M\xfc\x81ller\r\n",
        ),
        (b"employee_id,surname\r\nE2,Lee\r\n", None),
    ],
)
def test_lines_are_taken_out_of_files_that_could_not_be_taken_in(
    content: bytes, left: bytes | None
) -> None:
    person = Person.of(["wynash"], ["E1"], values=["wyn@hr.example", "E1"])
    found = without(content, CsvDropSettings(), person)
    assert (found and found[0]) == left


def test_files_are_told_and_renamed_by_what_they_are_called_and_by_short_numbers(
    tmp_path: Path, files: Path
) -> None:
    wyn = Person.of(["wynash"], ["417"], values=["Wyn Ashdown"])
    for folder in ("from_hr", "to_hr"):
        (files / folder).mkdir(parents=True)
    (files / "from_hr" / "employees_Wyn_Ashdown.csv").write_text(f"{HEAD}N1,Lee,Active\r\n")
    drop(tmp_path).read("employees", {"surname": "text"})
    (files / "to_hr" / "assignments-1.csv").write_text("assignment_id,employee_id\r\nA9,417\r\n")
    (files / "to_hr" / "employees-wynash.csv").write_text("employee_id\r\nN1\r\n")
    (files / "to_hr" / "employees-2.csv").write_text("employee_id,surname\r\nN1,417\r\n")
    told = drop(tmp_path).forget(wyn).left
    assert [re.findall(r"to_hr/(\S+)", line) for line in told] == [
        ["assignments-1.csv"],
        ["employees-wynash.csv"],
    ]
    (kept,) = (files / "from_hr" / "archive").iterdir()
    assert kept.name.startswith("forgotten-")
    assert kept.read_text() == f"{HEAD}N1,Lee,Active\n".replace("\r\n", "\n")


def test_a_new_starters_line_without_a_number_is_forgotten_with_them(
    tmp_path: Path, files: Path
) -> None:
    (files / "from_hr").mkdir(parents=True)
    (files / "from_hr" / "employees-1.csv").write_text(
        "employee_id,surname,email\n,Ashdown,wyn@hr.example\n,Lee,x@hr.example\n"
    )
    drop(tmp_path).read("employees", {"surname": "text"})
    drop(tmp_path).forget(Person.of(["wynash"], values=["wyn@hr.example"]))
    assert drop(tmp_path).read("employees", {"surname": "text"}).rejected["raw"].tolist() == [
        ",Lee,x@hr.example"
    ]


def test_archived_files_and_lines_without_a_key_do_not_grow_without_limit(
    box: Box, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.hr.csv_drop.answers.KEYLESS", 3)
    monkeypatch.setattr("connectors.hr.csv_drop.answers.REMEMBERED", 2)
    day = 86_400
    for number in range(5):
        # Written long ago, and taken in now: only what is not remembered any more is judged by when
        # it was written.
        box.put(
            f"employees-{number}.csv",
            f"{HEAD}N{number},Lee,Active\r\n,Total {number},\r\n",
            at=time.time() - (900 - number) * day,
        )
        found = box.read()
    assert found.rejected["raw"].tolist() == [",Total 2,", ",Total 3,", ",Total 4,"]
    archive = Path(box.settings["archive"]) if "archive" in box.settings else box.inbox / "archive"
    place = archive if archive.is_absolute() else box.inbox.parent / archive.name
    assert sorted(file.name[:11] for file in place.iterdir()) == ["employees-3", "employees-4"]
    assert len(box.read(archive_days=1000).frame) == 5


@pytest.mark.parametrize(
    ("umask", "mode", "expected"),
    [(0o022, None, 0o644), (0o007, None, 0o660), (0o077, "0640", 0o640)],
)
def test_what_is_delivered_has_the_rights_that_the_umask_or_the_settings_say(
    tmp_path: Path, files: Path, umask: int, mode: str | None, expected: int
) -> None:
    before = os.umask(umask)
    try:
        People(drop(tmp_path, file_mode=mode)).write(somebody("E1"))
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in (files / "to_hr").iterdir()} == {expected}


def test_rights_over_sftp_and_groups(box: Box, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="file_mode"):
        CsvDropSettings(file_mode="rw-")
    with pytest.raises(ValidationError, match="for a local folder"):
        CsvDropSettings.model_validate(
            {
                **box.settings,
                "file_group": "hr",
                "sftp": {"host": "h", "username": "u", "known_hosts": "k"},
            }
        )
    system = drop(box.home, **box.settings, file_mode="640")
    People(system).write(somebody("E1"))
    place = Path(box.settings.get("outbox", tmp_path / "files" / "to_hr"))
    assert {file.stat().st_mode & 0o777 for file in place.iterdir()} == {0o640}
    system.close()


def test_a_group_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"no group nobody-has-it.*FILE_GROUP"):
        People(drop(tmp_path, file_group="nobody-has-it")).write(somebody("E1"))
