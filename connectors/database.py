"""Engines and migrations, for the HR database and the sync store alike."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.exc import ArgumentError, DBAPIError

from reconciliation.errors import Misconfigured

from .private import private_file

LOCK_SECONDS = 30.0
"""How long a statement waits for a lock that somebody else holds."""
MIGRATING = 0x68727379
"""The advisory lock on PostgreSQL: one process migrates, the others wait."""
ATTEMPTS = 4
"""Attempts of a transaction that the server ends because of another one."""
CONFLICTS = ("40001", "40P01")
"""SQLSTATE of a serialization failure and of a deadlock: the same transaction may be tried
again."""


Result = TypeVar("Result")


class Trouble(NamedTuple):
    """What is wrong with a database, as the end of a sentence, and what to do."""

    what: str
    remedy: str


FULL = Trouble(
    "is full: there is no space left on its disk", "Free space on the disk, then run again."
)
CORRUPT = Trouble(
    "is damaged, or is not a database of this kind",
    "Restore the last backup (hrsync restore), or give the file a database again.",
)
LOCKED = Trouble(
    f"is locked: another program has held a lock for more than {LOCK_SECONDS:.0f} seconds",
    "Find out which program has an open transaction there and end it, then run again.",
)
READ_ONLY = Trouble(
    "cannot be written to",
    "Give this account the right to write to it (for a file, to its folder too), then run again.",
)
REFUSED = Trouble(
    "refuses the user name or password of {setting}", "Correct {setting}, then run again."
)
AWAY = Trouble(
    "cannot be used ({error})", "Check that it runs and that {setting} is right, then run again."
)
OF_SQLITE = {
    "FULL": FULL,
    "CORRUPT": CORRUPT,
    "NOTADB": CORRUPT,
    "BUSY": LOCKED,
    "LOCKED": LOCKED,
    "READONLY": READ_ONLY,
    "PERM": READ_ONLY,
}
"""SQLite's name of an error, without ``SQLITE_`` and what follows after it -> what it means."""
OF_POSTGRESQL = {
    "53100": FULL,
    "XX001": CORRUPT,
    "XX002": CORRUPT,
    "55P03": LOCKED,
    "25006": READ_ONLY,
    "42501": READ_ONLY,
}
OF_POSTGRESQL |= {"28P01": REFUSED, "28000": REFUSED}
"""SQLSTATE -> what it means."""


def trouble(error: Exception, setting: str) -> Trouble:
    """What an error says of its database. setting: the one that names the database.

    Whatever it is, nothing was lost: what was written is complete, and the next run does the rest.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    named = str(getattr(cause, "sqlite_errorname", "")).removeprefix("SQLITE_").partition("_")[0]
    found = OF_SQLITE.get(named) or OF_POSTGRESQL.get(str(getattr(cause, "sqlstate", "")), AWAY)
    if isinstance(cause, OSError):
        found = {errno.ENOSPC: FULL, errno.EROFS: READ_ONLY, errno.EACCES: READ_ONLY}.get(
            cause.errno or 0, AWAY
        )
    what, remedy = (text.format(setting=setting, error=type(error).__name__) for text in found)
    return Trouble(what, f"{remedy} Nothing was lost.")


def shown(url: sa.URL) -> str:
    """A database as people are shown it: without its password, and without options, of which some
    are secrets too."""
    return url.set(query={}).render_as_string(hide_password=True)


def connect(url: str, wait: float = LOCK_SECONDS) -> sa.Engine:
    """An engine, whose statements wait ``wait`` seconds for a lock.

    A SQLite file that is not there is made, with its folder, for its owner alone; it gets
    write-ahead logging. What the URL of a PostgreSQL server asks for counts. Nothing is left in a
    session, so that it may belong to a pool that gives it to others after each transaction
    (PgBouncer).

    Raises:
        Misconfigured: it is not a URL; does not repeat it.
    """
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise Misconfigured(
            "The URL of a database is not valid",
            "Correct HRSYNC_STORE__URL or HRSYNC_SQL__URL; in a password, write @ : / ? # as "
            "%40 %3A %2F %3F %23.",
        ) from None
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, wait)
    arguments = (
        {"prepare_threshold": None, **_noticing(parsed)}
        if parsed.get_driver_name() == "psycopg"
        else {}
    )
    engine = sa.create_engine(
        parsed, pool_pre_ping=True, isolation_level="READ COMMITTED", connect_args=arguments
    )
    if "lock_timeout" not in str(parsed.query.get("options", "")):

        @sa.event.listens_for(engine, "begin")
        def _limit(connection: sa.Connection) -> None:
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(wait * 1000)}")

    return engine


def _noticing(url: sa.URL) -> dict[str, int]:
    """Options of a connection by which a server that has gone silent is noticed; what the URL asks
    for counts."""
    wanted = {
        "connect_timeout": 10,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 25_000,
    }
    return {name: value for name, value in wanted.items() if name not in url.query}


def _sqlite(url: sa.URL, wait: float) -> sa.Engine:
    if url.database and url.database != ":memory:" and not url.database.startswith("file:"):
        private_file(Path(url.database))
    engine = sa.create_engine(url)

    @sa.event.listens_for(engine, "connect")
    def _pragmas(connection: Any, _record: object) -> None:
        connection.execute(f"PRAGMA busy_timeout={int(wait * 1000)}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    return engine


def transaction(engine: sa.Engine, work: Callable[[sa.Connection], Result]) -> Result:
    """What ``work`` returns, within a transaction that is tried again when another one is in its
    way."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with engine.begin() as connection:
                return work(connection)
        except Exception as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            if getattr(cause, "sqlstate", None) not in CONFLICTS or attempt == ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def migrate(engine: sa.Engine, scripts: Path, version_table: str, known_by: str = "") -> None:
    """Brings the tables to the newest version of the Alembic ``scripts``; does nothing if they have
    it.

    All of it is one transaction: a process that is killed leaves the tables as they were. Processes
    that migrate at once wait for each other.

    Args:
        engine: of a database in which others may keep tables of their own.
        scripts: the folder with the scripts.
        version_table: where the version is kept.
        known_by: a table by which tables are known whose version an earlier release kept in
            ``alembic_version``.

    Raises:
        Misconfigured: the tables were made by a newer release.
    """
    head, versions = _revisions(scripts)
    with engine.connect() as connection:
        if _version(connection, version_table) == head:
            return
    with _alone(engine) as connection:
        _adopt(connection, version_table, known_by)
        version = _version(connection, version_table)
        if version is not None and version not in versions:
            raise Misconfigured(
                f"A newer release of hrsync has used this database (its version is {version}; "
                f"this release knows {head})",
                "Install that release, or restore a backup from before.",
            )
        if version != head:
            config = _config(scripts)
            config.attributes |= {"connection": connection, "version_table": version_table}
            command.upgrade(config, "head")


