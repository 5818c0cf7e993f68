"""Odd values that real systems send, what each means, and the doors that they come through.

A row is a kind, what the system says, and the value or the beginning of the reason why the row is rejected. Where several systems
are known to say it, the row stands once.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any


@dataclass(frozen=True)
class No:
    """The row is rejected, for a reason that contains this."""

    because: str


CONTROL, FLAG, ISO, EXISTS, YEARS, WHOLE = (
    No("control characters"),
    No("neither true nor false"),
    No("not an ISO date"),
    No("not a date that exists"),
    No("lies before 1900 or after 2199"),
    No("not a whole number"),
)
FIRST = datetime(2026, 1, 31, tzinfo=UTC)
AT = datetime(2026, 1, 31, 9, 30, 5, tzinfo=UTC)

TEXT: list[tuple[Any, Any]] = [
    ("Lee", "Lee"),
    ("  Lee  ", "Lee"),
    ("\u00a0Lee\u00a0", "Lee"),
    ("", None),
    ("   ", None),
    ("\u00a0", None),
    (None, None),
    ("O'Brien", "O'Brien"),
    ('Jo "Joe" Lee', 'Jo "Joe" Lee'),
    ("Lee; DROP TABLE employees", "Lee; DROP TABLE employees"),
    ("1 High St\nFlat 2", "1 High St\nFlat 2"),
    ("1 High St\r\nFlat 2", "1 High St\r\nFlat 2"),
    ("a\tb", "a\tb"),
    ("a\x0bb", CONTROL),
    ("a\x0cb", CONTROL),
    ("a\x00b", CONTROL),
    ("\x00", CONTROL),
    ("a\x07b", CONTROL),
    ("a\x1bb", CONTROL),
    ("a\x1fb", CONTROL),
    ("a\ud800b", CONTROL),
    ("M\udcfcller", CONTROL),
    ("Zo\u0065\u0308", "Zo\u0065\u0308"),
    ("\u674e\u660e", "\u674e\u660e"),
    ("\U0001f469\u200d\U0001f680", "\U0001f469\u200d\U0001f680"),
    ("\u202egnirts", "\u202egnirts"),
    ("null", "null"),
    ("NULL", "NULL"),
    ("None", "None"),
    ("nan", "nan"),
    ("N/A", "N/A"),
    ("-", "-"),
    ("true", "true"),
    ("007", "007"),
    ("1.23457E+11", "1.23457E+11"),
    ("=1+1", "=1+1"),
    ("@lee", "@lee"),
    ("+44 20 7946 0000", "+44 20 7946 0000"),
    ("<br />", "<br />"),
    ("&amp;", "&amp;"),
    ("a,b", "a,b"),
    ("a|b", "a|b"),
    ("\\", "\\"),
    ("%41", "%41"),
]
NUMBERS_AS_TEXT: list[tuple[Any, Any]] = [(7, "7"), (7.0, "7"), (7.5, "7.5"), (-1, "-1"), (0, "0"), (10**15, "1000000000000000")]
"""What JSON sends for text."""
NOT_TEXT: list[tuple[Any, Any]] = [(True, No("true or false")), ({"x": 1}, No("object")), (b"M\xfcller", No("not text"))]
FLAGS: list[tuple[Any, Any]] = [
    (True, True),
    (False, False),
    (1, True),
    (0, False),
    (1.0, True),
    (0.0, False),
    ("true", True),
    ("True", True),
    ("TRUE", True),
    ("yes", True),
    ("Y", True),
    ("1", True),
    (" true ", True),
    ("false", False),
    ("False", False),
    ("no", False),
    ("No", False),
    ("n", False),
    ("N", False),
    ("0", False),
    ("", None),
    ("  ", None),
    (None, None),
    ("perhaps", FLAG),
    ("on", FLAG),
    ("ja", FLAG),
    ("2", FLAG),
    (2, FLAG),
    (-1, FLAG),
    (0.5, FLAG),
    ("null", FLAG),
    ("t\x00", CONTROL),
]
DAYS: list[tuple[Any, Any]] = [
    ("2026-01-31", date(2026, 1, 31)),
    ("2026-01-31T00:00:00", date(2026, 1, 31)),
    ("2026-01-31 00:00:00", date(2026, 1, 31)),
    ("2026-01-31T23:59:59.999", date(2026, 1, 31)),
    ("2026-01-31T00:00:00Z", date(2026, 1, 31)),
    ("2026-01-31T00:00:00+02:00", date(2026, 1, 31)),
    (" 2026-01-31 ", date(2026, 1, 31)),
    ("2024-02-29", date(2024, 2, 29)),
    ("1900-01-01", date(1900, 1, 1)),
    ("2199-12-31", date(2199, 12, 31)),
    ("9999-12-31", None),
    ("9999-12-31T00:00:00", None),
    ("9999-12-31T23:59:59.9999999", None),
    ("0001-01-01", None),
    ("0001-01-01T00:00:00", None),
    ("", None),
    (None, None),
    ("2025-02-29", EXISTS),
    ("2026-13-01", EXISTS),
    ("2026-00-10", EXISTS),
    ("31/01/2026", ISO),
    ("01/31/2026", ISO),
    ("31.01.2026", ISO),
    ("20260131", ISO),
    ("2026-1-31", ISO),
    ("2026-W05-6", ISO),
    ("yesterday", ISO),
    ("0000-00-00", EXISTS),
    ("1899-12-31", YEARS),
    ("2200-01-01", YEARS),
    ("1066-10-14", YEARS),
    ("9998-12-31", YEARS),
    (46053, ISO),
    (True, ISO),
]
MOMENTS: list[tuple[Any, Any]] = [
    ("2026-01-31T09:30:05", AT),
    ("2026-01-31 09:30:05", AT),
    ("2026-01-31T09:30:05Z", AT),
    ("2026-01-31T09:30:05+00:00", AT),
    ("2026-01-31T10:30:05+01:00", AT),
    ("2026-01-31T04:30:05-05:00", AT),
    ("2026-01-31T09:30:05.25", AT.replace(microsecond=250000)),
    ("2026-01-31T09:30:05.123456", AT.replace(microsecond=123456)),
    ("2026-01-31T09:30:05.1234567", AT.replace(microsecond=123457)),
    ("2026-01-31", FIRST),
    ("", None),
    (None, None),
    ("9999-12-31T23:59:59", None),
    ("0001-01-01T00:00:00", None),
    ("2026-01-31T25:00:00", EXISTS),
    ("2026-01-31T09:61:00", EXISTS),
    ("2026-02-30T09:30:05", EXISTS),
    ("09:30:05", ISO),
    ("1769851805", ISO),
    (1769851805, ISO),
    ("1066-10-14T09:00:00", YEARS),
    ("2026-01-31T09:30:05\x00", CONTROL),
]
NUMBERS: list[tuple[Any, Any]] = [
    (7, 7),
    ("7", 7),
    (" 7 ", 7),
    (7.0, 7),
    ("-1", -1),
    ("", None),
    (None, None),
    (7.5, WHOLE),
    ("7.5", WHOLE),
    ("seven", WHOLE),
    (True, WHOLE),
]
LISTS: list[tuple[Any, Any]] = [
    (True, True),
    (False, False),
    (12, 12),
    (12.5, 12.5),
    ("12", "12"),
    ("true", "true"),
    ("Blue", "Blue"),
    ("[1]", "[1]"),
    ('"', '"'),
    (["Blue"], ["Blue"]),
    (["Blue", "Red"], ["Blue", "Red"]),
    ([1, 2], [1, 2]),
    ([True], [True]),
    ("2026-01-31", "2026-01-31"),
    ([], None),
    ({}, None),
    ("", None),
    (None, None),
    ("a\x00", CONTROL),
]
"""Custom fields: whatever it is, it keeps its type."""
