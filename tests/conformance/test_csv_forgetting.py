"""Somebody who is forgotten is in no file, and the others are."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from connectors.hr.csv_drop import CsvDropSettings
from connectors.hr.csv_drop.forget import without
from connectors.hr.csv_drop.schema import delivery
from reconciliation.person import Person

from .boxes import HEAD, drop
from .people import People, somebody

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
