"""Rows as CSV and CSV as rows: pure, by the settings of the drop."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd

from reconciliation.frame import arrow
from reconciliation.values import CONTROL, ISO, flag, moment

from ...spreadsheet import defused, restored
from .settings import CsvDropSettings

NAMES = {";": "semicolons", ",": "commas", "\t": "tabs", "|": "bars"}
LONGEST = 131_072
"""Characters that a cell may have."""
KEPT = 4_000
"""Characters that are kept of a line that was not taken in."""
VISIBLE = {
    **{code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A, 0x0D)},
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),
}
"""Unreadable character -> a visible one in its place: its control picture, or the replacement
character."""
csv.field_size_limit(
    2**31 - 1
)  # A longer cell would end the file; here it is one line that cannot be read.


@dataclass(frozen=True)
class Line:
    """A line of an answer file."""

    number: int
    """As an editor counts it."""
    values: Mapping[str, Any]
    """Column -> value, typed; ``None`` where the cell is empty. Of a line that is wrong: what could
    be read."""
    wrong: tuple[str, str] | None
    """Column and reason, where the line cannot be read."""
    cells: Sequence[str]
    """As they stand there."""


def visible(text: str) -> str:
    """``text`` that every database can keep: what is unreadable has a visible character in its
    place."""
    return text.translate(VISIBLE)


def written(rows: pd.DataFrame, columns: Sequence[str], settings: CsvDropSettings) -> bytes:
    """``rows`` as a CSV file with a header line; lines end with CR LF, as RFC 4180 has it.

    Raises:
        UnicodeEncodeError: the encoding has no such character.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=settings.delimiter)
    writer.writerow(columns)
    values = [arrow(rows[name]).to_pylist() for name in columns]
    writer.writerows([_cell(value, settings) for value in row] for row in zip(*values, strict=True))
    return text.getvalue().encode(settings.encoding)


def _cell(value: Any, settings: CsvDropSettings) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime(settings.moment_format)
    if isinstance(value, date):
        return value.strftime(settings.date_format)
    return defused(str(value)) if settings.formulas == "quote" else str(value)


def read(content: bytes, kinds: Mapping[str, str], settings: CsvDropSettings) -> Iterator[Line]:
    """The lines of an answer file, whose header names columns of ``kinds`` (name -> kind).

    A line that cannot be read says why.

    Raises:
        ValueError: it is not a CSV file; the message says what is wrong, without any content.
    """
    reader = csv.reader(
        io.StringIO(_decoded(content, settings.encoding), newline=""),
        delimiter=settings.delimiter,
        strict=True,
    )
    try:
        header = [name.strip() for name in next(reader, [])]
        unknown = [place for place, name in enumerate(header, 1) if name not in kinds]
        if unknown:
            other = next(
                (
                    mark
                    for mark in ";,\t|"
                    if mark != settings.delimiter and len(header) == 1 and mark in header[0]
                ),
                None,
            )
            if other:
                raise ValueError(
                    f"has a header with {NAMES[other]} between the columns, not "
                    f"{NAMES.get(settings.delimiter, 'DELIMITER')}"
                )
            raise ValueError(
                f"has a header whose column {unknown[0]} is not a column of this entity"
            )
        if not header or len(set(header)) < len(header):
            raise ValueError("has no usable header")
        number = reader.line_num + 1
        for row in reader:
            if any(cell.strip() or CONTROL.search(cell) for cell in row):
                yield _line(number, header, row, kinds, settings)
            number = reader.line_num + 1
    except csv.Error:
        raise ValueError(f"is not valid CSV from line {reader.line_num} on") from None


def _decoded(content: bytes, encoding: str) -> str:
    """The text; a byte that cannot be read is a lone surrogate, so that only its own line is
    wrong."""
    try:
        return content.decode(
            "utf-8-sig" if encoding.lower() in ("utf-8", "utf8") else encoding, "surrogateescape"
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"is not valid {encoding}: byte {error.start} cannot be read") from None


def _line(
    number: int,
    header: Sequence[str],
    row: Sequence[str],
    kinds: Mapping[str, str],
    settings: CsvDropSettings,
) -> Line:
    # Files that were joined have a byte order mark there as well.
    if header[0] in row[0] and [cell.strip("\ufeff \t") for cell in row] == list(header):
        return Line(number, {}, ("(line)", "repeats the header"), row)
    values: dict[str, Any] = {}
    wrong = (
        None
        if len(row) == len(header)
        else ("(line)", f"has {len(row)} cells instead of {len(header)}")
    )
    for name, cell in zip(header, row, strict=False):
        try:
            values[name] = _value(_legible(cell, settings).strip(), kinds[name], settings)
        except ValueError as error:
            wrong = wrong or (name, str(error))
            values[name] = visible(cell[:KEPT]).strip() or None
    return Line(number, values, wrong, row)


def kept(row: Sequence[str], settings: CsvDropSettings) -> str:
    """The cells as a line of CSV that every database can keep, shortened to :data:`KEPT`
    characters."""
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=settings.delimiter).writerow(row)
    text = visible(out.getvalue().rstrip("\r\n"))
    return text if len(text) <= KEPT else f"{text[: KEPT - 1]}…"


def _legible(cell: str, settings: CsvDropSettings) -> str:
    """``cell`` itself.

    Raises:
        ValueError: it is too long, or has a character that no cell may hold.
    """
    if len(cell) > LONGEST:
        raise ValueError(f"has more than {LONGEST} characters")
    found = CONTROL.search(cell)
    if found:
        raise ValueError(
            "has a control character"
            if found[0] < "\ud800"
            else f"is not {settings.encoding}: save the file in this encoding"
        )
    return cell


def _value(text: str, kind: str, settings: CsvDropSettings) -> Any:
    if not text:
        return None
    if kind == "flag":
        return flag(text)
    if kind in ("day", "moment"):
        found = moment(
            _written(text, settings.date_format if kind == "day" else settings.moment_format),
            settings.no_end,
        )
        if found is None or kind == "day":
            return found and found.date()
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    return restored(text) if settings.formulas == "quote" else text


def _written(text: str, form: str) -> datetime | str:
    """A date in the form of the settings, else the text itself if it is in ISO's, such as one with
    an offset."""
    try:
        return datetime.strptime(text, form)
    except ValueError:
        if ISO.match(text):
            return text
        raise ValueError(
            f"is not a date that is written as {date(2026, 12, 31).strftime(form)}"
        ) from None
