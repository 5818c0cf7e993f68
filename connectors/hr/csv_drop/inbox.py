"""Reads HR's answer files from the inbox: decisions on course requests, new starters and other rows
that people in HR write."""

from __future__ import annotations

import json
import logging
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path, PurePosixPath

import sqlalchemy as sa

from ..schema import metadata
from ..sql import SqlHr, speaking
from .answers import Answer, take_in
from .files import Entry
from .looks import rested
from .mirror import opened
from .places import Place
from .schema import answer_file
from .settings import CsvDropSettings

MANIFEST = ".manifest.json"
"""Ending of a manifest's name, after the name of its file."""
PATIENCE = 15.0
"""Maximum seconds for which a run waits until files are no longer being written. Files that need
longer are left to a later run."""
STUCK = 300.0
"""Seconds without a change after which a file that does not fit its manifest is given up."""
STEM = 50
"""Maximum number of characters of a file's name that are kept in the archive. More could make the
name too long with the mark."""
ENTITIES = sorted(metadata.tables, key=len, reverse=True)
"""Longest first, so that the first one that fits a file's name is the right one."""
log = logging.getLogger("hrsync.csv_drop")


@dataclass(frozen=True)
class Waiting:
    """An answer file in the inbox."""

    entry: Entry
    entity: str
    manifest: str | None
    """The name of its manifest, or ``None`` without one."""


@dataclass(frozen=True)
class Look:
    """The state of an inbox at one moment."""

    files: list[Waiting]
    """Sorted by time, then by name with numbers as numbers (2 before 10)."""
    rest: dict[str, float]
    """Name -> seconds for which the file has not changed."""
    strays: int
    """Number of CSV files whose name does not begin with an entity."""


def take(mirror: SqlHr, place: Place, settings: CsvDropSettings) -> None:
    """Reads the complete answer files into the mirror, oldest first, each in one transaction, and
    archives them.

    A file's name begins with its entity (``employees_2026-11-24.csv``). Its first line names
    columns of the entity, including the key. An empty cell is no value. A file is complete if its
    manifest fits or, without a manifest, if it has not changed for ``quiet_seconds``. A newer file
    waits for an older one of its entity that is still being written.

    Raises:
        TargetFailed, CredentialsRefused: the inbox cannot be read.
    """
    look = _look(mirror, place, settings)
    pause = max((_pause(file, look, settings) for file in look.files), default=0.0)
    if 0 < pause <= PATIENCE:
        time.sleep(pause)
        look = _look(mirror, place, settings)
    if look.strays:
        log.warning(
            "%d CSV files in the inbox are not read: begin their names with an entity, or "
            "remove them",
            look.strays,
        )
    unfinished: set[str] = set()
    for file in look.files:
        if file.entity not in unfinished and not _take(mirror, place, file, settings, look):
            unfinished.add(file.entity)
    _prune(mirror, place, settings)


def _pause(file: Waiting, look: Look, settings: CsvDropSettings) -> float:
    """Returns the seconds to wait until a file counts as complete. 0 for a file that has not
    changed for long enough, or that has a manifest."""
    return 0.0 if file.manifest else max(settings.quiet_seconds - look.rest[file.entry.name], 0.0)


def _look(mirror: SqlHr, place: Place, settings: CsvDropSettings) -> Look:
    """Lists the inbox."""
    entries = [
        entry
        for entry in place.files(settings.inbox)
        if entry.name.lower().endswith((".csv", MANIFEST))
    ]
    manifests = {
        entry.name.lower(): entry.name for entry in entries if entry.name.lower().endswith(MANIFEST)
    }
    tables = [entry for entry in entries if not entry.name.lower().endswith(MANIFEST)]
    candidates = [
        (entry, entity_of(entry.name), manifests.get(entry.name.lower() + MANIFEST))
        for entry in tables
    ]
    files = [Waiting(entry, entity, manifest) for entry, entity, manifest in candidates if entity]
    rest = rested(mirror.engine, f"{place.name}/{settings.inbox}", [file.entry for file in files])
    return Look(sorted(files, key=_order), rest, len(tables) - len(files))


