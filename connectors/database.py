"""Opens and migrates databases: the HR database and the sync store."""

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
"""Maximum number of seconds for which a statement waits for a lock of another connection."""
MIGRATION_LOCK = 0x68727379
"""Number of the PostgreSQL advisory lock that lets one process migrate while the others wait."""
ATTEMPTS = 4
"""Maximum number of attempts of a transaction that the server aborts because of another one."""
CONFLICTS = ("40001", "40P01")
"""SQLSTATE of a serialization failure and of a deadlock. After these the same transaction can be
tried again."""


Result = TypeVar("Result")


class Trouble(NamedTuple):
    """The description of a database error."""

    what: str
    """What is wrong. It completes a sentence such as "The HR database ...", without a full stop."""
    remedy: str
    """What to do, in whole sentences."""


FULL = Trouble(
    "is full: there is no space left on its disk", "Free space on the disk, then run again."
)
CORRUPT = Trouble(
    "is damaged, or is not a valid database",
    "Restore the last backup (hrsync restore), or replace the file with a valid database.",
)
LOCKED = Trouble(
    f"is locked: another program has held a lock for more than {LOCK_SECONDS:.0f} seconds",
    "Find the program that holds a transaction open and end that transaction, then run again.",
)
READ_ONLY = Trouble(
    "cannot be written to",
    "Give this account the right to write to it (for a file, to its folder too), then run again.",
)
REFUSED = Trouble(
    "refuses the user name or password of {setting}", "Correct {setting}, then run again."
)
UNUSABLE = Trouble(
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
"""SQLite error name -> trouble. Only the first word after ``SQLITE_`` counts, such as ``BUSY`` in
``SQLITE_BUSY_SNAPSHOT``."""
OF_POSTGRESQL = {
    "53100": FULL,
    "XX001": CORRUPT,
    "XX002": CORRUPT,
    "55P03": LOCKED,
    "25006": READ_ONLY,
    "42501": READ_ONLY,
    "28P01": REFUSED,
    "28000": REFUSED,
}
"""SQLSTATE -> trouble."""
OF_SYSTEM = {errno.ENOSPC: FULL, errno.EROFS: READ_ONLY, errno.EACCES: READ_ONLY}
"""Error number of the operating system -> trouble."""


def trouble(error: Exception, setting: str) -> Trouble:
    """Describes the error of a database.

    In every case nothing was lost: what was written is complete, and the next run does the rest.

    Args:
        error: the error of SQLAlchemy, the driver or the operating system.
        setting: the name of the setting with the URL of the database.
    """
    cause = error.orig if isinstance(error, DBAPIError) else error
    name = str(getattr(cause, "sqlite_errorname", "")).removeprefix("SQLITE_").partition("_")[0]
    sqlstate = str(getattr(cause, "sqlstate", ""))
    if isinstance(cause, OSError):
        template = OF_SYSTEM.get(cause.errno or 0, UNUSABLE)
    else:
        template = OF_SQLITE.get(name) or OF_POSTGRESQL.get(sqlstate, UNUSABLE)
    what, remedy = (text.format(setting=setting, error=type(error).__name__) for text in template)
    return Trouble(what, f"{remedy} Nothing was lost.")


def shown(url: sa.URL) -> str:
    """Returns the URL of a database to be shown. It hides the password and omits the options,
    because some of them are secrets too."""
    return url.set(query={}).render_as_string(hide_password=True)


def connect(url: str, wait: float = LOCK_SECONDS) -> sa.Engine:
    """Returns an engine. Its statements wait up to ``wait`` seconds for a lock.

    A SQLite file is created if it does not exist, with its folder, so that only its owner can read
    it. It uses write-ahead logging.

    Options in the URL of a PostgreSQL server take precedence over those set here. No state is left
    in a session after a transaction, so the server may be behind a pool that then gives the session
    to another client (PgBouncer).

    Raises:
        Misconfigured: the URL is not valid. The message does not repeat it.
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
        {"prepare_threshold": None, **_timeouts(parsed)}
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


def _timeouts(url: sa.URL) -> dict[str, int]:
    """Returns connection options that detect a server that no longer answers, without those that
    the URL sets itself."""
    defaults = {
        # In seconds, except keepalives_count (a number) and tcp_user_timeout (milliseconds).
        "connect_timeout": 10,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 25_000,
    }
    return {name: value for name, value in defaults.items() if name not in url.query}


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
    """Runs ``work`` in a transaction and returns its result. The transaction is tried again, up to
    :data:`ATTEMPTS` times in all, if the server aborts it because of another one."""
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
    """Brings the tables to the newest version of the Alembic ``scripts``, if they do not have it
    yet.

    The whole migration is one transaction: if the process is killed, the tables are unchanged.
    Several processes that migrate at the same time wait for each other.

    Args:
        engine: the engine of the database, which may also have tables of other programs.
        scripts: the folder with the scripts.
        version_table: the table that holds the version.
        known_by: the name of one of the tables. Earlier releases kept the version in
            ``alembic_version``. If that table and ``known_by`` exist and ``version_table`` does
            not, ``alembic_version`` is renamed to it.

    Raises:
        Misconfigured: a newer release has used the database.
    """
    head, versions = _revisions(scripts)
    with engine.connect() as connection:
        if _version(connection, version_table) == head:
            return
    with _exclusive(engine) as connection:
        _adopt(connection, version_table, known_by)
        version = _version(connection, version_table)
        if version is not None and version not in versions:
            raise Misconfigured(
                "A newer release of hrsync has used this database (its tables have version "
                f"{version}; this release supports versions up to {head})",
                "Install that release, or restore a backup made before it was first used.",
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
    """Returns the newest revision and all revisions. The result is cached, because reading the
    scripts takes longer than reading the version of a database."""
    directory = ScriptDirectory.from_config(_config(scripts))
    revisions = frozenset(script.revision for script in directory.walk_revisions())
    return directory.get_current_head(), revisions


def add_missing(engine: sa.Engine, metadata: sa.MetaData) -> None:
    """Adds the tables and columns of ``metadata`` that the database lacks, with their indexes, in
    one transaction.

    To a table with rows, a database can only add a column that is nullable or has a default. Any
    other change of a table needs a migration (:func:`migrate`).
    """
    with engine.connect() as connection:
        if not _missing(connection, metadata):
            return
    with _exclusive(engine) as connection:
        for table, columns in _missing(connection, metadata).items():
            if columns == list(table.columns):
                table.create(connection)
                continue
            for column in columns:
                definition = sa.schema.CreateColumn(column).compile(dialect=engine.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {definition}")
            for index in table.indexes:
                # On SQLite, SQLAlchemy cannot list indexes over expressions, so the database
                # checks which indexes exist.
                connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))


def _missing(
    connection: sa.Connection, metadata: sa.MetaData
) -> dict[sa.Table, list[sa.Column[Any]]]:
    """Maps each incomplete table to the columns that the database lacks."""
    inspector = sa.inspect(connection)
    missing: dict[sa.Table, list[sa.Column[Any]]] = {}
    columns = inspector.get_multi_columns(filter_names=list(metadata.tables))
    existing = {table: {c["name"] for c in each} for (_, table), each in columns.items()}
    for table in metadata.sorted_tables:
        lacking = [c for c in table.columns if c.name not in existing.get(table.name, ())]
        if lacking:
            missing[table] = lacking
    return missing


def _version(connection: sa.Connection, table: str) -> str | None:
    return MigrationContext.configure(
        connection, opts={"version_table": table}
    ).get_current_revision()


def _adopt(connection: sa.Connection, version_table: str, known_by: str) -> None:
    """Renames the version table of an earlier release; see :func:`migrate`."""
    tables = set(sa.inspect(connection).get_table_names())
    if version_table not in tables and {"alembic_version", known_by} <= tables:
        connection.exec_driver_sql(f"ALTER TABLE alembic_version RENAME TO {version_table}")


@contextmanager
def _exclusive(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Opens a transaction in which tables can be changed. Only one process at a time can be in
    it."""
    if engine.dialect.name != "sqlite":
        with engine.begin() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            yield connection
        return
    # By default the driver begins a transaction only for statements like INSERT, not for a change
    # of a table. So it is switched to AUTOCOMMIT, and BEGIN and COMMIT are sent here.
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.exec_driver_sql("ROLLBACK")
            raise
        connection.exec_driver_sql("COMMIT")


def scrub(engine: sa.Engine) -> bool:
    """Rewrites a database so that deleted data can no longer be read in its free pages or its log.
    Returns false if another connection has prevented the log from being emptied."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM")
        if engine.dialect.name != "sqlite":
            return True
        # The log is emptied last: until then VACUUM's new pages are in the log, and the old pages
        # are still in the file.
        busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
        return not busy
