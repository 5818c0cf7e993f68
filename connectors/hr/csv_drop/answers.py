"""Writes one answer file to the mirror: its valid rows, and its invalid lines with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from ..schema import columns_of, metadata
from ..sql import LOOKUP, SqlHr, speaking
from . import text
from .files import Entry
from .schema import answer_file, answer_line
from .settings import CsvDropSettings

NEW = frozenset({"employees", "award_targets", "assignments"})
"""Entities for which HR may create rows. For other entities it can only change existing rows."""
LONGEST_KEY = 200
"""Maximum number of characters in a key."""
KEYLESS = 1_000
"""Maximum number of invalid lines without a key that are kept per entity, the latest ones. No later
line can replace them."""
REMEMBERED = 1_000
"""Maximum number of file names that are kept, those read last. They are enough to recognise a file
that an interruption has left in the inbox."""


@dataclass(frozen=True)
class Answer:
    """An answer file and its content."""

    entity: str
    entry: Entry
    content: bytes
    manifest: bytes | None

    @cached_property
    def sha256(self) -> str:
        return sha256(self.content).hexdigest()

    @property
    def mark(self) -> str:
        """The name of the file in messages, by which it is found in the archive. Its real name may
        hold a person's name."""
        return self.sha256[:12]


@dataclass(frozen=True)
class Bad:
    """An invalid line."""

    key: str | None
    field: str
    reason: str
    raw: str


def take_in(mirror: SqlHr, answer: Answer, settings: CsvDropSettings) -> None:
    """Writes the valid rows and the invalid lines of a file to the database, in one transaction.

    The file replaces an earlier one of its name, whose invalid lines are deleted. If this delivery
    was already read, nothing happens.

    Raises:
        Refused: the mirror refuses a row.
        TargetFailed: the mirror cannot be used.
    """
    with speaking(), mirror.engine.begin() as connection:
        if _is_taken(connection, answer):
            return
        good, bad = _sorted(connection, answer, settings)
        _write(connection, answer.entity, good)
        _quarantine(connection, answer, good, bad)
        _remember(connection, answer, len(good), len(bad))


def _is_taken(connection: sa.Connection, answer: Answer) -> bool:
    """Whether this delivery was already read: the last file of its name has the same content, time
    and manifest. A missing manifest counts as the same, because it is removed before its file."""
    f = answer_file.c
    last = connection.execute(sa.select(answer_file).where(f.name == answer.entry.label)).first()
    if last is None or (last.sha256, last.written) != (answer.sha256, answer.entry.written):
        return False
    return answer.manifest is None or last.manifest == _digest(answer.manifest)


def _remember(connection: sa.Connection, answer: Answer, good: int, bad: int) -> None:
    """Stores that a file was read, with its numbers of valid rows and invalid lines."""
    f = answer_file.c
    values = {
        "name": answer.entry.label,
        "sha256": answer.sha256,
        "manifest": _digest(answer.manifest),
        "written": answer.entry.written,
    }
    taken = datetime.now(UTC).replace(tzinfo=None)
    connection.execute(answer_file.delete().where(f.name == answer.entry.label))
    connection.execute(answer_file.insert().values(**values, taken=taken, good=good, bad=bad))
    latest = sa.select(f.name).order_by(f.taken.desc()).limit(REMEMBERED)
    connection.execute(answer_file.delete().where(f.name.not_in(latest)))


def _digest(manifest: bytes | None) -> str | None:
    return None if manifest is None else sha256(manifest).hexdigest()


def _quarantine(
    connection: sa.Connection, answer: Answer, good: Sequence[dict[str, Any]], bad: Sequence[Bad]
) -> None:
    """Stores the invalid lines. Deletes earlier ones of this entity that are from the same file or
    have the same key, or that have no key and the same text."""
    a = answer_line.c
    deletion = answer_line.delete().where(a.entity == answer.entity)
    connection.execute(deletion.where(a.file == answer.entry.label))
    for keys in _some(
        [str(row[_key(answer.entity)]) for row in good] + [b.key for b in bad if b.key]
    ):
        connection.execute(deletion.where(a.key.in_(keys)))
    for raws in _some([b.raw for b in bad if not b.key]):
        connection.execute(deletion.where(a.key.is_(None), a.raw.in_(raws)))
    if bad:
        lines = [{"entity": answer.entity, "file": answer.entry.label, **vars(b)} for b in bad]
        connection.execute(answer_line.insert(), lines)
    keyless = (
        sa.select(a.id).where(a.entity == answer.entity, a.key.is_(None)).order_by(a.id.desc())
    )
    # SQLite needs a limit with an offset; -1 means none.
    connection.execute(deletion.where(a.id.in_(keyless.offset(KEYLESS).limit(-1))))


