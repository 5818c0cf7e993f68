"""What the drop delivers: how files look, when they come into sight, and whose they are."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from pydantic import ValidationError

from connectors.hr.csv_drop import CsvDropSettings
from connectors.hr.csv_drop.sftp import SftpServer
from reconciliation.errors import Misconfigured, TargetFailed

from .boxes import Box, drop
from .people import People, somebody
from .stands import Sshd


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
