"""What the drop itself keeps of a person: mirror, outbox, archive. Files that HR was given are
HR's."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from hashlib import sha256

import sqlalchemy as sa

from reconciliation.person import FORGOTTEN, KEYS, OWN, Erased, Person

from ...database import scrub
from ..schema import metadata
from ..sql import LOOKUP, SqlHr, speaking
from .places import Place
from .schema import answer_file, answer_line, answer_look, delivery
from .settings import CsvDropSettings


def forget(mirror: SqlHr, place: Place, settings: CsvDropSettings, person: Person) -> Erased:
    """Erases a person's rows from the mirror, from files that were not delivered yet, from lines
    that could not be read and from archived answer files. In rows of others it empties what names
    the person.

    Files in the outbox were handed to HR, and those in the inbox are not taken in yet: they are
    named, and stay.
    """
    with speaking(), mirror.engine.begin() as connection:
        rows = sum(_of_table(connection, table, person) for table in metadata.tables.values())
        rows += _of_table(connection, answer_line, person) + _undelivered(
            connection, settings, person
        )
        for table in (answer_file, answer_look):
            _forget_names(connection, table, person)
    rows += _archived(place, settings, person)
    left = []
    for folder, why in (
        (settings.outbox, "handed to HR"),
        (settings.inbox, "waits to be taken in, and brings the person back"),
    ):
        for name, _, _ in place.files(folder):
            if (
                _names(name, person)
                or without(place.get(f"{folder}/{name}") or b"", settings, person) is not None
            ):
                left.append(f"the file {folder}/{name} in {place.name} ({why}): delete it there")
    with speaking():
        if not scrub(mirror.engine):
            left.append(
                "old pages of the mirror hr-mirror.db, which another program holds open: stop "
                "it, and forget the person again"
            )
    return Erased(rows, tuple(left))


def without(content: bytes, settings: CsvDropSettings, person: Person) -> tuple[bytes, int] | None:
    """A file without the person's lines, and how many lines are left; ``None`` if it says nothing
    of the person.

    Bytes that are not of the encoding stay as they are. What cannot be read as CSV is taken line by
    line.
    """
    text = content.decode(_encoding(settings), errors="surrogateescape")
    try:
        rows = [
            row
            for row in csv.reader(
                io.StringIO(text, newline=""), delimiter=settings.delimiter, strict=True
            )
            if row
        ]
    except csv.Error:
        return _by_lines(text, settings, person)
    header, *lines = rows or [[]]
    kept = [line for line in lines if not _is_theirs(header, line, person)]
    keys = {place for place, name in enumerate(header) if name.strip() in KEYS}
    kept = [
        [
            cell if n in keys or not person.mentioned(cell) else person.without(cell)
            for n, cell in enumerate(line)
        ]
        for line in kept
    ]
    if kept == lines:
        return None
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=settings.delimiter).writerows([header, *kept])
    return out.getvalue().encode(settings.encoding, errors="surrogateescape"), len(kept)


def _by_lines(text: str, settings: CsvDropSettings, person: Person) -> tuple[bytes, int] | None:
    header, *lines = text.splitlines(keepends=True) or [""]
    kept = [line for line in lines if not person.mentioned(line) and not person.has_record(line)]
    if len(kept) == len(lines):
        return None
    return "".join([header, *kept]).encode(settings.encoding, errors="surrogateescape"), len(kept)


def _is_theirs(header: Sequence[str], line: Sequence[str], person: Person) -> bool:
    """By the columns that name somebody; where there are none that we know, or the line does not
    fit them, by anything in it."""
    named = {name.strip(): cell for name, cell in zip(header, line, strict=False)}
    if len(header) == len(line) and (KEYS | OWN) & named.keys():
        return person.has_row(named)
    return person.mentioned(" ".join(line)) or any(
        person.mentioned(cell) or person.has_record(cell) for cell in line
    )


def _encoding(settings: CsvDropSettings) -> str:
    return "utf-8-sig" if settings.encoding.lower() in ("utf-8", "utf8") else settings.encoding


def _names(name: str, person: Person) -> bool:
    """Whether the name of a file names the person."""
    return any(
        person.mentioned(said)
        for said in (name, re.sub(r"[._-]+", " ", name), re.sub(r"[._]+", " ", name))
    )


def _of_table(connection: sa.Connection, table: sa.Table, person: Person) -> int:
    """Rows that are gone from a table; what names the person in others is emptied."""
    key = next(iter(table.primary_key.columns))
    texts = [column for column in table.columns if isinstance(column.type, sa.Text)]
    theirs: list[object] = []
    for row in connection.execute(sa.select(key.label("row_key"), *texts)).mappings().all():
        filled = {column.name: row[column.name] for column in texts if row[column.name]}
        named = (
            filled
            if isinstance(row["row_key"], int)
            else {**filled, str(key.name): str(row["row_key"])}
        )
        # A line without a key is theirs if it names them.
        unread = person.has_record(filled.get("raw")) or (
            "key" not in filled and person.mentioned(filled.get("raw"))
        )
        if person.has_row(named) or (table is answer_line and unread):
            theirs.append(row["row_key"])
            continue
        changed = {
            name: person.without(text)
            for name, text in filled.items()
            if name not in KEYS and person.mentioned(text)
        }
        if changed:
            connection.execute(table.update().where(key == row["row_key"]).values(changed))
    for start in range(0, len(theirs), LOOKUP):
        connection.execute(table.delete().where(key.in_(theirs[start : start + LOOKUP])))
    return len(theirs)


def _forget_names(connection: sa.Connection, table: sa.Table, person: Person) -> None:
    """Files by whose name the person is named: they count as never seen."""
    names = [str(name) for name in connection.execute(sa.select(table.c.name)).scalars()]
    for name in (each for each in names if _names(each, person)):
        connection.execute(table.delete().where(table.c.name == name))


def _undelivered(connection: sa.Connection, settings: CsvDropSettings, person: Person) -> int:
    d, rows = delivery.c, 0
    for sequence, content, before in connection.execute(
        sa.select(d.sequence, d.content, d.rows).where(d.content.is_not(None))
    ).all():
        found = without(content, settings, person)
        if found is not None:
            rows += (before or 0) - found[1]
            connection.execute(
                delivery.update()
                .where(d.sequence == sequence)
                .values(content=found[0], rows=found[1])
            )
    return rows


def _archived(place: Place, settings: CsvDropSettings, person: Person) -> int:
    """Answer files that were read: the person's lines are taken out; a file without any other line
    goes. One whose name names the person gets another."""
    files = 0
    for name, _, _ in place.files(settings.archive):
        path = f"{settings.archive}/{name}"
        content = place.get(path) or b""
        found, named = without(content, settings, person), _names(name, person)
        if found is None and not named:
            continue
        files += 1
        if found is not None and not found[1]:
            place.remove(path)
            continue
        if named:
            place.remove(path)
            path = (
                f"{settings.archive}/{FORGOTTEN.strip('()')}-{sha256(content).hexdigest()[:12]}.csv"
            )
        place.put(path, found[0] if found is not None else content)
    return files
