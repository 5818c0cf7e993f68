"""What is the drop's alone: how files look, when they come into sight, and HR's answers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import ValidationError

from connectors.hr import connectors
from connectors.hr.csv_drop import CsvDropSettings
from connectors.hr.csv_drop.forget import without
from connectors.hr.csv_drop.places import Sftp
from connectors.hr.csv_drop.schema import delivery
from connectors.hr.csv_drop.system import CsvDrop
from flows.catalogue import PROCESSES
from reconciliation.errors import Misconfigured, TargetFailed
from reconciliation.person import Person
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


def test_a_delta_holds_what_has_changed_and_its_manifest_says_so(tmp_path: Path, files: Path) -> None:
    people = People(drop(tmp_path))
    people.write(somebody("E1"), somebody("E2"))
    people.write(somebody("E1", job_title="Rigger"), somebody("E2"))
    names = sorted(f.name for f in (files / "to_hr").iterdir())
    assert names == [f"employees-0000000{n}.csv{end}" for n in (1, 2) for end in ("", ".manifest.json")]
    content = (files / "to_hr" / names[2]).read_bytes()
    (row,) = csv.DictReader(io.StringIO(content.decode()))
    assert (row["employee_id"], row["job_title"], row["phone"]) == ("E1", "Rigger", "+44 1539 555001")
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
    system = drop(tmp_path, columns=columns, delimiter=";", encoding="cp1252", moment_format="%d.%m.%Y %H:%M")
    people = People(system)
    assert dict(people.write(somebody("E1", surname="Ångström; x"), somebody("E2", surname="李"))) == {"E1": "created", "E2": "failed"}
    assert people.reasons == ["surname has a character that cp1252 has not"]
    assert (files / "to_hr/employees-00000001.csv").read_bytes() == 'surname;employee_id;source_created_at\r\n"Ångström; x";E1;\r\n'.encode(
        "cp1252"
    )


@pytest.mark.parametrize(
    ("text", "written"),
    [("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("-2+cmd|x", "'-2+cmd|x"), ("+44 (0)1539 555-001", "+44 (0)1539 555-001"), ("-5", "-5")],
)
def test_what_a_spreadsheet_would_compute_is_defused(tmp_path: Path, files: Path, text: str, written: str) -> None:
    People(drop(tmp_path)).write(somebody(job_title=text))
    (row,) = csv.DictReader(io.StringIO((files / "to_hr/employees-00000001.csv").read_text()))
    assert row["job_title"] == written


def test_what_could_not_be_delivered_is_delivered_first(tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The transaction is through and the folder is not there: the next run delivers before anything else, and writes nothing twice."""
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
    assert [f.name for f in sorted((files / "to_hr").iterdir())] == ["employees-00000001.csv", "employees-00000001.csv.manifest.json"]


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
        assert json.loads(manifest.read_text())["sha256"] == sha256((files / "to_hr/employees.csv").read_bytes()).hexdigest()
    People(drop(tmp_path, mode="full", file_name="{entity}.csv")).read()
    assert json.loads(manifest.read_text())["sha256"] == sha256((files / "to_hr/employees.csv").read_bytes()).hexdigest()
    assert "Rigger" in (files / "to_hr/employees.csv").read_text()


def test_an_answer_is_taken_once_and_archived(tmp_path: Path, files: Path) -> None:
    People(drop(tmp_path)).write(somebody("E1"))
    answer(files, "employees-monday.csv", "employee_id,job_title,surname\r\nE1,Rigger,Ashdown\r\nN9,Diver,Beck\r\n")
    people = People(drop(tmp_path))
    read = people.read()
    assert {k: r["job_title"] for k, r in read.items()} == {"E1": "Rigger", "N9": "Diver"}
    assert read["E1"]["phone"] == "+44 1539 555001", "what the file does not name stays"
    archived = list((files / "from_hr/archive").iterdir())
    assert len(archived) == 1
    assert not list((files / "from_hr").glob("*.csv"))
    archived[0].rename(files / "from_hr/employees-monday.csv")
    people.write(somebody("E1", job_title="Welder"), somebody("N9"))
    assert People(drop(tmp_path)).read()["E1"]["job_title"] == "Welder", "the same file again says nothing new"


def test_a_bad_line_is_named_by_its_number_and_mended_by_a_later_one(tmp_path: Path, files: Path) -> None:
    head = "employee_id,surname,source_created_at\r\n"
    answer(files, "employees-1.csv", f'{head}N1,Ashdown,\r\nN2,Beck,soon\r\nN3\r\n,Dale,\r\n"N4","El\nls",\r\nN5,,\r\n')
    found = drop(tmp_path).read("employees", {"surname": "text"})
    assert sorted(found.frame["employee_id"]) == ["N1", "N4"]
    told = {(r["key"], r["field"]): r["reason"] for r in found.rejected.to_dict("records")}
    assert told == {
        ("N2", "source_created_at"): "is no date (line 3 of employees-1.csv)",
        ("N3", "(line)"): "has 1 cells instead of 3 (line 4 of employees-1.csv)",
        (None, "employee_id"): "has no value (line 5 of employees-1.csv)",
        ("N5", "surname"): "has no value (line 8 of employees-1.csv)",
    }
    answer(files, "employees-2.csv", f"{head}N2,Beck,2026-11-24T10:00:00Z\r\n")
    found = drop(tmp_path).read("employees", {"surname": "text"})
    assert "N2" in set(found.frame["employee_id"])
    assert "N2" not in set(found.rejected["key"].dropna())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("shoe size,employee_id\r\n9,E1\r\n", "employees-1.csv has a header whose column 1 is none of HR's"),
        ("", "employees-1.csv has no usable header"),
        ('employee_id,surname\r\nE1,"x"y\r\n', "employees-1.csv is not valid CSV from line 2 on"),
    ],
)
def test_a_file_that_is_none_is_said_once_and_archived(tmp_path: Path, files: Path, text: str, reason: str) -> None:
    answer(files, "employees-1.csv", text)
    found = drop(tmp_path).read("employees", {"surname": "text"})
    assert found.rejected["reason"].tolist() == [reason]
    assert list((files / "from_hr/archive").iterdir())


