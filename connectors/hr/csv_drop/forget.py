"""Erases a person from the drop's own data: the mirror, undelivered files and the archive. Files
that were handed to HR are only listed."""

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
    """Erases a person's rows from the mirror, from undelivered files, from invalid lines of answer
    files and from archived answer files. Mentions of the person in other rows are removed.

    Files in the outbox, which were handed to HR, and files in the inbox, which were not read yet,
    are not changed. Those that name the person are listed in the result.
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
        (settings.inbox, "not read yet; it would bring the person back"),
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
                "it, then erase the person again"
            )
    return Erased(rows, tuple(left))


def without(content: bytes, settings: CsvDropSettings, person: Person) -> tuple[bytes, int] | None:
    """Returns a file without the person's lines and mentions, and the number of lines left, or
    ``None`` if it does not name the person.

    Bytes that cannot be decoded stay as they are. A file that is not valid CSV is processed as
    plain lines.
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
    others = [line for line in lines if not _is_theirs(header, line, person)]
    # Keys of other rows are never changed.
    keys = {number for number, name in enumerate(header) if name.strip() in KEYS}
    others = [
        [
            cell if n in keys or not person.mentioned(cell) else person.without(cell)
            for n, cell in enumerate(line)
        ]
        for line in others
    ]
    if others == lines:
        return None
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=settings.delimiter).writerows([header, *others])
    return out.getvalue().encode(settings.encoding, errors="surrogateescape"), len(others)


def _by_lines(text: str, settings: CsvDropSettings, person: Person) -> tuple[bytes, int] | None:
    """As :func:`without`, for a file that is not valid CSV: drops every line with a mention."""
    header, *lines = text.splitlines(keepends=True) or [""]
    others = [line for line in lines if not person.mentioned(line) and not person.has_record(line)]
    if len(others) == len(lines):
        return None
    content = "".join([header, *others])
    return content.encode(settings.encoding, errors="surrogateescape"), len(others)


def _is_theirs(header: Sequence[str], line: Sequence[str], person: Person) -> bool:
    """Whether a line belongs to the person, according to the columns that identify a person. If the
    file has none of these columns, or the line does not fit the header, any mention counts."""
    by_name = {name.strip(): cell for name, cell in zip(header, line, strict=False)}
    if len(header) == len(line) and (KEYS | OWN) & by_name.keys():
        return person.has_row(by_name)
    return person.mentioned(" ".join(line)) or any(
        person.mentioned(cell) or person.has_record(cell) for cell in line
    )


def _encoding(settings: CsvDropSettings) -> str:
    """Returns the encoding for reading: with UTF-8, a byte order mark is skipped."""
    return "utf-8-sig" if settings.encoding.lower() in ("utf-8", "utf8") else settings.encoding


def _names(name: str, person: Person) -> bool:
    """Whether a file name mentions the person. Separators in it count as spaces."""
    return any(
        person.mentioned(variant)
        for variant in (name, re.sub(r"[._-]+", " ", name), re.sub(r"[._]+", " ", name))
    )


def _of_table(connection: sa.Connection, table: sa.Table, person: Person) -> int:
    """Deletes the person's rows from a table, and mentions of the person from other rows. Returns
    the number of deleted rows."""
    key = next(iter(table.primary_key.columns))
    texts = [column for column in table.columns if isinstance(column.type, sa.Text)]
    theirs: list[object] = []
    for row in connection.execute(sa.select(key.label("row_key"), *texts)).mappings().all():
        filled = {column.name: row[column.name] for column in texts if row[column.name]}
        # A number as primary key identifies no person.
        by_name = (
            filled
            if isinstance(row["row_key"], int)
            else {**filled, str(key.name): str(row["row_key"])}
        )
        # An invalid line without a key is the person's if it mentions the person.
        in_raw = person.has_record(filled.get("raw")) or (
            "key" not in filled and person.mentioned(filled.get("raw"))
        )
        if person.has_row(by_name) or (table is answer_line and in_raw):
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
    """Deletes entries of files whose name mentions the person. These files count as never seen."""
    names = [str(name) for name in connection.execute(sa.select(table.c.name)).scalars()]
    for name in (each for each in names if _names(each, person)):
        connection.execute(table.delete().where(table.c.name == name))


def _undelivered(connection: sa.Connection, settings: CsvDropSettings, person: Person) -> int:
    """Erases a person from undelivered files. Returns the number of deleted lines."""
    d, deleted = delivery.c, 0
    for sequence, content, rows_before in connection.execute(
        sa.select(d.sequence, d.content, d.rows).where(d.content.is_not(None))
    ).all():
        redacted = without(content, settings, person)
        if redacted is not None:
            new_content, rows = redacted
            deleted += (rows_before or 0) - rows
            connection.execute(
                delivery.update()
                .where(d.sequence == sequence)
                .values(content=new_content, rows=rows)
            )
    return deleted


def _archived(place: Place, settings: CsvDropSettings, person: Person) -> int:
    """Erases a person from archived answer files. A file without other lines is deleted, and one
    whose name mentions the person is renamed. Returns the number of changed files."""
    files = 0
    for name, _, _ in place.files(settings.archive):
        path = f"{settings.archive}/{name}"
        content = place.get(path) or b""
        redacted, in_name = without(content, settings, person), _names(name, person)
        if redacted is None and not in_name:
            continue
        files += 1
        if redacted is not None and not redacted[1]:
            place.remove(path)
            continue
        if in_name:
            place.remove(path)
            path = (
                f"{settings.archive}/{FORGOTTEN.strip('()')}-{sha256(content).hexdigest()[:12]}.csv"
            )
        place.put(path, redacted[0] if redacted is not None else content)
    return files