def _order(file: Waiting) -> tuple[int, list[tuple[int, str]], str]:
    return file.entry.written, natural(file.entry.name), file.entry.name


def entity_of(name: str) -> str | None:
    """Returns the entity with which a file's name begins, in upper or lower case. Any character but
    a letter may follow it."""
    return next(
        (entity for entity in ENTITIES if re.match(rf"{entity}(?![a-z])", name, re.IGNORECASE)),
        None,
    )


def natural(name: str) -> list[tuple[int, str]]:
    """Returns a sort key that compares numbers in names as numbers."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part)
        for part in re.split(r"([0-9]+)", name.lower())
    ]


def _take(
    mirror: SqlHr, place: Place, file: Waiting, settings: CsvDropSettings, look: Look
) -> bool:
    """Reads one file if it is complete, and archives it. Returns false if newer files of the entity
    must wait, because this one is still being written.

    A file that does not fit its manifest is not read. Newer files wait for it until it has not
    changed for :data:`STUCK` seconds.
    """
    path = f"{settings.inbox}/{file.entry.name}"
    if _pause(file, look, settings):
        return False
    content = place.get(path)
    manifest = place.get(f"{settings.inbox}/{file.manifest}") if file.manifest else None
    if content is not None and file.manifest and not _fits(content, manifest):
        stuck = look.rest[file.entry.name] > STUCK
        if stuck:
            log.warning(
                "A file in the inbox does not fit its manifest and is not read: send both "
                "again, or remove the manifest"
            )
        return stuck
    if content is None or (not file.manifest and place.entry(path) != file.entry):
        return False
    answer = Answer(file.entity, file.entry, content, manifest)
    take_in(mirror, answer, settings)
    if place.entry(path) != file.entry:
        return False  # HR has replaced it meanwhile: the next run reads it.
    # Remove the manifest first: left alone, it would be matched with the next file of this name.
    if file.manifest:
        place.remove(f"{settings.inbox}/{file.manifest}")
    name = PurePosixPath(file.entry.name)
    place.move(path, f"{settings.archive}/{name.stem[:STEM]}-{answer.mark}{name.suffix}")
    return True


def _prune(mirror: SqlHr, place: Place, settings: CsvDropSettings) -> None:
    """Deletes archived files after ``archive_days``. A file's age counts from when it was read or,
    if that is no longer known, from when it was written."""
    if settings.archive_days is None:
        return
    edge = datetime.now(UTC) - timedelta(days=settings.archive_days)
    f = answer_file.c
    with speaking(), mirror.engine.connect() as connection:
        recent = {
            sha[:12]
            for sha in connection.execute(
                sa.select(f.sha256).where(f.taken >= edge.replace(tzinfo=None))
            ).scalars()
        }
    for entry in place.files(settings.archive):
        mark = PurePosixPath(entry.name).stem.rpartition("-")[2]
        if mark not in recent and 0 < entry.written < edge.timestamp() * 1e9:
            place.remove(f"{settings.archive}/{entry.name}")


def _fits(content: bytes, manifest: bytes | None) -> bool:
    """Whether a manifest has the SHA-256 of a file's content."""
    try:
        return bool(json.loads(manifest or b"").get("sha256") == sha256(content).hexdigest())
    except (ValueError, AttributeError):
        return False


class Inbox:
    """Implements :class:`connectors.webhooks.Watch` for answer files."""

    def __init__(self, place: Place, settings: CsvDropSettings, home: Path) -> None:
        self.place, self.settings, self._home = place, settings, home
        self._mirror: SqlHr | None = None

    def look(self) -> dict[str, str]:
        """Maps a mark of each file that can be read to its entity. The mark changes when the file
        does.

        Raises:
            TargetFailed, CredentialsRefused: the inbox or the mirror cannot be read.
        """
        self._mirror = self._mirror or opened(self._home)
        look = _look(self._mirror, self.place, self.settings)
        ready = [file for file in look.files if not _pause(file, look, self.settings)]
        return {f"{f.entry.name} {f.entry.size} {f.entry.written}": f.entity for f in ready}

    def close(self) -> None:
        """Closes the connection and the mirror."""
        self.place.close()
        if self._mirror:
            self._mirror.close()
