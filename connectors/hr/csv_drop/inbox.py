"""HR's answer files: decisions on course requests, new starters and other rows that people in HR write."""

from __future__ import annotations

import json
import logging
import re
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path, PurePosixPath

from ..schema import metadata
from ..sql import SqlHr
from . import CsvDropSettings
from .answers import Answer, take_in
from .looks import waits
from .mirror import opened
from .places import Entry, Place

MANIFEST = ".manifest.json"
PATIENCE = 15.0
"""Seconds that a run waits for files to come to rest. Files that need longer are left to a later run."""
STEM = 50
"""Characters of a file's name that its name in the archive begins with: with the mark it must not become too long."""
ENTITIES = sorted(metadata.tables, key=len, reverse=True)
log = logging.getLogger("hrsync.csv_drop")


@dataclass(frozen=True)
class Waiting:
    """An answer file in the inbox."""

    entry: Entry
    entity: str
    has_manifest: bool


@dataclass(frozen=True)
class Look:
    """An inbox at one moment."""

    files: list[Waiting]
    """In the order in which they count: by time, then by name as people count (2 before 10)."""
    pauses: dict[str, float]
    """Name -> seconds for which a file must still be left alone; 0: it has come to rest, or has a manifest."""
    strays: int
    """CSV files whose name begins with no entity."""


def take(mirror: SqlHr, place: Place, settings: CsvDropSettings) -> None:
    """Takes in the answer files that are complete, the oldest first, each in one transaction; then archives it.

    A file's name begins with the entity it is about (``employees_2026-11-24.csv``), its first line names the entity's columns,
    the key among them; an empty cell is no value. A file is complete if its manifest fits, or else if it has stayed as it is
    for ``quiet_seconds``. A newer file waits for an older one of its entity that is still being written.

    Raises:
        TargetFailed, CredentialsRefused: the inbox cannot be read.
    """
    seen = _look(mirror, place, settings)
    pause = max(seen.pauses.values(), default=0.0)
    if 0 < pause <= PATIENCE:
        time.sleep(pause)
        seen = _look(mirror, place, settings)
    if seen.strays:
        log.warning("%d CSV files in the inbox are not read: begin their names with an entity, or remove them", seen.strays)
    unfinished = {file.entity: file for file in reversed(seen.files) if seen.pauses[file.entry.name]}
    for file in seen.files:
        if file.entity not in unfinished or _order(file) < _order(unfinished[file.entity]):
            _take(mirror, place, file, settings)


def _look(mirror: SqlHr, place: Place, settings: CsvDropSettings) -> Look:
    entries = [entry for entry in place.files(settings.inbox) if entry.name.lower().endswith((".csv", MANIFEST))]
    names = {entry.name for entry in entries}
    tables = [entry for entry in entries if not entry.name.endswith(MANIFEST)]
    files = [Waiting(e, entity, e.name + MANIFEST in names) for e in tables if (entity := entity_of(e.name))]
    alone = [file.entry for file in files if not file.has_manifest]
    pauses = waits(mirror.engine, f"{place.name}/{settings.inbox}", alone, settings.quiet_seconds)
    return Look(sorted(files, key=_order), dict.fromkeys(names, 0.0) | pauses, len(tables) - len(files))


def _order(file: Waiting) -> tuple[int, list[tuple[int, str]], str]:
    return file.entry.written, natural(file.entry.name), file.entry.name


def entity_of(name: str) -> str | None:
    """The entity with which a file's name begins, whatever the case and what follows after it, unless that is a letter."""
    return next((entity for entity in ENTITIES if re.match(rf"{entity}(?![a-z])", name, re.IGNORECASE)), None)


def natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts the numbers in names as numbers."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name.lower())]


def _take(mirror: SqlHr, place: Place, file: Waiting, settings: CsvDropSettings) -> None:
    """Takes in one file if it is whole, and archives it."""
    path = f"{settings.inbox}/{file.entry.name}"
    content = place.get(path)
    manifest = place.get(path + MANIFEST) if file.has_manifest else None
    if content is None or (file.has_manifest and not _fits(content, manifest)):
        return
    if not file.has_manifest and place.entry(path) != file.entry:
        return
    answer = Answer(file.entity, file.entry, content, manifest)
    take_in(mirror, answer, settings)
    if place.entry(path) != file.entry:
        return  # It was delivered anew meanwhile: the next run reads it.
    # The manifest first: without its file, it would be taken for that of the next file of this name.
    if file.has_manifest:
        place.remove(path + MANIFEST)
    kept = PurePosixPath(file.entry.name)
    place.move(path, f"{settings.archive}/{kept.stem[:STEM]}-{answer.mark}{kept.suffix}")


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
        ready = [file for file in seen.files if not seen.pauses[file.entry.name]]
        return {f"{f.entry.name} {f.entry.size} {f.entry.written}": f.entity for f in ready}

    def close(self) -> None:
        """Closes the connection and the mirror."""
        self.place.close()
        if self._mirror:
            self._mirror.close()
