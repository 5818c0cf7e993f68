"""Rows as CSV and CSV as rows: pure, by the settings of the drop."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd

from reconciliation.frame import arrow

from . import CsvDropSettings

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection)."""
NUMBER = re.compile(r"[+-][\d\s()./-]*")
"""A telephone number or a number: it begins like a formula but is not one."""


@dataclass(frozen=True)
class Line:
    """A line of an answer file. number: as an editor counts it. values: column -> value, typed; ``None`` where it is empty.
    wrong: (column, reason) where it cannot be read. raw: the line as it stands there, as a CSV line."""

    number: int
    values: Mapping[str, Any]
    wrong: tuple[str, str] | None
    raw: str


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
    text = str(value)
    risky = settings.formulas == "quote" and text.startswith(FORMULA) and not NUMBER.fullmatch(text)
    return f"'{text}" if risky else text


def read(content: bytes, kinds: Mapping[str, str], settings: CsvDropSettings) -> Iterator[Line]:
    """The lines of an answer file, whose header names columns of ``kinds`` (name -> kind).

    A line that cannot be read says why.

    Raises:
        ValueError: it is not a CSV file; the message says what is wrong, without any content.
    """
    try:
        text = content.decode("utf-8-sig" if settings.encoding.lower() in ("utf-8", "utf8") else settings.encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"is not {settings.encoding}: byte {error.start} cannot be read") from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=settings.delimiter, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        unknown = [place for place, name in enumerate(header, 1) if name not in kinds]
        if not header or unknown or len(set(header)) < len(header):
            raise ValueError(f"has a header whose column {unknown[0]} is none of HR's" if unknown else "has no usable header")
        number = reader.line_num + 1
        for row in reader:
            if any(cell.strip() for cell in row):
                yield _line(number, header, row, kinds, settings)
            number = reader.line_num + 1
    except csv.Error:
        raise ValueError(f"is not valid CSV from line {reader.line_num} on") from None


def _line(number: int, header: Sequence[str], row: Sequence[str], kinds: Mapping[str, str], settings: CsvDropSettings) -> Line:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=settings.delimiter).writerow(row)
    raw = out.getvalue().rstrip("\r\n")
    if len(row) != len(header):
        return Line(number, dict(zip(header, row, strict=False)), ("(line)", f"has {len(row)} cells instead of {len(header)}"), raw)
    values: dict[str, Any] = {}
    for name, cell in zip(header, row, strict=True):
        try:
            values[name] = _value(cell.strip(), kinds[name], settings)
        except ValueError as error:
            return Line(number, values, (name, str(error)), raw)
    return Line(number, values, None, raw)


def _value(text: str, kind: str, settings: CsvDropSettings) -> Any:
    if not text:
        return None
    if kind == "flag":
        if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
            raise ValueError("is neither true nor false")
        return text.lower() in ("true", "1", "yes")
    if kind in ("day", "moment"):
        try:
            moment = datetime.strptime(text, settings.date_format if kind == "day" else settings.moment_format)
        except ValueError:
            raise ValueError("is no date") from None
        return moment.date() if kind == "day" else moment.replace(tzinfo=UTC)
    return text[1:] if text[0] == "'" and text[1:].startswith(FORMULA) else text
