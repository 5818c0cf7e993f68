"""Somebody to whom everything has happened is forgotten: not a byte below the home folder tells of
them, but what is told to the user."""

from __future__ import annotations

import io
import re
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from connectors.checkpoints import Folder
from connectors.hr.csv_drop import CsvDropSettings
from connectors.hr.csv_drop.system import CsvDrop
from connectors.report.page import write
from connectors.settings import Settings
from connectors.store.sql import SyncStore
from connectors.webhooks import Arrival
from flows._history import answer
from flows._run import Order, plainly, run_process
from flows.catalogue import PROCESSES
from flows.console.cli import app
from flows.reconcile_history import keep_list, looked_ahead
from reconciliation.ask import Range
from reconciliation.capabilities import narrowed
from reconciliation.errors import HrsyncError
from reconciliation.history.inquiry import Inquiry
from reconciliation.run.whole_feed import sweep_part
from tests.flows.history.plants import in_process
from tests.sides import Side

USER = "zqwyn"
FORENAMES, SURNAME, MAIL, PHONE = (
    "Wynfreda",
    "Quillerby",
    "wynfreda.quillerby@x.example",
    "07700900991",
)
NOW = datetime.now(UTC)


@pytest.fixture
def dialect_name() -> str:
    return "standard"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def world(
    make_side: Callable[..., Side], home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Side:
    """A sandbox with an invented person, and HR over files."""
    side = make_side(20)
    home.mkdir()
    side.store.close()
    side.store = SyncStore(f"sqlite:///{home / 'store.db'}")
    side.target = CsvDrop.of(CsvDropSettings(quiet_seconds=0), home)  # type: ignore[assignment]
    invent(side)
    monkeypatch.chdir(tmp_path)
    settings = Settings(home=home, hr="csv_drop", accessplanit=side.settings, dialect=side.dialect)  # type: ignore[call-arg]
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HRSYNC_CSV_DROP__QUIET_SECONDS", "0")
    return side


def sandbox(side: Side, statement: str, *values: object) -> None:
    moment = (side.sandbox.now() + timedelta(seconds=2)).isoformat(timespec="milliseconds")
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(statement.replace("NOW", f"'{moment}'"), values)


def invent(side: Side) -> None:
    """Somebody with awards, a job role and courses gets an ID, a name and an address that nobody
    else has."""
    with side.sandbox.engine.begin() as connection:
        query = (
            'SELECT a."UserID" FROM "UserAward" a JOIN "UserUserType" t ON t."UserID" = '
            'a."UserID" JOIN "User" u ON u."ID" = a."UserID"'
        )
        old = connection.exec_driver_sql(
            f"{query} WHERE u.\"Status\" = 'Enabled' GROUP BY 1 ORDER BY count(*) DESC"
        ).first()[0]  # type: ignore[index]
        tables = (
            connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'")
            .scalars()
            .all()
        )
        for table in tables:
            for _, column, kind, *_ in connection.exec_driver_sql(
                f'PRAGMA table_info("{table}")'
            ).all():
                if "TEXT" in str(kind).upper() or "CHAR" in str(kind).upper():
                    named = (
                        f'UPDATE "{table}" SET "{column}" = ? || substr("{column}", ?) WHERE '
                        f'"{column}" = ? OR "{column}" LIKE ?'
                    )
                    connection.exec_driver_sql(named, (USER, len(old) + 1, old, f"{old}~%"))
    values = (FORENAMES, SURNAME, MAIL, PHONE, USER)
    sandbox(
        side,
        'UPDATE "User" SET "Forenames" = ?, "Surname" = ?, "Email" = ?, "Phone" = ?, '
        '"DateUpdated" = NOW WHERE "ID" = ?',
        *values,
    )
    for table, column in (("UserAward", "UserFullname"), ("UserCourseDate", "UserFullName")):
        sandbox(
            side,
            f'UPDATE "{table}" SET "{column}" = ? WHERE "UserID" = ?',
            f"{FORENAMES} {SURNAME}",
            USER,
        )


def all_loads(side: Side, order: Order | None = None) -> None:
    for chosen in PROCESSES.values():
        side.run(chosen.scoped(), order, through=chosen.through)


def from_hr(home: Path, name: str, *lines: str) -> None:
    folder = home / "hr-files" / "from_hr"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n")


def restart(side: Side, home: Path) -> None:
    side.store.close()
    side.store = SyncStore(f"sqlite:///{home / 'store.db'}")
    side.target.close()
    side.target = CsvDrop.of(CsvDropSettings(quiet_seconds=0), home)  # type: ignore[assignment]


def employee(side: Side) -> str:
    links = side.store.links("employees", source_keys=[USER])
    return str(links["target_key"].iloc[0])


def award_like(side: Side, key: str, **more: object) -> None:
    """One more award of the person."""
    with side.sandbox.engine.connect() as connection:
        row = dict(
            connection.exec_driver_sql(
                'SELECT * FROM "UserAward" WHERE "Status" = \'Completed\' LIMIT 1'
            )
            .mappings()
            .one()
        )
    row |= {"ID": key, "UserID": USER, "UserFullname": f"{FORENAMES} {SURNAME}", **more}
    names, marks = ",".join(f'"{name}"' for name in row), ",".join("?" * len(row))
    sandbox(side, f'INSERT INTO "UserAward" ({names}) VALUES ({marks})', *row.values())
    sandbox(side, 'UPDATE "UserAward" SET "DateUpdated" = NOW WHERE "ID" = ?', key)


def everything_happens(side: Side, home: Path) -> None:
    """Loads both ways, rejected, held and refused records, kept and approved plans, hints, a
    conflict, sweeps, files, a report."""
    all_loads(side)
    all_loads(side)
    key = employee(side)
    users = PROCESSES["users_to_hr"].scoped()
    # HR writes to the person, and to others, and once so that it cannot be read.
    others = [
        str(row) for row in side.target.read("employees", {}).frame["employee_id"] if row != key
    ][:3]
    from_hr(
        home,
        "employees-1.csv",
        "employee_id,town,job_title",
        f"{key},Kendal,Rigger",
        f"{others[0]},Kendal,Welder",
    )
    from_hr(home, "employees-2.csv", "employee_id,source_created_at", f"{key},the day before")
    from_hr(home, "employees-3.csv", "employee_id,town", f"{key},Ulverston")
    all_loads(side)
    # Both sides change one field: a conflict that waits.
    holding = users.model_copy(update={"conflict": "hold"})
    sandbox(
        side, 'UPDATE "User" SET "Town" = ?, "DateUpdated" = NOW WHERE "ID" = ?', "Ambleside", USER
    )
    from_hr(home, "employees-4.csv", "employee_id,town", f"{key},Coniston")
    restart(side, home)
    side.run(holding)
    # A record that cannot be read, an award in a plan that nobody applies, and one in a plan that
    # somebody approves.
    award_like(side, "UAAPPROVED1")
    awards = narrowed(PROCESSES["awards_to_hr"].scoped(), side.target.capabilities)
    _, plan = run_process(awards, side.world(awards), Order(mode="plan", keep=True), call=plainly)
    side.run(awards, Order(approve=plan.digest))
    award_like(side, "UAREJECTED1", Passed="the other day")
    award_like(side, "UAKEPT1")
    run_process(awards, side.world(awards), Order(mode="plan", keep=True), call=plainly)
    with pytest.raises(HrsyncError, match="waits for somebody"):
        run_process(awards, side.world(awards), Order(confirm=True), call=plainly)
    said = (("User", USER), ("UserCourseDate", f"{USER}~101"))
    side.store.accept(
        [Arrival("user", "PUT", said, "d1", True)],
        {("user", feed): ["users_to_hr"] for feed, _ in said},
        NOW,
    )
    # A year passes for what is kept; then there is more.
    side.store.prune(NOW + timedelta(days=100), NOW - timedelta(days=1))
    sandbox(
        side,
        'UPDATE "User" SET "JobTitle" = \'Beekeeper\', "DateUpdated" = NOW WHERE "ID" = ?',
        USER,
    )
    all_loads(side)
    all_loads(side, Order(sweep=True))
    part = Range("created_at", None, None)
    side.store.keep_part(users, part, sweep_part(side.source(), users, part), NOW)
    keep_list(Settings(home=home), [USER, "somebody"])  # type: ignore[call-arg]
    reported(side, home, key)
    restart(side, home)


def reported(side: Side, home: Path, key: str) -> None:
    """Reports of users and awards in which the person stands, and parts of one that was never
    finished."""
    from_hr(home, "employees-5.csv", "employee_id,full_address", f"{key},Quillerby House")
    restart(side, home)
    folder = Folder(str(home / "reconciliations"))
    for name in ("users_to_hr", "awards_to_hr"):
        spec = narrowed(PROCESSES[name].scoped(), side.target.capabilities)
        inquiry = Inquiry(process=name, as_of=NOW.date())
        work = folder.below(f"work/{name}")
        world = side.world(spec)
        found = answer(spec, inquiry, world, side.target, work, in_process, call=plainly)
        write(folder, found.findings, looked_ahead(inquiry, found, world, side.target))


def forms(home: Path) -> Iterator[tuple[str, str]]:
    """(file, all that is in it) below a folder: its bytes, and what is compressed in it."""
    for path in sorted(path for path in home.rglob("*") if path.is_file()):
        content = path.read_bytes()
        texts = [content.decode("latin-1"), content.decode("utf-8", errors="replace")]
        if path.suffix == ".db":
            texts += list(cells(path))
        if path.suffix == ".parquet":
            texts.append(shown(pq.read_table(io.BytesIO(content)).to_pandas()))
        yield str(path.relative_to(home)), "\n".join(texts)


def cells(path: Path) -> Iterator[str]:
    with sqlite3.connect(path) as connection:
        for (table,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                for cell in row:
                    if isinstance(cell, bytes) and cell.startswith(b"ARROW1"):
                        yield shown(pyarrow.feather.read_table(pa.BufferReader(cell)).to_pandas())
                    else:
                        yield cell.decode("latin-1") if isinstance(cell, bytes) else str(cell)


def shown(data: pd.DataFrame) -> str:
    return str(data.to_dict("records"))


def traces(home: Path, values: list[str]) -> dict[str, list[str]]:
    """File -> what of the person is found in it."""
    found = {
        name: [value for value in values if value.lower() in text.lower()]
        for name, text in forms(home)
    }
    return {name: hits for name, hits in found.items() if hits}


def forget(person: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["forget", person, "--yes"], env={"COLUMNS": "250"})
    assert result.exit_code == code, result.output
    return result.output


def test_law_10_somebody_to_whom_everything_has_happened_is_forgotten(
    world: Side, home: Path
) -> None:
    everything_happens(world, home)
    key = employee(world)
    values = [USER, key, SURNAME, FORENAMES, MAIL, PHONE, "UAREJECTED1", "UAKEPT1", "UAAPPROVED1"]
    before = traces(home, values)
    places = (
        "store.db",
        "hr-mirror.db",
        "archive",
        "to_hr",
        "report.html",
        "rows.csv",
        "rows.parquet",
        "lists",
        "work",
    )
    for place in places:
        assert any(place in name for name in before), f"nothing was planted in {place}"
    world.store.close()
    world.target.close()
    told = forget(USER)
    left = {
        re.search(r"file (\S+)", line)[1]
        for line in told.splitlines()
        if line.startswith("- the file")
    }  # type: ignore[index]
    assert left
    assert all(name.startswith("to_hr/") for name in left), "the files that HR was given"
    found = traces(home, values)
    assert {name.removeprefix("hr-files/") for name in found} <= left, found
    assert f"the user {USER}" in told
    (archived,) = (home / "hr-files" / "from_hr" / "archive").iterdir()
    assert "Kendal,Welder" in archived.read_text(), (
        "what HR has answered of others stays; files without any other line are gone"
    )
    others = [name for name in (home / "reconciliations").iterdir() if name.name[0].isdigit()]
    assert all((name / "report.html").exists() for name in others), (
        "the reports stay, for what they say of others"
    )
    restart(world, home)
    users = PROCESSES["users_to_hr"].scoped()
    for order in (Order(), Order(sweep=True)):
        world.run(users, order)
    assert employee(world), "who is in accessplanit still is somebody new"


def test_nobody_is_forgotten_by_an_id_that_nobody_has(world: Side, home: Path) -> None:
    all_loads(world)
    world.store.close()
    world.target.close()
    before = {name: text for name, text in forms(home) if not name.endswith(("-shm", "-wal"))}
    from_hr(home, "employees-1.csv", "employee_id,surname", "N1,Lee")
    before = {name: text for name, text in forms(home) if not name.endswith(("-shm", "-wal"))}
    assert "Nothing is known of a user with this ID" in forget("zqwy", code=1)
    assert {
        name: text for name, text in forms(home) if not name.endswith(("-shm", "-wal"))
    } == before


def test_an_id_is_meant_to_the_letter_and_the_right_one_is_named(world: Side, home: Path) -> None:
    all_loads(world)
    key = employee(world)
    world.store.close()
    world.target.close()
    for said in (USER.upper(), key):
        assert f"Did you mean {USER}?" in forget(said, code=1)


def test_copies_of_a_system_that_is_configured_no_more_are_searched(
    world: Side, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    all_loads(world)
    world.store.close()
    world.target.close()
    monkeypatch.setenv("HRSYNC_HR", "sql")
    forget(USER)
    with sqlite3.connect(home / "hr-mirror.db") as connection:
        assert USER not in "\n".join(connection.iterdump())