def test_a_file_that_is_still_being_written_is_left_alone(tmp_path: Path, files: Path) -> None:
    text = "employee_id,surname\r\nN1,Ashdown\r\n"
    answer(files, ".employees-1.csv", text)
    answer(files, "employees-2.csv.part", text)
    answer(files, "employees-3.csv", text)
    answer(files, "employees-3.csv.manifest.json", json.dumps({"sha256": sha256(b"more to come").hexdigest()}))
    answer(files, "unknown-1.csv", text)
    assert not len(drop(tmp_path).read("employees", {"surname": "text"}).frame)
    fresh = answer(files, "employees-4.csv", text)
    assert not len(drop(tmp_path, quiet_seconds=60).read("employees", {"surname": "text"}).frame)
    answer(files, "employees-4.csv.manifest.json", json.dumps({"sha256": sha256(fresh.read_bytes()).hexdigest()}))
    assert len(drop(tmp_path, quiet_seconds=60).read("employees", {"surname": "text"}).frame) == 1


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
            Sftp(settings).files("x")


def test_a_server_without_an_atomic_rename(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unsupported(*_: Any) -> None:
        raise asyncssh.SFTPOpUnsupported("no posix-rename here")

    monkeypatch.setattr(asyncssh.SFTPClient, "posix_rename", unsupported)
    settings = CsvDropSettings.model_validate(sshd.settings("x")).sftp
    assert settings
    place = Sftp(settings)
    path = f"{sshd.root}/plain/a.csv"
    for content in (b"one", b"two"):
        place.put(path, content)
    assert place.get(path) == b"two"
    assert [name for name, _, _ in place.files(f"{sshd.root}/plain")] == ["a.csv"]
    place.close()


@pytest.mark.slow
def test_decisions_of_an_answer_file_reach_accessplanit(make_side: Callable[..., Side], tmp_path: Path, files: Path) -> None:
    side = make_side(size=60)
    side.target = drop(tmp_path)  # type: ignore[assignment]
    for name in ("users_to_hr", "course_requests_to_hr"):
        side.run(PROCESSES[name].scoped())
    requests = side.target.read("course_requests", {"status": "text"}).frame["course_request_id"].tolist()
    answer(files, "course_requests-1.csv", f"course_request_id,decision\r\n{requests[0]},Approved\r\nNONE,Approved\r\n")
    side.target = drop(tmp_path)  # type: ignore[assignment]
    report = side.run(PROCESSES["course_decisions_from_hr"].scoped())
    assert report.outcomes["updated"] == 1
    with side.sandbox.engine.connect() as connection:
        status = connection.exec_driver_sql('SELECT "Status" FROM "UserCourseDate" WHERE "ID" = ?', (requests[0],)).scalar_one()
    assert status == "Booked"
    (entry,) = side.store.quarantined("course_decisions_from_hr")
    assert (entry["key"], entry["reason"]) == ("NONE", "is none that course_requests has (line 3 of course_requests-1.csv)")


@pytest.fixture
def dialect_name() -> str:
    return "standard"


WYN = Person.of(["wynash", "E1"], ["UA1"], ["wyn@hr.example"])


def test_a_file_loses_the_lines_of_somebody_who_is_forgotten_and_keeps_the_others() -> None:
    settings = CsvDropSettings(delimiter=";")
    content = b"award_record_id;employee_id;managers_emails\r\nUA1;;\r\nUA2;E1;\r\nUA3;E2;a@hr.example,WYN@hr.example\r\nUA4;E11;\r\n"
    left = without(content, settings, WYN)
    assert left == (b"award_record_id;employee_id;managers_emails\r\nUA3;E2;a@hr.example,(forgotten)\r\nUA4;E11;\r\n", 2)
    assert without(left[0], settings, WYN) is None
    assert without(b'E1;"never closed\r\nwynash', settings, WYN) == (b"", 0), "what cannot be read goes as a whole"


def test_what_was_not_delivered_is_delivered_without_somebody_who_is_forgotten(tmp_path: Path, files: Path) -> None:
    people = People(drop(tmp_path))
    people.write(somebody("E1", email="wyn@hr.example"), somebody("E2"))
    with people.system.mirror.engine.begin() as connection:  # type: ignore[attr-defined]
        content = (files / "to_hr" / "employees-00000001.csv").read_bytes()
        connection.execute(delivery.insert().values(entity="employees", rows=2, content=content, made=datetime(2026, 1, 1)))
    drop_of = drop(tmp_path)
    drop_of._begun = True
    told = drop_of.forget(WYN)
    assert told.rows == 2, "a row of the mirror and a line of the file"
    assert [line for line in told.left if "employees-00000001.csv " in line and "handed to HR" in line]
    assert list(People(drop_of).read()) == ["E2"]
    drop(tmp_path).population("employees")
    waited = (files / "to_hr" / "employees-00000002.csv").read_text()
    assert "E2" in waited
    assert "E1" not in waited
