"""A backup that is made while runs are at work, and the way back into an empty home."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from connectors.home import locked
from connectors.hr.sql import SqlHr
from connectors.settings import Settings
from connectors.store.sql import SyncStore
from flows.console.backup import backup, restore
from reconciliation.errors import Misconfigured, StoreFailed
from tests.sides import Side
from tests.verify_hr import compare


@pytest.fixture
def dialect_name() -> str:
    return "standard"


def at(home: Path, **more: object) -> Settings:
    return Settings.model_validate({"home": home, **more})


@pytest.fixture
def world(make_side: Callable[..., Side]) -> Side:
    """A side whose databases are those of a home folder."""
    return make_side(80)


def test_a_copy_made_while_runs_are_at_work_is_restored_and_goes_on(
    world: Side, tmp_path: Path
) -> None:
    world.users()
    runs = threading.Thread(target=lambda: [world.awards(), world.sandbox.tick(30), world.users()])
    runs.start()
    told = backup(at(world.folder), tmp_path / "copy")
    runs.join()
    assert [line.rpartition("/")[2] for line in told] == ["store.db", "hr.db", "sandbox.db"], (
        "the sync store first"
    )
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "copy").iterdir()} == {0o600}
    home = tmp_path / "restored"
    restore(at(home), tmp_path / "copy")
    for each in (world.store, world.target):
        each.close()
    world.store, world.target = (
        SyncStore(f"sqlite:///{home / 'store.db'}"),
        SqlHr(f"sqlite:///{home / 'hr.db'}"),
    )
    for _ in range(2):
        world.users()
        world.awards()
    assert world.users().written == world.awards().written == 0
    today = datetime.now(ZoneInfo("Europe/London")).date()
    assert compare(str(world.folder / "sandbox.db"), str(home / "hr.db"), today) == []


def test_nothing_is_overwritten_and_each_refusal_says_why(world: Side, tmp_path: Path) -> None:
    copy, home = tmp_path / "copy", tmp_path / "new"
    with pytest.raises(Misconfigured, match="no database in"):
        backup(at(tmp_path / "mistyped"), copy)
    backup(at(world.folder), copy)
    with pytest.raises(Misconfigured, match="is not empty"):
        backup(at(world.folder), copy)
    with pytest.raises(Misconfigured, match="no backup at"):
        restore(at(home), tmp_path / "elsewhere")
    with pytest.raises(Misconfigured, match=r"has .*store\.db already"):
        restore(at(world.folder), copy)
    home.mkdir()
    with locked(home), pytest.raises(Misconfigured, match="at work"):
        restore(at(home), copy)
    (copy / "store.db").write_bytes((copy / "store.db").read_bytes()[:5000] + b"x" * 90_000)
    with pytest.raises(StoreFailed, match="could not be copied"):
        restore(at(home), copy)
    assert not list(home.glob("*store.db*"))


def test_for_a_server_the_command_is_told_and_no_password(tmp_path: Path) -> None:
    told = backup(
        at(tmp_path, store={"url": "postgresql+psycopg://hr:secret@db.example/hr"}),
        tmp_path / "copy",
    )
    assert told == [
        "not copied, because it is on a server. Copy it with: pg_dump --format=custom "
        f"--file={tmp_path / 'copy' / 'store'}.dump 'postgresql://hr@db.example/hr'"
    ]