def _config(scripts: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts))
    return config


@cache
def _revisions(scripts: Path) -> tuple[str | None, frozenset[str]]:
    """The newest revision, and all revisions. Reading the scripts takes longer than a look at the
    version of a database, so a process does it once."""
    directory = ScriptDirectory.from_config(_config(scripts))
    names = frozenset(script.revision for script in directory.walk_revisions())
    return directory.get_current_head(), names


def add_missing(engine: sa.Engine, metadata: sa.MetaData) -> None:
    """Adds the tables and columns of ``metadata`` that the database lacks, each new table with its
    indexes.

    A column is added to a table that has rows only if it may be empty or has a default: any other
    change of a table is a migration (:func:`migrate`). One transaction, as there.
    """
    with engine.connect() as connection:
        if not _missing(connection, metadata):
            return
    with _alone(engine) as connection:
        for table, columns in _missing(connection, metadata).items():
            if columns == list(table.columns):
                table.create(connection)
                continue
            for column in columns:
                text = sa.schema.CreateColumn(column).compile(dialect=engine.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {text}")
            for index in table.indexes:
                # SQLite does not tell SQLAlchemy of indexes over expressions.
                connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))


def _missing(
    connection: sa.Connection, metadata: sa.MetaData
) -> dict[sa.Table, list[sa.Column[Any]]]:
    """Table -> those of its columns that the database lacks."""
    inspector = sa.inspect(connection)
    found: dict[sa.Table, list[sa.Column[Any]]] = {}
    columns = inspector.get_multi_columns(filter_names=list(metadata.tables))
    there = {table: {c["name"] for c in each} for (_, table), each in columns.items()}
    for table in metadata.sorted_tables:
        lacking = [c for c in table.columns if c.name not in there.get(table.name, ())]
        if lacking:
            found[table] = lacking
    return found


def _version(connection: sa.Connection, table: str) -> str | None:
    return MigrationContext.configure(
        connection, opts={"version_table": table}
    ).get_current_revision()


def _adopt(connection: sa.Connection, version_table: str, known_by: str) -> None:
    tables = set(sa.inspect(connection).get_table_names())
    if version_table not in tables and {"alembic_version", known_by} <= tables:
        connection.exec_driver_sql(f"ALTER TABLE alembic_version RENAME TO {version_table}")


@contextmanager
def _alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that holds changes of tables too, while no other process is in one like it."""
    if engine.dialect.name != "sqlite":
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATING})")
            yield connection
        return
    # The driver begins a transaction for INSERT and the like only, and commits one at each change
    # of a table, unless it is told not to.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")


def scrub(engine: sa.Engine) -> bool:
    """Rewrites a database without what was deleted from it, so that it cannot be read in free pages
    or in the log; false if another connection has kept the log from being emptied."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM")
        if engine.dialect.name != "sqlite":
            return True
        # The log last: what VACUUM has written is in it, and the old pages are in the file, until
        # it is emptied.
        busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
        return not busy
