"""Lines that cannot be read, and what is remembered of files."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from connectors.hr.csv_drop import inbox
from connectors.hr.sql import SqlHr

from .boxes import HEAD, Box, drop


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
        "occurs on lines 2, 4 of this file"
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
