"""Converts completed awards to BambooHR's training records and back, without I/O.

A training record has no field for our keys and none for an expiry date. Our keys are kept in its
notes. It expires at the end of its type's renewal period, or on a date in a custom table.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

OURS = re.compile(r"accessplanit award record (.+?), award (.*)")


def notes(record: str, award: str | None) -> str:
    """Returns the notes of a training record, by which we recognise it."""
    return f"accessplanit award record {record}, award {award or ''}"


def keys(text: Any) -> tuple[str, str | None] | None:
    """Returns (award record, award) from the notes of a training record, or ``None`` if it is not
    ours."""
    match = OURS.search(str(text or ""))
    return (match[1], match[2] or None) if match else None


def renewed(completed: date, months: int) -> date:
    """Returns the day ``months`` later, or the last day of that month if it is shorter."""
    month_index = completed.month - 1 + months
    year, month = completed.year + month_index // 12, month_index % 12 + 1
    return date(year, month, min(completed.day, monthrange(year, month)[1]))


def months_between(completed: date, expires: date) -> int | None:
    """Returns the renewal period in whole months from one day to the other, or ``None`` if the
    days are not whole months apart."""
    months = (expires.year - completed.year) * 12 + expires.month - completed.month
    return months if months > 0 and renewed(completed, months) == expires else None


def usual(rows: Iterable[Mapping[str, Any]]) -> int:
    """Returns the most frequent renewal period of these awards, in months. 0 means no expiry, or an
    expiry that is not whole months later. Of equally frequent periods the longest counts."""
    counts = Counter(
        (months_between(r["completed_on"], r["expires_on"]) or 0) if r["expires_on"] else 0
        for r in rows
        if r["completed_on"] is not None
    )
    return max(counts, key=lambda months: (counts[months], months)) if counts else 0


def frequency(kind: Mapping[str, Any] | None) -> int:
    """Returns the renewal period of a training type in months, 0 without one."""
    return int(kind.get("frequency") or 0) if kind and kind.get("renewable") else 0


def expiry(completed: date, months: int) -> date | None:
    """Returns the expiry date of a record whose type has this renewal period; ``None`` for 0."""
    return renewed(completed, months) if months else None


def unsupported(row: Mapping[str, Any], months: int, table: bool, today: date) -> str | None:
    """Returns why BambooHR cannot hold an award, or ``None`` if it can. ``months`` is the renewal
    period of its type; with ``table`` a custom table holds expiry dates."""
    if row["completed_on"] is None or str(row["status"]).replace(" ", "").lower() != "completed":
        return "BambooHR holds completed trainings only"
    if row["completed_on"] > today:
        return "BambooHR holds completed trainings only, and this one lies in the future"
    if not table and row["expires_on"] != expiry(row["completed_on"], months):
        return (
            "its expiry is not the renewal period of its training type, and no expiry_table is set"
        )
    return None
