"""What one cell says, read strictly: its value, ``None`` for no value, or a ValueError.

Every door uses these readers: accessplanit's feeds, and the rows of every HR system. The message of
the error is the reason for the quarantine; it holds nothing of the value.
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
"""What the name of a custom field begins with."""
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
"""Characters that no text has: control characters but tab and line breaks, and half characters
(bytes that are not UTF-8)."""
LONGEST = 4000
"""Characters of a text, at most."""
YEARS = (1900, 2199)
"""A date outside is taken for a slip of the keyboard."""
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
"""What stands for true and for false, in any case."""
WHOLE = re.compile(r"[+-]?[0-9]+")
LARGEST = 2**63 - 1
"""The largest whole number that a column holds."""
DIGITS = 10**100
"""A larger number is not a value of anything that we read."""
ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]|$)")


def text(value: Any) -> str | None:
    """Text without surrounding space; a number as it is written. Blank text is no value."""
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
    """True or false, or one of :data:`FLAGS`."""
    if isinstance(value, bool):
        return value
    if isinstance(value, float) and value in (0.0, 1.0):
        return bool(value)
    said = text(value)
    if said is None:
        return None
    if said.lower() not in FLAGS:
        raise ValueError("is neither true nor false")
    return FLAGS[said.lower()]


def moment(value: Any, no_end: Collection[date] = NO_END) -> datetime | None:
    """A moment as it is written: with an offset aware, without one naive. A day is its midnight."""
    if isinstance(value, datetime):
        found = value
    elif isinstance(value, date):
        found = datetime(value.year, value.month, value.day)
    else:
        said = None if value is None else text(value) if isinstance(value, str) else _not_a_date()
        if said is None:
            return None
        if not ISO.match(said):
            raise ValueError("is not an ISO date")
        found = _written(said)
    if found.date() in no_end:
        return None
    if not YEARS[0] <= found.year <= YEARS[1]:
        raise ValueError(f"lies before {YEARS[0]} or after {YEARS[1]}")
    return found


def day(value: Any, no_end: Collection[date] = NO_END) -> date | None:
    """The day that is written, whatever its offset."""
    found = moment(value, no_end)
    return found.date() if found else None


def number(value: Any) -> int | None:
    """A whole number, also as text."""
    if isinstance(value, bool):
        raise ValueError("is not a whole number")
    said = text(value)
    if said is None:
        return None
    if not WHOLE.fullmatch(said):
        raise ValueError("is not a whole number")
    if len(said) > len(str(LARGEST)) + 1 or abs(int(said)) > LARGEST:
        raise ValueError("is too large a number")
    return int(said)


READERS: dict[str, Callable[[Any], Any]] = {
    "text": text,
    "flag": flag,
    "day": day,
    "moment": moment,
    "number": number,
}
"""Kind -> reader."""


def encoded(value: Any) -> str | None:
    """The value of a custom field as one text, from which :func:`decoded` has it back with its
    type.

    Text is written as it is unless it could be taken for something else; everything else as JSON.
    """
    if value in (None, "", [], {}):
        return None
    if isinstance(value, str):
        said = text(value)
        return said if said is None or _not_json(said) else json.dumps(said, ensure_ascii=False)
    if isinstance(value, int) and not isinstance(value, bool):
        _number_as_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("is not a number")
    try:
        if any(CONTROL.search(said) for said in _texts(value)):
            raise ValueError("contains control characters, or bytes that are not valid text")
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise ValueError("holds lists within lists, too many") from None


def decoded(written: str | None) -> Any:
    """The value of which ``written`` is the :func:`encoded` text."""
    if written is None or _not_json(written):
        return written
    return json.loads(written)


def shown(written: str | None) -> str | None:
    """The value of a custom field where text is wanted: of a list its parts, separated by
    semicolons."""
    value = decoded(written)
    parts = value if isinstance(value, list) else [value]
    texts = [
        each if isinstance(each, str) else json.dumps(each, ensure_ascii=False)
        for each in parts
        if each is not None
    ]
    return "; ".join(texts) or None


def _texts(value: Any) -> Iterator[str]:
    """Every text within a list or an object."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value if isinstance(value, list) else (*value, *value.values()):
            yield from _texts(inner)


def _not_json(written: str) -> bool:
    try:
        json.loads(written)
    except (ValueError, RecursionError):
        return True
    return False


def _written(said: str) -> datetime:
    """A moment in ISO's form. More than six digits of a second are rounded, as the compiled decoder
    of the feeds does."""
    try:
        return msgspec.convert(said, datetime)
    except msgspec.ValidationError:
        try:
            return datetime.fromisoformat(said)
        except ValueError:
            raise ValueError("is not a date that exists") from None


def _number_as_text(value: float) -> str:
    if value != value:
        raise ValueError("is not a number")
    if not -DIGITS < value < DIGITS:
        raise ValueError("is too large a number")
    return str(int(value)) if value == int(value) else repr(value)


def _not_a_date() -> str:
    raise ValueError("is not an ISO date")
