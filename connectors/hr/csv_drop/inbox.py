"""HR's answer files: decisions on course requests, new starters and other rows that people in HR write."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

import sqlalchemy as sa

from ..schema import metadata
from ..sql import LOOKUP, SqlHr, columns_of, speaking
from . import CsvDropSettings, text
from .places import Place
from .schema import answer_file, answer_line

MANIFEST = ".manifest.json"
NEW = frozenset({"employees", "award_targets", "assignments"})
"""Entities of which HR may make rows of its own; of the others it answers to ours."""
log = logging.getLogger("hrsync.csv_drop")


@dataclass(frozen=True)
class Bad:
    """A line that was not taken in."""

    key: str | None
    field: str
    reason: str
    raw: str


def take(mirror: SqlHr, place: Place, settings: CsvDropSettings) -> None:
    """Takes in the answer files that are complete, in the order of their names, each in one transaction; then archives it.

    A file's name begins with the entity it is about (``employees-2026-11-24.csv``), its first line names the entity's columns,
    the key among them; an empty cell is no value. A file that was taken in before is only archived.

    Raises:
        TargetFailed, CredentialsRefused: the inbox cannot be read.
    """
    files = place.files(settings.inbox)
    names = {name for name, _, _ in files}
    for name, size, age in files:
        entity = _entity(name)
        if name.endswith(MANIFEST) or not name.lower().endswith(".csv"):
            continue
        if entity is None:
            log.warning("an answer file is left in the inbox: its name begins with no entity")
            continue
        path = f"{settings.inbox}/{name}"
        content = place.get(path)
        if name + MANIFEST in names:
            if not _complete(content, place.get(path + MANIFEST)):
                continue
        elif age < settings.quiet_seconds or len(content) != size:
            continue
        _take_one(mirror, entity, name, content, settings)
        # A name that comes again must not take the place of what is in the archive.
        kept = PurePosixPath(name)
        mark = sha256(content).hexdigest()
        place.move(path, f"{settings.archive}/{kept.stem}-{mark[:12]}{kept.suffix}")
        if name + MANIFEST in names:
            place.remove(path + MANIFEST)


class Inbox:
    """Implements :class:`connectors.webhooks.Watch`: answer files that can be taken in."""

    def __init__(self, place: Place, settings: CsvDropSettings) -> None:
        self.place, self.settings = place, settings

    def look(self) -> dict[str, str]:
        """A mark of each file -> the entity it is about. The mark changes when the file does."""
        files = self.place.files(self.settings.inbox)
        names = {name for name, _, _ in files}
        found = {}
        for name, size, age in files:
            entity = _entity(name)
            if entity and name.lower().endswith(".csv") and (name + MANIFEST in names or age >= self.settings.quiet_seconds):
                found[f"{name} {size}"] = entity
        return found

    def close(self) -> None:
        """Closes the connection."""
        self.place.close()


def _entity(name: str) -> str | None:
    return next((e for e in metadata.tables if re.match(rf"{e}(?![a-z_])", name)), None)


def _complete(content: bytes, manifest: bytes) -> bool:
    try:
        return bool(json.loads(manifest).get("sha256") == sha256(content).hexdigest())
    except (ValueError, AttributeError):
        return False


def _take_one(mirror: SqlHr, entity: str, name: str, content: bytes, settings: CsvDropSettings) -> None:
    mark = sha256(content).hexdigest()
    f = answer_file.c
    with speaking(), mirror.engine.begin() as connection:
        if connection.execute(sa.select(f.name).where(f.name == name, f.sha256 == mark)).first():
            return
        good, bad = _sorted(connection, entity, name, content, settings)
        _write(connection, entity, good)
        lines = [{"entity": entity, "key": b.key, "field": b.field, "reason": b.reason, "raw": b.raw} for b in bad]
        mended = [str(row[_key(entity)]) for row in good] + [b.key for b in bad if b.key]
        for keys in _some(mended):
            connection.execute(answer_line.delete().where(answer_line.c.entity == entity, answer_line.c.key.in_(keys)))
        if lines:
            connection.execute(answer_line.insert(), lines)
        taken = datetime.now(UTC).replace(tzinfo=None)
        connection.execute(answer_file.insert().values(name=name, sha256=mark, taken=taken, good=len(good), bad=len(bad)))


def _sorted(
    connection: sa.Connection, entity: str, name: str, content: bytes, settings: CsvDropSettings
) -> tuple[list[dict[str, Any]], list[Bad]]:
    """Rows that can be written, the last of each key, and lines that cannot."""
    table, key = metadata.tables[entity], _key(entity)
    kinds = {n: k for n, k in columns_of(entity).items() if n != "written_at"}
    try:
        lines = list(text.read(content, kinds, settings))
    except ValueError as error:
        return [], [Bad(None, "(file)", f"{name} {error}", name)]
    keys = [str(line.values[key]) for line in lines if line.values.get(key)]
    found: set[str] = set()
    for some in _some(keys):
        found.update(row[0] for row in connection.execute(sa.select(table.c[key]).where(table.c[key].in_(some))))
    mandatory = [c.name for c in table.columns if not c.nullable and c.server_default is None]
    good: dict[str, dict[str, Any]] = {}
    bad: list[Bad] = []
    for line in lines:
        named = str(line.values[key]) if line.values.get(key) else None
        wrong = line.wrong or ((key, "has no value") if named is None else None)
        if not wrong and named not in found and named not in good:
            missing = [n for n in mandatory if line.values.get(n) is None]
            wrong = (key, f"is none that {entity} has") if entity not in NEW else (missing[0], "has no value") if missing else None
        wrong = wrong or next(((n, "has no value") for n in mandatory if n in line.values and line.values[n] is None), None)
        if wrong:
            bad.append(Bad(named, wrong[0], f"{wrong[1]} (line {line.number} of {name})", line.raw))
        elif named is not None:
            good[named] = {**good.get(named, {}), **line.values}
    return list(good.values()), bad


def _write(connection: sa.Connection, entity: str, rows: Sequence[dict[str, Any]]) -> None:
    """Updates the columns that the file names, and makes the rows that are new."""
    table, key = metadata.tables[entity], _key(entity)
    kinds = columns_of(entity)
    rows = [{n: v.replace(tzinfo=None) if v is not None and kinds[n] == "moment" else v for n, v in row.items()} for row in rows]
    there: set[str] = set()
    for some in _some([str(row[key]) for row in rows]):
        there.update(row[0] for row in connection.execute(sa.select(table.c[key]).where(table.c[key].in_(some))))
    changed = [{f"new_{n}": v for n, v in row.items()} for row in rows if row[key] in there]
    made = [row for row in rows if row[key] not in there]
    if changed and len(rows[0]) > 1:
        names = [n.removeprefix("new_") for n in changed[0] if n != f"new_{key}"]
        statement = table.update().where(table.c[key] == sa.bindparam(f"new_{key}"))
        connection.execute(statement.values({n: sa.bindparam(f"new_{n}") for n in names}), changed)
    if made:
        connection.execute(table.insert(), made)


def _key(entity: str) -> str:
    return next(iter(columns_of(entity)))


def _some(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), LOOKUP):
        yield keys[start : start + LOOKUP]
