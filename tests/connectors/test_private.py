"""What hrsync makes on this machine its owner alone can read, whatever the umask; what is there
keeps its rights."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from connectors.checkpoints import Folder
from connectors.database import connect


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def rights(path: Path) -> int:
    return path.stat().st_mode & 0o777


def written(file: Path) -> None:
    engine = connect(f"sqlite:///{file}")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t (a)"))
        beside = [rights(other) for other in file.parent.iterdir()]
    engine.dispose()
    assert set(beside) == {rights(file)}, "the log beside it has the same rights"


def test_a_new_database_and_its_folders_are_for_their_owner_alone(
    tmp_path: Path, umask: None
) -> None:
    file = tmp_path / "a" / "b" / "store.db"
    written(file)
    assert [rights(path) for path in (file, file.parent, file.parent.parent)] == [
        0o600,
        0o700,
        0o700,
    ]


def test_a_database_that_is_there_keeps_its_rights(tmp_path: Path) -> None:
    file = tmp_path / "shared" / "hr.db"
    file.parent.mkdir(mode=0o755)
    file.touch()
    file.chmod(0o640)
    written(file)
    assert (rights(file), rights(file.parent)) == (0o640, 0o755)


def test_no_file_is_made_for_a_database_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("sqlite://", "sqlite:///:memory:", "sqlite:///file:shared?mode=memory&uri=true"):
        connect(url).connect().close()
    assert list(tmp_path.iterdir()) == []


def test_reports_and_lists_are_for_their_owner_alone(tmp_path: Path, umask: None) -> None:
    folder = Folder(str(tmp_path / "reconciliations"))
    folder.below("lists").write("people.txt", b"1")
    folder.below("lists").write("people.txt", b"2")
    found = {str(path.relative_to(tmp_path)): rights(path) for path in tmp_path.rglob("*")}
    assert found == {
        "reconciliations": 0o700,
        "reconciliations/lists": 0o700,
        "reconciliations/lists/people.txt": 0o600,
    }
    assert folder.below("lists").text("people.txt") == "2"


def test_a_folder_of_reports_that_is_there_keeps_its_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    Folder(f"file://{tmp_path}").write("report.html", b"")
    assert (rights(tmp_path), rights(tmp_path / "report.html")) == (0o750, 0o600)