def _sorted(
    connection: sa.Connection, answer: Answer, settings: CsvDropSettings
) -> tuple[list[dict[str, Any]], list[Bad]]:
    """Splits a file into valid rows, with each key once, and invalid lines."""
    entity, key = answer.entity, _key(answer.entity)
    kinds = {n: k for n, k in columns_of(entity).items() if n != "written_at"}
    try:
        lines = list(text.read(answer.content, kinds, settings))
    except ValueError as error:
        return [], [
            Bad(None, "(file)", f"{error} (file {answer.mark})", text.visible(answer.entry.label))
        ]
    keys = [_key_of(line, key) for line in lines]
    # Key -> numbers of its lines.
    places: dict[str | None, list[int]] = {}
    for line, name in zip(lines, keys, strict=True):
        places.setdefault(name, []).append(line.number)
    mandatory = [
        c.name
        for c in metadata.tables[entity].columns
        if not c.nullable and c.server_default is None
    ]
    existing = _existing(connection, entity, [name for name in places if name])
    good: list[dict[str, Any]] = []
    bad: list[Bad] = []
    for line, name in zip(lines, keys, strict=True):
        fault = (
            line.wrong
            or _wrong_key(line, key, name, places)
            or _missing(line, entity, mandatory, known=name in existing)
        )
        if fault:
            field, reason = fault
            bad.append(
                Bad(
                    name,
                    field,
                    f"{reason} (line {line.number} of file {answer.mark})",
                    text.kept(line.cells, settings),
                )
            )
        else:
            good.append(dict(line.values))
    return good, bad


def _key_of(line: text.Line, key: str) -> str | None:
    """Returns the key of a line, or ``None`` if it is missing or too long."""
    value = line.values.get(key)
    return str(value) if value and len(value) <= LONGEST_KEY else None


def _wrong_key(
    line: text.Line, key: str, name: str | None, places: Mapping[str | None, list[int]]
) -> tuple[str, str] | None:
    """Returns (column, reason) if the key of a line is missing, too long, or not unique."""
    if name is None:
        too_long = bool(line.values.get(key))
        return key, f"has more than {LONGEST_KEY} characters" if too_long else "has no value"
    return (
        (key, f"occurs on lines {', '.join(map(str, places[name]))} of this file")
        if len(places[name]) > 1
        else None
    )


def _missing(
    line: text.Line, entity: str, mandatory: Sequence[str], *, known: bool
) -> tuple[str, str] | None:
    """Returns (column, reason) if the row may not be created, or if a mandatory value is missing.
    If the row is ``known``, columns that the file does not name keep their values."""
    if not known and entity not in NEW:
        return _key(entity), f"is not the key of any row of {entity}"
    missing = [
        n for n in mandatory if (n in line.values or not known) and line.values.get(n) is None
    ]
    return (missing[0], "has no value") if missing else None


def _existing(connection: sa.Connection, entity: str, keys: Sequence[str]) -> set[str]:
    """Returns those of the keys that are in the mirror."""
    column = metadata.tables[entity].c[_key(entity)]
    existing: set[str] = set()
    for chunk in _some(keys):
        existing.update(connection.execute(sa.select(column).where(column.in_(chunk))).scalars())
    return existing


def _write(connection: sa.Connection, entity: str, rows: Sequence[dict[str, Any]]) -> None:
    """Updates the columns that the file names, and inserts new rows."""
    table, key = metadata.tables[entity], _key(entity)
    kinds = columns_of(entity)
    rows = [
        {
            n: v.replace(tzinfo=None) if v is not None and kinds[n] == "moment" else v
            for n, v in row.items()
        }
        for row in rows
    ]
    existing = _existing(connection, entity, [str(row[key]) for row in rows])
    changed = [{f"new_{n}": v for n, v in row.items()} for row in rows if row[key] in existing]
    new = [row for row in rows if row[key] not in existing]
    # Without columns other than the key there is nothing to update.
    if changed and len(rows[0]) > 1:
        names = [n.removeprefix("new_") for n in changed[0] if n != f"new_{key}"]
        statement = table.update().where(table.c[key] == sa.bindparam(f"new_{key}"))
        connection.execute(statement.values({n: sa.bindparam(f"new_{n}") for n in names}), changed)
    if new:
        connection.execute(table.insert(), new)


def _key(entity: str) -> str:
    """Returns the key column of an entity."""
    return next(iter(columns_of(entity)))


def _some(values: Sequence[str]) -> Iterator[Sequence[str]]:
    """Splits values into chunks for SQL ``IN``."""
    for start in range(0, len(values), LOOKUP):
        yield values[start : start + LOOKUP]
