"""What the drop itself keeps of a person: mirror, outbox, archive. Files that HR was given are HR's."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import sqlalchemy as sa

from reconciliation.person import KEYS, OWN, Erased, Person

from ...database import scrub
from ..schema import metadata
from ..sql import LOOKUP, SqlHr, speaking
from . import CsvDropSettings
from .places import Place
from .schema import answer_file, answer_line, answer_look, delivery


def forget(mirror: SqlHr, place: Place, settings: CsvDropSettings, person: Person) -> Erased:
    """Erases a person's rows from the mirror, from files that were not delivered yet, from lines that could not be read and from
    archived answer files. In rows of others it empties what names the person.

    Files in the outbox were handed to HR, and those in the inbox are not taken in yet: they are told, and stay.
    """
    with speaking(), mirror.engine.begin() as connection:
        rows = sum(_of_table(connection, table, person) for table in metadata.tables.values())
        rows += _of_table(connection, answer_line, person) + _undelivered(connection, settings, person)
        for table in (answer_file, answer_look):
            _forget_names(connection, table, person)
    rows += _archived(place, settings, person)
    left = []
    for folder, why in ((settings.outbox, "handed to HR"), (settings.inbox, "waits to be taken in, and brings the person back")):
        for name, _, _ in place.files(folder):
            if person.mentioned(_text(place.get(f"{folder}/{name}") or b"", settings)):
                left.append(f"the file {folder}/{name} in {place.name} ({why}): delete it there")
    with speaking():
        if not scrub(mirror.engine):
            left.append("old pages of the mirror hr-mirror.db, which another program holds open: stop it, and forget the person again")
    return Erased(rows, tuple(left))


def without(content: bytes, settings: CsvDropSettings, person: Person) -> tuple[bytes, int] | None:
    """A file without the person's lines, and how many lines are left; ``None`` if it says nothing of the person. A file that cannot
    be read as CSV has no lines left."""
    text = _text(content, settings)
    if not person.mentioned(text) and not any(person.has_record(line) for line in text.splitlines()):
        return None
    try:
        header, *lines = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=settings.delimiter, strict=True) if row]
        kept = [[person.without(cell) for cell in line] for line in lines if not _is_theirs(header, line, person)]
        out = io.StringIO(newline="")
        csv.writer(out, delimiter=settings.delimiter).writerows([header, *kept])
        return out.getvalue().encode(settings.encoding), len(kept)
    except (csv.Error, ValueError):
        return b"", 0


def _is_theirs(header: Sequence[str], line: Sequence[str], person: Person) -> bool:
    if len(header) != len(line):
        return any(person.mentioned(cell) or person.has(cell) for cell in line)
    named = {name.strip(): cell for name, cell in zip(header, line, strict=True)}
    return any(person.has(named[name]) for name in KEYS & named.keys()) or any(person.is_own(named[name]) for name in OWN & named.keys())


def _text(content: bytes, settings: CsvDropSettings) -> str:
    encoding = "utf-8-sig" if settings.encoding.lower() in ("utf-8", "utf8") else settings.encoding
    return content.decode(encoding, errors="replace")


def _of_table(connection: sa.Connection, table: sa.Table, person: Person) -> int:
    """Rows that are gone from a table; what names the person in others is emptied."""
    key = next(iter(table.primary_key.columns))
    texts = [column for column in table.columns if isinstance(column.type, sa.Text)]
    theirs: list[object] = []
    for row in connection.execute(sa.select(key.label("row_key"), *texts)).mappings().all():
        told = {column.name: row[column.name] for column in texts if row[column.name]}
        mine = any(person.has(told[name]) for name in KEYS & told.keys()) or any(person.is_own(told[name]) for name in OWN & told.keys())
        if mine or person.has(str(row["row_key"])) or (table is answer_line and person.has_record(told.get("raw"))):
            theirs.append(row["row_key"])
            continue
        changed = {name: person.without(text) for name, text in told.items() if person.mentioned(text)}
        if changed:
            connection.execute(table.update().where(key == row["row_key"]).values(changed))
    for start in range(0, len(theirs), LOOKUP):
        connection.execute(table.delete().where(key.in_(theirs[start : start + LOOKUP])))
    return len(theirs)


def _forget_names(connection: sa.Connection, table: sa.Table, person: Person) -> None:
    """Files by whose name the person is named: they count as never seen."""
    names = [str(name) for name in connection.execute(sa.select(table.c.name)).scalars()]
    for name in filter(person.mentioned, names):
        connection.execute(table.delete().where(table.c.name == name))


def _undelivered(connection: sa.Connection, settings: CsvDropSettings, person: Person) -> int:
    d, rows = delivery.c, 0
    for sequence, content, before in connection.execute(sa.select(d.sequence, d.content, d.rows).where(d.content.is_not(None))).all():
        found = without(content, settings, person)
        if found is not None:
            rows += (before or 0) - found[1]
            connection.execute(delivery.update().where(d.sequence == sequence).values(content=found[0], rows=found[1]))
    return rows


def _archived(place: Place, settings: CsvDropSettings, person: Person) -> int:
    """Answer files that were read: the person's lines are taken out; a file without any other line goes."""
    files = 0
    for name, _, _ in place.files(settings.archive):
        path = f"{settings.archive}/{name}"
        found = without(place.get(path) or b"", settings, person)
        if found is None:
            continue
        files += 1
        content, lines = found
        if lines:
            place.put(path, content)
        else:
            place.remove(path)
    return files
