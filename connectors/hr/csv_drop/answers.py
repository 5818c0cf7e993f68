"""One answer file into the mirror: rows that can be written, and lines that cannot, with their
reason."""

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
"""Entities of which HR may make rows of its own; of the others it answers to ours."""
LONGEST_KEY = 200
"""Characters that a key may have."""
KEYLESS = 1_000
"""Lines without a key that are kept, the latest of each entity: of such a line no later file says
that it is mended."""
REMEMBERED = 1_000
"""Names of files that are remembered, those taken last: enough to know a file that an interruption
has left in the inbox."""


@dataclass(frozen=True)
class Answer:
    """An answer file as it was read."""

    entity: str
    entry: Entry
    content: bytes
    manifest: bytes | None

    @cached_property
    def sha256(self) -> str:
        return sha256(self.content).hexdigest()

    @property
    def mark(self) -> str:
        """By which the file is found in the archive: its name comes from outside and may hold a
        person's."""
        return self.sha256[:12]


@dataclass(frozen=True)
class Bad:
    """A line that was not taken in."""

    key: str | None
    field: str
    reason: str
    raw: str


def take_in(mirror: SqlHr, answer: Answer, settings: CsvDropSettings) -> None:
    """Writes the rows of a file to the mirror and its bad lines beside them, in one transaction.

    The file takes the place of an earlier one of its name: what was wrong in that one is over.
    Nothing is done with the very delivery that was taken in last under its name.

    Raises:
        Refused: the mirror refuses a row. TargetFailed: it cannot be used.
    """
    with speaking(), mirror.engine.begin() as connection:
        if _is_taken(connection, answer):
            return
        good, bad = _sorted(connection, answer, settings)
        _write(connection, answer.entity, good)
        _quarantine(connection, answer, good, bad)
        _remember(connection, answer, len(good), len(bad))


def _is_taken(connection: sa.Connection, answer: Answer) -> bool:
    """Whether this delivery is in: the same content under the same name, written at the same time,
    with no other manifest."""
    f = answer_file.c
    last = connection.execute(sa.select(answer_file).where(f.name == answer.entry.label)).first()
    if last is None or (last.sha256, last.written) != (answer.sha256, answer.entry.written):
        return False
    return answer.manifest is None or last.manifest == _digest(answer.manifest)


def _remember(connection: sa.Connection, answer: Answer, good: int, bad: int) -> None:
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
    """Enters the bad lines; ends those of the same file, of the same key, and those without a key
    that come again as they were."""
    a = answer_line.c
    mine = answer_line.delete().where(a.entity == answer.entity)
    connection.execute(mine.where(a.file == answer.entry.label))
    for keys in _some(
        [str(row[_key(answer.entity)]) for row in good] + [b.key for b in bad if b.key]
    ):
        connection.execute(mine.where(a.key.in_(keys)))
    for raws in _some([b.raw for b in bad if not b.key]):
        connection.execute(mine.where(a.key.is_(None), a.raw.in_(raws)))
    if bad:
        lines = [{"entity": answer.entity, "file": answer.entry.label, **vars(b)} for b in bad]
        connection.execute(answer_line.insert(), lines)
    keyless = (
        sa.select(a.id).where(a.entity == answer.entity, a.key.is_(None)).order_by(a.id.desc())
    )
    connection.execute(mine.where(a.id.in_(keyless.offset(KEYLESS).limit(-1))))


def _sorted(
    connection: sa.Connection, answer: Answer, settings: CsvDropSettings
) -> tuple[list[dict[str, Any]], list[Bad]]:
    """Rows that can be written, each key once, and lines that cannot."""
    entity, key = answer.entity, _key(answer.entity)
    kinds = {n: k for n, k in columns_of(entity).items() if n != "written_at"}
    try:
        lines = list(text.read(answer.content, kinds, settings))
    except ValueError as error:
        return [], [
            Bad(None, "(file)", f"{error} (file {answer.mark})", text.visible(answer.entry.label))
        ]
    keys = [_named(line, key) for line in lines]
    places: dict[str | None, list[int]] = {}
    for line, name in zip(lines, keys, strict=True):
        places.setdefault(name, []).append(line.number)
    mandatory = [
        c.name
        for c in metadata.tables[entity].columns
        if not c.nullable and c.server_default is None
    ]
    there = _there(connection, entity, [name for name in places if name])
    good: list[dict[str, Any]] = []
    bad: list[Bad] = []
    for line, name in zip(lines, keys, strict=True):
        wrong = (
            line.wrong
            or _wrong_key(line, key, name, places)
            or _missing(line, entity, mandatory, known=name in there)
        )
        if wrong:
            field, reason = wrong
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


def _named(line: text.Line, key: str) -> str | None:
    """The line's key; ``None`` where it has none, or one that cannot be a key."""
    value = line.values.get(key)
    return str(value) if value and len(value) <= LONGEST_KEY else None


def _wrong_key(
    line: text.Line, key: str, name: str | None, places: Mapping[str | None, list[int]]
) -> tuple[str, str] | None:
    if name is None:
        return key, f"has more than {LONGEST_KEY} characters" if line.values.get(
            key
        ) else "has no value"
    return (
        (key, f"stands on the lines {', '.join(map(str, places[name]))} of this file")
        if len(places[name]) > 1
        else None
    )


def _missing(
    line: text.Line, entity: str, mandatory: Sequence[str], *, known: bool
) -> tuple[str, str] | None:
    """What a row lacks. known: the mirror has it, so that columns that the file does not name
    stay."""
    if not known and entity not in NEW:
        return _key(entity), f"is not the key of any row of {entity}"
    lacks = [n for n in mandatory if (n in line.values or not known) and line.values.get(n) is None]
    return (lacks[0], "has no value") if lacks else None


def _there(connection: sa.Connection, entity: str, keys: Sequence[str]) -> set[str]:
    """Those of the keys that the mirror has."""
    column = metadata.tables[entity].c[_key(entity)]
    found: set[str] = set()
    for some in _some(keys):
        found.update(connection.execute(sa.select(column).where(column.in_(some))).scalars())
    return found


def _write(connection: sa.Connection, entity: str, rows: Sequence[dict[str, Any]]) -> None:
    """Updates the columns that the file names, and makes the rows that are new."""
    table, key = metadata.tables[entity], _key(entity)
    kinds = columns_of(entity)
    rows = [
        {
            n: v.replace(tzinfo=None) if v is not None and kinds[n] == "moment" else v
            for n, v in row.items()
        }
        for row in rows
    ]
    there = _there(connection, entity, [str(row[key]) for row in rows])
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


def _some(values: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(values), LOOKUP):
        yield values[start : start + LOOKUP]
