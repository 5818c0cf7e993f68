"""Copies of the databases below the home folder, made while they are in use, and the way back into
an empty home."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa

from connectors.home import at_work, make_private
from connectors.settings import Settings
from reconciliation.errors import Misconfigured, StoreFailed

STORE = "store.db"


def backup(settings: Settings, target: Path) -> list[str]:
    """Copies every database of the home folder into the new folder ``target``; runs may go on
    meanwhile.

    The sync store is copied first: what a run writes to HR between the two copies it finds there
    again, as after a crash.

    Returns:
        What was copied, in words, and what must be copied otherwise.

    Raises:
        Misconfigured: ``target`` is not empty, or there is nothing to copy.
        StoreFailed: a database cannot be read or its copy cannot be written.
    """
    files = sorted(settings.home.glob("*.db"), key=lambda file: (file.name != STORE, file.name))
    elsewhere = list(_elsewhere(settings, target))
    if not files and not elsewhere:
        raise Misconfigured(
            f"There is no database below {settings.home.absolute()}",
            "Set HRSYNC_HOME to the home folder.",
        )
    if target.exists() and any(target.iterdir()):
        raise Misconfigured(f"{target} is not empty", "Name a new folder.")
    make_private(target)
    return [*(_copied(file, target / file.name) for file in files), *elsewhere]


def restore(settings: Settings, source: Path) -> list[str]:
    """Brings the databases of a backup into the home folder, which must have none of them.

    Raises:
        Misconfigured: there is no backup at ``source``, or the home folder is in use or not empty.
        StoreFailed: a copy is damaged, or cannot be written.
    """
    home = settings.home.absolute()
    files = sorted(source.glob("*.db"))
    if not files:
        raise Misconfigured(
            f"There is no backup at {source}", "Name the folder that 'hrsync backup' has made."
        )
    if at_work(home):
        raise Misconfigured(f"hrsync up is at work on {home}", "Stop it first.")
    there = [file.name for file in files if (home / file.name).exists()]
    if there:
        raise Misconfigured(
            f"{home} has {', '.join(there)} already",
            "Restore into an empty home folder, or move these files away first.",
        )
    make_private(home)
    told = [_copied(file, home / file.name) for file in files]
    if (home / STORE).exists():
        with closing(sqlite3.connect(home / STORE)) as store, store:
            # A run that was at work when the copy was made is not at work here.
            store.execute("UPDATE lease SET run = ''")
    return told


def _elsewhere(settings: Settings, target: Path) -> Iterator[str]:
    """The databases on a server, each with the command that copies it."""
    hr = settings.of_connector("sql") if settings.hr.partition("/")[0] == "sql" else None
    for what, url in (("store", settings.store.url), ("hr", getattr(hr, "url", None))):
        if url is not None and not url.get_secret_value().startswith("sqlite"):
            parts = sa.make_url(url.get_secret_value())
            plain = sa.URL.create(
                "postgresql", parts.username, None, parts.host, parts.port, parts.database
            ).render_as_string()
            yield (
                "not copied, for it is on a server: pg_dump --format=custom "
                f"--file={target / what}.dump '{plain}'"
            )


def _copied(file: Path, to: Path) -> str:
    part = to.with_name(f".{to.name}.part")
    try:
        with (
            closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(part)) as copy,
        ):
            os.chmod(part, 0o600)
            source.backup(copy)
            found = copy.execute("PRAGMA integrity_check").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError("damaged")
        part.replace(to)
    except (sqlite3.Error, OSError) as error:
        part.unlink(missing_ok=True)
        raise StoreFailed(
            f"{file} could not be copied to {to} ({type(error).__name__})",
            "Check the space and rights there, and whether it is damaged.",
        ) from None
    return f"{file} to {to}"
