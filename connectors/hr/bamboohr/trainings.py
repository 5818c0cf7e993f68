"""Completed awards as BambooHR's training records: pure.

A record has no key of ours and no expiry date. Our keys stand in its notes; it expires when its
type's renewal period is over, or on the date in a custom table.
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
    """What a record's notes say: by it, it is known to be ours."""
    return f"accessplanit award record {record}, award {award or ''}"


def keys(text: Any) -> tuple[str, str | None] | None:
    """(award record, award) of a record that is ours."""
    found = OURS.search(str(text or ""))
    return (found[1], found[2] or None) if found else None


def renewed(completed: date, months: int) -> date:
    """The day ``months`` later, or the last day of that month if it is shorter."""
    place = completed.month - 1 + months
    year, month = completed.year + place // 12, place % 12 + 1
    return date(year, month, min(completed.day, monthrange(year, month)[1]))


def months_between(completed: date, expires: date) -> int | None:
    """The renewal period that leads from one day to the other, if one of whole months does."""
    months = (expires.year - completed.year) * 12 + expires.month - completed.month
    return months if months > 0 and renewed(completed, months) == expires else None


def usual(rows: Iterable[Mapping[str, Any]]) -> int:
    """The renewal period of most of these awards in months; 0: they do not expire."""
    found = Counter(
        (months_between(r["completed_on"], r["expires_on"]) or 0) if r["expires_on"] else 0
        for r in rows
        if r["completed_on"] is not None
    )
    return max(found, key=lambda months: (found[months], months)) if found else 0


def frequency(kind: Mapping[str, Any] | None) -> int:
    """The renewal period of a training type in months; 0: none."""
    return int(kind.get("frequency") or 0) if kind and kind.get("renewable") else 0


def expiry(completed: date, months: int) -> date | None:
    """When a record of a type with this renewal period expires."""
    return renewed(completed, months) if months else None


def unsupported(row: Mapping[str, Any], months: int, table: bool, today: date) -> str | None:
    """Why BambooHR has no place for an award; ``None`` if it has."""
    if row["completed_on"] is None or str(row["status"]).replace(" ", "").lower() != "completed":
        return "BambooHR holds completed trainings only"
    if row["completed_on"] > today:
        return "BambooHR holds completed trainings only, and this one lies in the future"
    if not table and row["expires_on"] != expiry(row["completed_on"], months):
        return (
            "its expiry is not the renewal period of its training type, and no expiry_table is set"
        )
    return None
