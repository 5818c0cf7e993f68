"""HR's answer files: decisions on course requests, new starters and other rows that people in HR
write."""

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
PATIENCE = 15.0
"""Seconds that a run waits for files to come to rest. Files that need longer are left to a later
run."""
STUCK = 300.0
"""Seconds after which a file that has not changed, and does not fit its manifest, is taken for one
that will not."""
STEM = 50
"""Characters of a file's name that its name in the archive begins with: with the mark it must not
become too long."""
ENTITIES = sorted(metadata.tables, key=len, reverse=True)
log = logging.getLogger("hrsync.csv_drop")


@dataclass(frozen=True)
class Waiting:
    """An answer file in the inbox."""

    entry: Entry
    entity: str
    manifest: str | None
    """The name of its manifest, if there is one."""


@dataclass(frozen=True)
class Look:
    """An inbox at one moment."""

    files: list[Waiting]
    """In the order in which they count: by time, then by name as people count (2 before 10)."""
    rest: dict[str, float]
    """Name -> seconds for which a file has been as it is."""
    strays: int
    """CSV files whose name begins with no entity."""


def take(mirror: SqlHr, place: Place, settings: CsvDropSettings) -> None:
    """Takes in the answer files that are complete, the oldest first, each in one transaction; then
    archives it.

    A file's name begins with the entity it is about (``employees_2026-11-24.csv``), its first line
    names the entity's columns, the key among them; an empty cell is no value. A file is complete if
    its manifest fits, or else if it has stayed as it is for ``quiet_seconds``. A newer file waits
    for an older one of its entity that is still being written.

    Raises:
        TargetFailed, CredentialsRefused: the inbox cannot be read.
    """
    seen = _look(mirror, place, settings)
    pause = max((_pause(file, seen, settings) for file in seen.files), default=0.0)
    if 0 < pause <= PATIENCE:
        time.sleep(pause)
        seen = _look(mirror, place, settings)
    if seen.strays:
        log.warning(
            "%d CSV files in the inbox are not read: begin their names with an entity, or "
            "remove them",
            seen.strays,
        )
    unfinished: set[str] = set()
    for file in seen.files:
        if file.entity not in unfinished and not _take(mirror, place, file, settings, seen):
            unfinished.add(file.entity)
    _prune(mirror, place, settings)


def _pause(file: Waiting, seen: Look, settings: CsvDropSettings) -> float:
    """Seconds for which a file must still be left alone; 0: it has come to rest, or has a manifest
    that tells."""
    return 0.0 if file.manifest else max(settings.quiet_seconds - seen.rest[file.entry.name], 0.0)


def _look(mirror: SqlHr, place: Place, settings: CsvDropSettings) -> Look:
    entries = [
        entry
        for entry in place.files(settings.inbox)
        if entry.name.lower().endswith((".csv", MANIFEST))
    ]
    manifests = {
        entry.name.lower(): entry.name for entry in entries if entry.name.lower().endswith(MANIFEST)
    }
    tables = [entry for entry in entries if not entry.name.lower().endswith(MANIFEST)]
    found = [
        (entry, entity_of(entry.name), manifests.get(entry.name.lower() + MANIFEST))
        for entry in tables
    ]
    files = [Waiting(entry, entity, manifest) for entry, entity, manifest in found if entity]
    rest = rested(mirror.engine, f"{place.name}/{settings.inbox}", [file.entry for file in files])
    return Look(sorted(files, key=_order), rest, len(tables) - len(files))


def _order(file: Waiting) -> tuple[int, list[tuple[int, str]], str]:
    return file.entry.written, natural(file.entry.name), file.entry.name


def entity_of(name: str) -> str | None:
    """The entity with which a file's name begins, whatever the case and what follows after it,
    unless that is a letter."""
    return next(
        (entity for entity in ENTITIES if re.match(rf"{entity}(?![a-z])", name, re.IGNORECASE)),
        None,
    )


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts the numbers in names as numbers."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part)
        for part in re.split(r"([0-9]+)", name.lower())
    ]


def _take(
    mirror: SqlHr, place: Place, file: Waiting, settings: CsvDropSettings, seen: Look
) -> bool:
    """Takes in one file if it is whole, and archives it; false if it is still being written, so
    that newer ones must wait.

    A file that does not fit its manifest is not taken. When it has not changed for :data:`STUCK`
    seconds, it holds up no other.
    """
    path = f"{settings.inbox}/{file.entry.name}"
    if _pause(file, seen, settings):
        return False
    content = place.get(path)
    manifest = place.get(f"{settings.inbox}/{file.manifest}") if file.manifest else None
    if content is not None and file.manifest and not _fits(content, manifest):
        stuck = seen.rest[file.entry.name] > STUCK
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
        return False  # It was delivered anew meanwhile: the next run reads it.
    # The manifest first: without its file, it would be taken for that of the next file of this
    # name.
    if file.manifest:
        place.remove(f"{settings.inbox}/{file.manifest}")
    kept = PurePosixPath(file.entry.name)
    place.move(path, f"{settings.archive}/{kept.stem[:STEM]}-{answer.mark}{kept.suffix}")
    return True


def _prune(mirror: SqlHr, place: Place, settings: CsvDropSettings) -> None:
    """Removes archived files that were taken in, or of which that is not known any more written,
    longer ago than they are kept."""
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
    try:
        return bool(json.loads(manifest or b"").get("sha256") == sha256(content).hexdigest())
    except (ValueError, AttributeError):
        return False


class Inbox:
    """Implements :class:`connectors.webhooks.Watch`: answer files that can be taken in."""

    def __init__(self, place: Place, settings: CsvDropSettings, home: Path) -> None:
        self.place, self.settings, self._home = place, settings, home
        self._mirror: SqlHr | None = None

    def look(self) -> dict[str, str]:
        """A mark of each file -> the entity it is about. The mark changes when the file does.

        Raises:
            TargetFailed, CredentialsRefused: the inbox or the mirror cannot be read.
        """
        self._mirror = self._mirror or opened(self._home)
        seen = _look(self._mirror, self.place, self.settings)
        ready = [file for file in seen.files if not _pause(file, seen, self.settings)]
        return {f"{f.entry.name} {f.entry.size} {f.entry.written}": f.entity for f in ready}

    def close(self) -> None:
        """Closes the connection and the mirror."""
        self.place.close()
        if self._mirror:
            self._mirror.close()
