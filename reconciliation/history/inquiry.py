"""What a historical reconciliation is asked: which records, as of which day, as known when; and
how the source is read for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from ..ask import Ask, Range
from ..spec import Clause, Frozen, ProcessSpec
from ..sweep import parts

BUSINESS_DAY: Mapping[str, str] = {
    "awards": "completed_on",
    "award_targets": "target_date",
    "assignments": "valid_from",
    "registrations": "starts_at",
    "course_requests": "starts_at",
}
"""Entity of HR -> the column whose day a period is about; of others it is the day on which the
record was made."""
MADE = "source_created_at"


class Inquiry(Frozen):
    """One question. Companies, awards, roles and people are IDs of accessplanit; none: all."""

    process: str
    as_of: date
    """The business day."""
    known_at: datetime | None = None
    """Compare with what the ledger knew at this moment (with an offset), not with what the target
    holds now."""
    first: date | None = None
    """Only records whose business day (:func:`business_day`) is this one or later."""
    last: date | None = None
    """Only records whose business day is this one or earlier."""
    companies: tuple[str, ...] = ()
    awards: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    filters: Mapping[str, Any] = Field(default_factory=dict)
    """Filters of the process's own flow, where its deployment has any."""

    @model_validator(mode="after")
    def _in_order(self) -> Inquiry:
        if self.first and self.last and self.last < self.first:
            raise ValueError("the period ends before it begins")
        if self.known_at and self.known_at.tzinfo is None:
            raise ValueError("the moment of knowledge needs an offset")
        return self

    @property
    def period(self) -> bool:
        """Whether a period is named."""
        return self.first is not None or self.last is not None

    def digest(self, salt: bytes) -> str:
        """Names exactly this question: 12 hexadecimal digits. Without the ``salt`` nobody can tell
        whom it is about."""
        return hashlib.blake2b(self.model_dump_json().encode(), digest_size=6, key=salt).hexdigest()

    def end(self, zone: str) -> datetime:
        """The first moment (UTC) after the day that is asked about, in the tenant's zone."""
        after = self.as_of + timedelta(days=1)
        return datetime(after.year, after.month, after.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def business_day(spec: ProcessSpec) -> tuple[str, str] | None:
    """(column of the feed, column of the target) that a period is about; ``None`` if nothing is
    mapped to it."""
    for name in (BUSINESS_DAY.get(spec.links, MADE), MADE):
        for each in spec.fields:
            if name in ((each.target,) if spec.direction == "to_hr" else (each.source,)):
                return each.source, each.target
    return None


def asks(
    spec: ProcessSpec, inquiry: Inquiry, today: date, zone: str, kinds: Mapping[str, str]
) -> list[Ask]:
    """The parts in which the source is read, each with a checkpoint of its own: months of a period,
    or the ranges of a sweep.

    Of chosen people exactly their records are read. kinds: of the feed's columns. HR is read as a
    whole, in one part.
    """
    by = spec.person or (spec.key if spec.match else None)
    if spec.direction == "from_hr" or (inquiry.people and by is None):
        return [Ask(skip_known=False)]
    if inquiry.people:
        return [Ask(keys=inquiry.people, by=by, skip_known=False)]
    chosen = next((f.source for f in spec.fields if f.target == "award_id"), None)
    clauses = (Clause(column=chosen, values=inquiry.awards),) if inquiry.awards and chosen else ()
    day = business_day(spec)
    if inquiry.period and day:
        bounds: Sequence[tuple[date | None, date | None]]
        bounds = windows(inquiry.first, inquiry.last or today)
        if kinds.get(day[0]) == "moment":
            bounds = [(_begins(low, zone), _begins(high, zone)) for low, high in bounds]
        return [Ask(clauses, Range(day[0], low, high), skip_known=False) for low, high in bounds]
    return [Ask(clauses, each, skip_known=False) for each in parts(today, spec.created)]


def windows(first: date | None, last: date) -> list[tuple[date | None, date]]:
    """The months of a period, each from its first day to before the second; without a beginning the
    first is open."""
    begin = first or date(last.year - 12, 1, 1)
    bounds = [begin]
    while (following := (bounds[-1].replace(day=1) + timedelta(days=32)).replace(day=1)) <= last:
        bounds.append(following)
    lows: list[date | None] = [*bounds] if first else [None, *bounds]
    highs = [*bounds[len(lows) == len(bounds) :], last + timedelta(days=1)]
    return list(zip(lows, highs, strict=True))


def _begins(day: date | None, zone: str) -> datetime | None:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)) if day else None
