"""Copies the databases of the home folder while they are in use, and restores them into an empty
home folder."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from connectors.home import at_work, make_private
from connectors.settings import Settings
from reconciliation.errors import StoreFailed, WrongInput

STORE = "store.db"
"""File name of the sync store."""


def backup(settings: Settings, target: Path) -> list[str]:
    """Copies every database of the home folder into the new folder ``target``. Runs may continue
    meanwhile.

    The sync store is copied first. If a run writes to HR between the two copies, HR is ahead of the
    store in the backup, as after a crash, and the next run settles the difference.

    Returns:
        A line for each database that was copied, and one for each that must be copied by another
        command.

    Raises:
        WrongInput: ``target`` is not empty, or there is nothing to copy.
        StoreFailed: a database cannot be read or its copy cannot be written.
    """
    files = sorted(settings.home.glob("*.db"), key=lambda file: (file.name != STORE, file.name))
    elsewhere = list(_elsewhere(settings, target))
    if not files and not elsewhere:
        raise WrongInput(
            f"There is no database in {settings.home.absolute()}",
            "Set HRSYNC_HOME to your home folder of hrsync.",
        )
    if target.exists() and any(target.iterdir()):
        raise WrongInput(f"{target} is not empty", "Choose a new folder.")
    make_private(target)
    return [*(_copy(file, target / file.name) for file in files), *elsewhere]


def restore(settings: Settings, source: Path) -> list[str]:
    """Restores the databases of a backup into the home folder, which must not have any of them yet.
    Returns a line for each database.

    Raises:
        WrongInput: there is no backup at ``source``, or the home folder is in use, or it has one
            of the databases already.
        StoreFailed: a copy is damaged, or cannot be written.
    """
    home = settings.home.absolute()
    files = sorted(source.glob("*.db"))
    if not files:
        raise WrongInput(
            f"There is no backup at {source}", "Give the folder that 'hrsync backup' has made."
        )
    if at_work(home):
        raise WrongInput(f"hrsync up is at work in {home}", "Stop it first.")
    existing = [file.name for file in files if (home / file.name).exists()]
    if existing:
        raise WrongInput(
            f"{home} has {', '.join(existing)} already",
            "Restore into an empty home folder, or move these files away first.",
        )
    make_private(home)
    copied = [_copy(file, home / file.name) for file in files]
    if (home / STORE).exists():
        with closing(sqlite3.connect(home / STORE)) as store, store:
            # Runs that were at work during the backup do not continue here: free their leases.
            store.execute("UPDATE lease SET run = ''")
    return copied


def _elsewhere(settings: Settings, target: Path) -> Iterator[str]:
    """Yields a line with the copy command for each database on a server."""
    hr = settings.of_connector("sql") if settings.hr.partition("/")[0] == "sql" else None
    for name, url in (("store", settings.store.url), ("hr", getattr(hr, "url", None))):
        if url is not None and not url.get_secret_value().startswith("sqlite"):
            parts = sa.make_url(url.get_secret_value())
            plain = sa.URL.create(
                "postgresql", parts.username, None, parts.host, parts.port, parts.database
            ).render_as_string()
            yield (
                "not copied, because it is on a server. Copy it with: pg_dump --format=custom "
                f"--file={target / name}.dump '{plain}'"
            )


def _copy(file: Path, to: Path) -> str:
    """Copies a database and checks the copy. Returns a line about it."""
    part = to.with_name(f".{to.name}.part")
    try:
        with (
            closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(part)) as copy,
        ):
            os.chmod(part, 0o600)
            source.backup(copy)
            integrity = copy.execute("PRAGMA integrity_check").fetchone()[0]
        if integrity != "ok":
            raise sqlite3.DatabaseError("damaged")
        part.replace(to)
    except (sqlite3.Error, OSError) as error:
        part.unlink(missing_ok=True)
        raise StoreFailed(
            f"{file} could not be copied to {to} ({type(error).__name__})",
            "Check the free space and access rights, and whether the database is damaged.",
        ) from None
    return f"{file} to {to}"
