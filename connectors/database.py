"""Engines and migrations, for the HR database and the sync store alike."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory


def connect(url: str) -> sa.Engine:
    """An engine; a SQLite file gets its folder, write-ahead logging and a patient lock."""
    parsed = sa.make_url(url)
    # Moments are kept without a zone, in UTC: whatever the server's own zone is, its clock must say so.
    zone = {"options": "-c timezone=UTC"} if parsed.get_backend_name() == "postgresql" else {}
    engine = sa.create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite", connect_args=zone)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)

        @sa.event.listens_for(engine, "connect")
        def _pragmas(connection, _record):  # type: ignore[no-untyped-def]
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA busy_timeout=30000")

    return engine


def migrate(engine: sa.Engine, scripts: Path, version_table: str = "alembic_version") -> None:
    """Brings the tables to the newest version of the Alembic ``scripts``, kept in ``version_table``; does nothing if they are."""
    config = Config()
    config.set_main_option("script_location", str(scripts))
    head = ScriptDirectory.from_config(config).get_current_head()
    with engine.begin() as connection:
        if MigrationContext.configure(connection, opts={"version_table": version_table}).get_current_revision() != head:
            config.attributes |= {"connection": connection, "version_table": version_table}
            command.upgrade(config, "head")


def scrub(engine: sa.Engine) -> bool:
    """Rewrites a database without what was deleted from it, so that it cannot be read in free pages or in the log; false if another
    connection has kept the log from being emptied."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM")
        if engine.dialect.name != "sqlite":
            return True
        # The log last: what VACUUM has written is in it, and the old pages are in the file, until it is emptied.
        busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").scalar()
        return not busy
