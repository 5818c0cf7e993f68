"""New SQLite databases are copies of one that has been migrated: a copy takes a hundredth of the
time that the migrations take."""

from __future__ import annotations

import sqlite3
from functools import cache
from pathlib import Path

import pytest
import sqlalchemy as sa

from connectors import database

USERS = ("connectors.hr.sql", "connectors.store.sql")
"""Modules that migrate new databases."""


def copy_instead_of_migrating(patch: pytest.MonkeyPatch) -> None:
    for module in USERS:
        patch.setattr(f"{module}.migrate", _migrate)


def migrate_for_real(patch: pytest.MonkeyPatch) -> None:
    """For tests that are about migrations."""
    for module in USERS:
        patch.setattr(f"{module}.migrate", database.migrate)


def _migrate(engine: sa.Engine, scripts: Path, version_table: str, known_by: str = "") -> None:
    if engine.dialect.name == "sqlite" and not sa.inspect(engine).get_table_names():
        with engine.connect() as connection:
            new: sqlite3.Connection = connection.connection.driver_connection  # type: ignore[assignment]
            _template(scripts, version_table, known_by).backup(new)
        if engine.url.database:
            # The next connection sets the mode of the file again.
            engine.dispose()
    database.migrate(engine, scripts, version_table, known_by)


@cache
def _template(scripts: Path, version_table: str, known_by: str) -> sqlite3.Connection:
    template = sqlite3.connect(":memory:", check_same_thread=False)
    engine = sa.create_engine("sqlite://", creator=lambda: template, poolclass=sa.StaticPool)
    database.migrate(engine, scripts, version_table, known_by)
    return template
