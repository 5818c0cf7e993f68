"""Databases as they are found: shared, locked, full, damaged, of another release; and migrations
that are killed."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from connectors.database import connect, migrate, transaction, trouble
from connectors.hr.csv_drop.mirror import opened
from connectors.hr.sql import SqlHr
from connectors.store.sql import SyncStore
from flows.catalogue import PROCESSES
from reconciliation.errors import Misconfigured, StoreFailed, TargetFailed
from tests.connectors.store.settling import at_revision
from tests.served import free_port
from tests.sides import Side

pytestmark = pytest.mark.usefixtures("migrations")

OPENED: dict[str, Callable[[str], Any]] = {"store": SyncStore, "hr": SqlHr}
STEP = 1 if os.environ.get("HRSYNC_CHAOS") == "whole" else 5
"""Statements between two kills; ``make chaos`` kills at every one."""
CHANGES = ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE")


@pytest.fixture
def engine(store_url: str) -> Iterator[sa.Engine]:
    made = connect(store_url)
    yield made
    made.dispose()


# -- migrations ----------------------------------------------------------------------------------


def killed_at(statement: int, work: Callable[[], Any]) -> bool:
    """Does ``work`` in a process of its own, which is gone after so many statements that change
    something; whether it was."""
    child = os.fork()
    if child == 0:
        seen = 0

        @sa.event.listens_for(sa.engine.Engine, "after_cursor_execute")
        def _(_connection: Any, _cursor: Any, text: str, *_rest: Any) -> None:
            nonlocal seen
            seen += text.split()[0].upper() in CHANGES
            if seen == statement:
                os._exit(9)

        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, 9), "it fails only where it is killed"
    return code == 9


@pytest.mark.slow
@pytest.mark.parametrize("first", [None, "0004"])
def test_a_store_whose_migration_was_killed_at_any_statement_is_completed_by_the_next_start(
    store_url: str, first: str | None
) -> None:
    if first:
        at_revision(store_url, first).dispose()
    statement = 1
    # Each start is killed one statement later, over whatever the one before has left.
    while killed_at(statement, lambda: SyncStore(store_url).close()):
        statement += STEP
    assert statement > 10
    SyncStore(store_url).close()


@pytest.mark.slow
def test_an_hr_database_whose_migration_was_killed_at_any_statement_is_completed_by_the_next_start(
    store_url: str,
) -> None:
    statement = 1
    while killed_at(statement, lambda: SqlHr(store_url).close()):
        statement += STEP
    assert statement > 10
    with SqlHr(store_url).engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM employees").scalar() == 0


def test_a_mirror_whose_migration_was_killed_is_completed_by_the_next_start(tmp_path: Path) -> None:
    statement = 1
    while killed_at(statement, lambda: opened(tmp_path).close()):
        statement += STEP
    opened(tmp_path).close()


@pytest.mark.parametrize("kind", OPENED)
def test_processes_that_migrate_at_once_wait_for_each_other(store_url: str, kind: str) -> None:
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            try:
                OPENED[kind](store_url).close()
            except BaseException:
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4


@pytest.mark.parametrize("kind", OPENED)
def test_tables_of_a_newer_release_are_left_alone_and_it_is_said(
    store_url: str, engine: sa.Engine, kind: str
) -> None:
    OPENED[kind](store_url).close()
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE hrsync_{kind}_version SET version_num = '9999'")
    with pytest.raises(
        Misconfigured, match=r"A newer release of hrsync .*9999.*Install that release"
    ):
        OPENED[kind](store_url)


def test_hr_and_store_may_share_a_database(store_url: str, engine: sa.Engine) -> None:
    for kind in ("hr", "store", "hr"):
        OPENED[kind](store_url).close()
    assert {"hrsync_hr_version", "hrsync_store_version", "employees", "watermark"} <= set(
        sa.inspect(engine).get_table_names()
    )


@pytest.mark.parametrize(("kind", "other"), [("store", "hr"), ("hr", "store")])
def test_the_version_of_an_earlier_release_is_taken_over(
    store_url: str, engine: sa.Engine, kind: str, other: str
) -> None:
    OPENED[kind](store_url).close()
    with engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE hrsync_{kind}_version RENAME TO alembic_version")
    for each in (other, kind):
        OPENED[each](store_url).close()
    tables = set(sa.inspect(engine).get_table_names())
    assert {"hrsync_hr_version", "hrsync_store_version"} <= tables
    assert "alembic_version" not in tables


# -- a server's own ways -------------------------------------------------------------------------


def test_what_the_url_asks_a_server_for_counts(postgresql: Callable[[], str]) -> None:
    url = sa.make_url(postgresql())
    with sa.create_engine(url).begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA hr")
    own = url.update_query_dict({"options": "-csearch_path=hr -clock_timeout=5s"}).render_as_string(
        hide_password=False
    )
    hr = SqlHr(own)
    with hr.engine.connect() as connection:
        assert connection.exec_driver_sql(
            "SELECT schemaname FROM pg_tables WHERE tablename = 'employees'"
        ).scalars().all() == ["hr"]
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar() == "5s"
    hr.close()


def test_a_row_is_stamped_in_utc_whatever_the_zone_of_the_session(
    postgresql: Callable[[], str],
) -> None:
    url = postgresql()
    SqlHr(url).close()
    abroad = sa.create_engine(url, connect_args={"options": "-c timezone=America/New_York"})
    with abroad.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO employees (employee_id, surname) VALUES ('E1', 'Lee')"
        )
        connection.exec_driver_sql(
            "INSERT INTO employees (employee_id, surname) VALUES ('E2', 'Lee')"
        )
    with abroad.begin() as connection:
        connection.exec_driver_sql("UPDATE employees SET surname = 'Dale' WHERE employee_id = 'E2'")
        moments = connection.exec_driver_sql("SELECT written_at FROM employees").scalars().all()
    now = datetime.now(UTC).replace(tzinfo=None)
    assert all(abs((now - moment).total_seconds()) < 60 for moment in moments)
    abroad.dispose()


def test_a_transaction_that_is_in_anothers_way_is_tried_again(
    postgresql: Callable[[], str],
) -> None:
    engine = connect(postgresql())
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (k int PRIMARY KEY, v int)")
        connection.exec_driver_sql("INSERT INTO t VALUES (1, 0), (2, 0)")
    both = threading.Barrier(2)

    def add(first: int, second: int) -> None:
        tries = []

        def work(connection: sa.Connection) -> None:
            connection.exec_driver_sql(f"UPDATE t SET v = v + 1 WHERE k = {first}")
            if not tries:
                both.wait(10)
            tries.append(1)
            connection.exec_driver_sql(f"UPDATE t SET v = v + 1 WHERE k = {second}")

        transaction(engine, work)

    other = threading.Thread(target=add, args=(2, 1))
    other.start()
    add(1, 2)
    other.join()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT v FROM t").scalars().all() == [2, 2]
    engine.dispose()


def test_nothing_else_is_tried_again(engine: sa.Engine) -> None:
    tries = []

    def work(connection: sa.Connection) -> None:
        tries.append(1)
        connection.exec_driver_sql("SELECT nothing")

    with pytest.raises(DBAPIError):
        transaction(engine, work)
    assert len(tries) == 1


# -- what is wrong with it -----------------------------------------------------------------------


def test_a_lock_of_somebody_else_is_waited_for_a_time_and_then_said(store_url: str) -> None:
    SyncStore(store_url).close()
    holder, waiting = connect(store_url), connect(store_url, wait=0.2)
    with holder.begin() as connection:
        connection.exec_driver_sql("UPDATE salt SET value = 'x'")
        connection.exec_driver_sql("INSERT INTO salt VALUES ('y')")
        with pytest.raises(DBAPIError) as caught, waiting.begin() as other:
            other.exec_driver_sql("INSERT INTO salt VALUES ('y')")
    assert trouble(caught.value, "X").what.startswith("is locked")
    for each in (holder, waiting):
        each.dispose()


def damaged(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20_000] + b"\xff" * 60_000)


@pytest.mark.parametrize("spoil", [damaged, cut])
@pytest.mark.parametrize(("kind", "error"), [("store", StoreFailed), ("hr", TargetFailed)])
def test_a_damaged_file_is_said_to_be_damaged(
    tmp_path: Path, kind: str, error: type[Exception], spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / "a.db"
    OPENED[kind](f"sqlite:///{path}").close()
    spoil(path)
    with pytest.raises(
        error, match=r"is damaged, or is not a valid database.* Restore the last backup"
    ):
        OPENED[kind](f"sqlite:///{path}")


def test_a_full_disk_is_said_to_be_full(tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'a.db'}")
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 3")
        connection.exec_driver_sql("CREATE TABLE t (v)")
        with pytest.raises(DBAPIError) as caught:
            connection.exec_driver_sql("INSERT INTO t VALUES (zeroblob(100000))")
    assert trouble(caught.value, "X").what.startswith("is full")
    assert trouble(OSError(28, "No space left on device"), "X").what.startswith("is full")
    engine.dispose()


def test_what_cannot_be_written_to_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    sqlite3.connect(path).close()
    engine = sa.create_engine(f"sqlite:///file:{path}?mode=ro&uri=true")
    with engine.connect() as connection, pytest.raises(DBAPIError) as caught:
        connection.exec_driver_sql("CREATE TABLE t (v)")
    assert trouble(caught.value, "X").what.startswith("cannot be written to")
    engine.dispose()


def test_what_cannot_be_reached_names_its_setting() -> None:
    with pytest.raises(StoreFailed, match=r"HRSYNC_STORE__URL"):
        SyncStore("sqlite:////proc/nowhere/store.db")
    with pytest.raises(
        StoreFailed, match=r"Check that it runs and that HRSYNC_STORE__URL is right"
    ):
        SyncStore("postgresql+psycopg://hr:secret@127.0.0.1:1/hr")
    with pytest.raises(
        TargetFailed, match=r"Check that it runs and that HRSYNC_SQL__URL is right"
    ) as caught:
        SqlHr("postgresql+psycopg://hr:secret@127.0.0.1:1/hr")
    assert "secret" not in str(caught.value)


def test_migrating_again_changes_nothing(store_url: str, engine: sa.Engine) -> None:
    from connectors.store import sql

    folder = Path(sql.__file__).parent / "migrations"
    for _ in range(2):
        migrate(engine, folder, "version")


# -- a pool in between ---------------------------------------------------------------------------


@pytest.fixture
def pooled(postgresql: Callable[[], str], tmp_path: Path) -> Iterator[str]:
    """A database behind PgBouncer, which gives its one connection to somebody else after each
    transaction."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("needs PgBouncer")
    url, port = sa.make_url(postgresql()), free_port()
    place = Path(str(url.query["host"]))
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host={place} user={url.username}\n[pgbouncer]\nlisten_addr = "
        f"127.0.0.1\nlisten_port = {port}\n"
        "auth_type = any\npool_mode = transaction\ndefault_pool_size = 1\nunix_socket_dir =\n"
    )
    # Only the server's own account may look into its folder.
    as_user = ["--user", place.owner()] if os.getuid() == 0 else []
    process = subprocess.Popen([program, "--quiet", *as_user, str(folder / "pgbouncer.ini")])
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        assert process.poll() is None
        time.sleep(0.05)
    yield sa.URL.create(
        "postgresql+psycopg", url.username, "any", "127.0.0.1", port, url.database
    ).render_as_string(hide_password=False)
    process.terminate()
    process.wait()
    shutil.rmtree(folder)


def test_a_pool_that_gives_each_transaction_another_session_is_no_matter(
    pooled: str, make_side: Callable[..., Side]
) -> None:
    side = make_side(30)
    for each in (side.store, side.target):
        each.close()
    side.store, side.target = SyncStore(pooled), SqlHr(pooled)
    side.users()
    with side.target.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE employees SET job_title = 'Rigger'")
    both = [
        threading.Thread(target=side.awards),
        threading.Thread(target=lambda: side.run(PROCESSES["users_from_hr"].scoped())),
    ]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    side.users()
    assert side.users().written == side.awards().written == 0
    assert {row["job_title"] for row in side.rows("employees")} == {"Rigger"}
    side.store.close()
    side.target.close()
