"""Converts rows to CSV and CSV to rows by the settings of the drop, without I/O."""

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
"""Maximum number of characters in a cell."""
KEPT = 4_000
"""Maximum number of characters that are kept of a rejected line."""
VISIBLE = {
    **{code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A, 0x0D)},
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),
}
"""Unreadable character -> visible substitute: its control picture, or the replacement character."""
# With csv's own limit a long cell would fail the whole file. Here only its line is rejected.
csv.field_size_limit(2**31 - 1)


@dataclass(frozen=True)
class Line:
    """A line of an answer file."""

    number: int
    """Line number as in an editor."""
    values: Mapping[str, Any]
    """Column -> typed value, ``None`` for an empty cell. In a line that cannot be read, a bad cell
    has its text, and missing cells are left out."""
    wrong: tuple[str, str] | None
    """(column, reason) if the line cannot be read."""
    cells: Sequence[str]
    """The cells as in the file."""


def visible(text: str) -> str:
    """Replaces unreadable characters by visible ones, so that every database can store the text."""
    return text.translate(VISIBLE)


def written(rows: pd.DataFrame, columns: Sequence[str], settings: CsvDropSettings) -> bytes:
    """Returns rows as a CSV file with a header line. Lines end with CR LF, as in RFC 4180.

    Raises:
        UnicodeEncodeError: the encoding cannot hold a character.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=settings.delimiter)
    writer.writerow(columns)
    values = [arrow(rows[name]).to_pylist() for name in columns]
    writer.writerows([_cell(value, settings) for value in row] for row in zip(*values, strict=True))
    return text.getvalue().encode(settings.encoding)


def _cell(value: Any, settings: CsvDropSettings) -> str:
    """Formats a value as a cell. Moments are written in UTC."""
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
    """Yields the lines of an answer file. A line that cannot be read has the reason.

    Args:
        content: the file.
        kinds: the columns that the header may name -> their kinds.
        settings: the format of the file.

    Raises:
        ValueError: it is not a usable CSV file. The message gives the fault without any content.
    """
    reader = csv.reader(
        io.StringIO(_decoded(content, settings.encoding), newline=""),
        delimiter=settings.delimiter,
        strict=True,
    )
    try:
        header = [name.strip() for name in next(reader, [])]
        unknown = [number for number, name in enumerate(header, 1) if name not in kinds]
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
    """Decodes a file. A byte that cannot be decoded becomes a lone surrogate, so that only its own
    line is rejected.

    Raises:
        ValueError: the encoding allows no such replacement.
    """
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
    """Reads one line."""
    # In concatenated files a repeated header may begin with a byte order mark.
    if header[0] in row[0] and [cell.strip("\ufeff \t") for cell in row] == list(header):
        return Line(number, {}, ("(line)", "repeats the header"), row)
    values: dict[str, Any] = {}
    fault: tuple[str, str] | None = None
    if len(row) != len(header):
        cells = "1 cell" if len(row) == 1 else f"{len(row)} cells"
        fault = ("(line)", f"has {cells} instead of {len(header)}")
    for name, cell in zip(header, row, strict=False):
        try:
            values[name] = _value(_legible(cell, settings).strip(), kinds[name], settings)
        except ValueError as error:
            fault = fault or (name, str(error))
            values[name] = visible(cell[:KEPT]).strip() or None
    return Line(number, values, fault, row)


def kept(row: Sequence[str], settings: CsvDropSettings) -> str:
    """Returns cells as a line of CSV that every database can store, cut to :data:`KEPT`
    characters."""
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=settings.delimiter).writerow(row)
    text = visible(out.getvalue().rstrip("\r\n"))
    return text if len(text) <= KEPT else f"{text[: KEPT - 1]}…"


def _legible(cell: str, settings: CsvDropSettings) -> str:
    """Returns the cell unchanged if it can be read.

    Raises:
        ValueError: it is too long, has a control character, or is not in the encoding.
    """
    if len(cell) > LONGEST:
        raise ValueError(f"has more than {LONGEST} characters")
    unreadable = CONTROL.search(cell)
    if unreadable:
        # A byte that could not be decoded is a lone surrogate, from U+D800 on.
        raise ValueError(
            "has a control character"
            if unreadable[0] < "\ud800"
            else f"is not {settings.encoding}: save the file in this encoding"
        )
    return cell


def _value(text: str, kind: str, settings: CsvDropSettings) -> Any:
    """Converts a cell to a value. A moment without an offset is in UTC."""
    if not text:
        return None
    if kind == "flag":
        return flag(text)
    if kind in ("day", "moment"):
        parsed = moment(
            _written(text, settings.date_format if kind == "day" else settings.moment_format),
            settings.no_end,
        )
        if parsed is None or kind == "day":
            return parsed and parsed.date()
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return restored(text) if settings.formulas == "quote" else text


def _written(text: str, form: str) -> datetime | str:
    """Parses a date in the configured format. Returns the text unchanged if it is an ISO date
    instead, such as one with an offset.

    Raises:
        ValueError: it is neither.
    """
    try:
        return datetime.strptime(text, form)
    except ValueError:
        if ISO.match(text):
            return text
        raise ValueError(f"is not a date written as {date(2026, 12, 31).strftime(form)}") from None
