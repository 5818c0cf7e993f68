"""Strict readers for single cells: each returns a value, returns ``None`` for an empty cell, or
raises ValueError.

They read accessplanit's feeds and the rows of every HR system. The message of the error becomes the
reason for the quarantine, so it never repeats the value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterator
from datetime import date, datetime
from typing import Any

import msgspec

CUSTOM_PREFIX = "CF_"
"""Prefix of the name of every custom field."""
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
"""Characters that are refused in text: control characters except tab and line breaks, and lone
surrogates (from bytes that are not UTF-8)."""
LONGEST = 4000
"""Maximum length of a text, in characters."""
YEARS = (1900, 2199)
"""First and last year accepted. A date outside them is treated as a typing error."""
NO_END = frozenset({date(1, 1, 1), date(9999, 12, 31)})
"""Dates that systems write for "no end" (or "no beginning")."""
FLAGS = {
    "true": True,
    "yes": True,
    "y": True,
    "1": True,
    "false": False,
    "no": False,
    "n": False,
    "0": False,
}
"""Text accepted as true or false, in upper or lower case."""
WHOLE = re.compile(r"[+-]?[0-9]+")
LARGEST = 2**63 - 1
"""Largest whole number that a column can hold (64 bits, signed)."""
DIGITS = 10**100
"""Limit for numbers that are read as text. No field that we read has a larger value."""
ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]|$)")


def text(value: Any) -> str | None:
    """Returns text without surrounding space, and a number as text. Blank text counts as empty."""
    if value is None:
        return None
    if isinstance(value, bool):
        raise ValueError("is true or false where text is expected")
    if isinstance(value, int | float):
        return _number_as_text(value)
    if not isinstance(value, str):
        raise ValueError(
            "is an object where text is expected" if isinstance(value, dict) else "is not text"
        )
    if CONTROL.search(value):
        raise ValueError("contains control characters, or bytes that are not valid text")
    return value.strip() or None


def flag(value: Any) -> bool | None:
    """Reads true or false, or one of the words in :data:`FLAGS`."""
    if isinstance(value, bool):
        return value
    if isinstance(value, float) and value in (0.0, 1.0):
        return bool(value)
    content = text(value)
    if content is None:
        return None
    word = content.lower()
    if word not in FLAGS:
        raise ValueError("is neither true nor false")
    return FLAGS[word]


def moment(value: Any, no_end: Collection[date] = NO_END) -> datetime | None:
    """Reads a moment as written: aware if it has an offset, otherwise naive.

    A date without a time becomes its midnight. A date in ``no_end`` counts as empty.
    """
    if value is None:
        return None
    if isinstance(value, datetime):
        parsed = value
    elif isinstance(value, date):
        parsed = datetime(value.year, value.month, value.day)
    elif isinstance(value, str):
        content = text(value)
        if content is None:
            return None
        if not ISO.match(content):
            raise ValueError("is not an ISO date")
        parsed = _parsed(content)
    else:
        raise ValueError("is not an ISO date")
    if parsed.date() in no_end:
        return None
    if not YEARS[0] <= parsed.year <= YEARS[1]:
        raise ValueError(f"lies before {YEARS[0]} or after {YEARS[1]}")
    return parsed


def day(value: Any, no_end: Collection[date] = NO_END) -> date | None:
    """Returns the calendar day as written. The offset is ignored."""
    parsed = moment(value, no_end)
    return parsed.date() if parsed else None


def number(value: Any) -> int | None:
    """Reads a whole number, given as a number or as text."""
    if isinstance(value, bool):
        raise ValueError("is not a whole number")
    digits = text(value)
    if digits is None:
        return None
    if not WHOLE.fullmatch(digits):
        raise ValueError("is not a whole number")
    # The length is checked first: int() refuses very long texts with a message of its own.
    too_long = len(digits) > len(str(LARGEST)) + 1
    if too_long or abs(int(digits)) > LARGEST:
        raise ValueError("is too large a number")
    return int(digits)


READERS: dict[str, Callable[[Any], Any]] = {
    "text": text,
    "flag": flag,
    "day": day,
    "moment": moment,
    "number": number,
}
"""Kind of column (``frame.Kind``) -> its reader."""


def encoded(value: Any) -> str | None:
    """Encodes the value of a custom field as one text; :func:`decoded` restores it with its type.

    Text stays as it is unless it is valid JSON itself (the text 12, for example). Everything else
    becomes JSON.
    """
    if value in (None, "", [], {}):
        return None
    if isinstance(value, str):
        content = text(value)
        if content is None or not _is_json(content):
            return content
        # Quoted, so that the text "12" does not come back as the number 12.
        return json.dumps(content, ensure_ascii=False)
    if isinstance(value, int) and not isinstance(value, bool):
        _number_as_text(value)  # raises for a number beyond the limit
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("is not a number")
    try:
        if any(CONTROL.search(part) for part in _texts(value)):
            raise ValueError("contains control characters, or bytes that are not valid text")
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise ValueError("nests lists or objects too deeply") from None


def decoded(written: str | None) -> Any:
    """Returns the value that :func:`encoded` turned into ``written``."""
    if written is None or not _is_json(written):
        return written
    return json.loads(written)


def shown(written: str | None) -> str | None:
    """Returns the value of a custom field as plain text. List items are separated by
    semicolons."""
    value = decoded(written)
    items = value if isinstance(value, list) else [value]
    texts = [
        item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)
        for item in items
        if item is not None
    ]
    return "; ".join(texts) or None


def _texts(value: Any) -> Iterator[str]:
    """Yields every text in a list or an object, keys and nested values included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value if isinstance(value, list) else (*value, *value.values()):
            yield from _texts(inner)


def _is_json(content: str) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(iso: str) -> datetime:
    """Parses an ISO 8601 moment. More than six digits of a second are rounded, as in the compiled
    decoder of the feeds."""
    try:
        return msgspec.convert(iso, datetime)
    except msgspec.ValidationError:
        try:
            return datetime.fromisoformat(iso)
        except ValueError:
            raise ValueError("is not a date that exists") from None


def _number_as_text(value: float) -> str:
    if value != value:  # NaN; math.isnan() fails for a very large int
        raise ValueError("is not a number")
    if not -DIGITS < value < DIGITS:
        raise ValueError("is too large a number")
    return str(int(value)) if value == int(value) else repr(value)
