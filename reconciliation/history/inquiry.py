"""Defines the question of a historical reconciliation (which records, as of which day, as known
when), and how the source is read for it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import Field, model_validator

from ..ask import Ask, Range
from ..spec import Clause, Frozen, ProcessSpec
from ..sweep import is_small, parts

BUSINESS_DAY: Mapping[str, str] = {
    "awards": "completed_on",
    "award_targets": "target_date",
    "assignments": "valid_from",
    "registrations": "starts_at",
    "course_requests": "starts_at",
}
"""Entity of HR -> the column that decides whether a record lies in the inquiry's period. For other
entities it is :data:`MADE`."""
MADE = "source_created_at"
"""The column with the moment at which the record was created in accessplanit."""


class Inquiry(Frozen):
    """One question. Companies, awards, roles and people are IDs of accessplanit; an empty filter
    selects all."""

    process: str
    as_of: date
    """The day as of which the two sides are compared."""
    known_at: datetime | None = None
    """A moment with an offset: compare with what the ledger knew then, not with what the target
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
    """The filters of the process's own flow, if its deployment has any."""

    @model_validator(mode="after")
    def _in_order(self) -> Inquiry:
        if self.first and self.last and self.last < self.first:
            raise ValueError("the period ends before it begins")
        if self.known_at and self.known_at.tzinfo is None:
            raise ValueError("the moment of knowledge needs an offset")
        return self

    @property
    def period(self) -> bool:
        """Whether the inquiry is limited to a period."""
        return self.first is not None or self.last is not None

    def digest(self, salt: bytes) -> str:
        """Returns 12 hexadecimal digits that identify this question. The ``salt`` keeps others from
        finding out whom it is about."""
        return hashlib.blake2b(self.model_dump_json().encode(), digest_size=6, key=salt).hexdigest()

    def end(self, zone: str) -> datetime:
        """Returns the first moment (UTC) after the day ``as_of``, which ends in the tenant's
        zone."""
        after = self.as_of + timedelta(days=1)
        return datetime(after.year, after.month, after.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def business_day(spec: ProcessSpec) -> tuple[str, str] | None:
    """Returns the two columns that decide whether a record lies in the period, (in the feed, in the
    target); ``None`` if no field is mapped to them."""
    for hr_column in (BUSINESS_DAY.get(spec.links, MADE), MADE):
        for each in spec.fields:
            if hr_column == (each.target if spec.direction == "to_hr" else each.source):
                return each.source, each.target
    return None


def asks(
    spec: ProcessSpec,
    inquiry: Inquiry,
    today: date,
    zone: str,
    kinds: Mapping[str, str],
    records: int,
) -> list[Ask]:
    """Splits the reading of the source into parts, each of which gets its own checkpoint.

    The parts are the months of the period, or else the ranges of a sweep. A small feed is one
    part. If people are chosen, one part reads exactly their records. HR as the source is read
    whole, in one part.

    Args:
        spec: the process.
        inquiry: the question.
        today: today in the tenant's zone.
        zone: the tenant's zone.
        kinds: the feed's columns, name -> kind.
        records: number of the feed's records that the store knows.
    """
    by = spec.person or (spec.key if spec.match else None)
    if spec.direction == "from_hr" or (inquiry.people and by is None):
        return [Ask(skip_known=False)]
    if inquiry.people:
        return [Ask(keys=inquiry.people, by=by, skip_known=False)]
    award = next((f.source for f in spec.fields if f.target == "award_id"), None)
    clauses = (Clause(column=award, values=inquiry.awards),) if inquiry.awards and award else ()
    day = business_day(spec)
    if inquiry.period and day:
        column, _ = day
        bounds: Sequence[tuple[date | None, date | None]]
        bounds = windows(inquiry.first, inquiry.last or today)
        if is_small(records):
            bounds = [(bounds[0][0], bounds[-1][1])]
        if kinds.get(column) == "moment":
            bounds = [(_begins(low, zone), _begins(high, zone)) for low, high in bounds]
        return [Ask(clauses, Range(column, low, high), skip_known=False) for low, high in bounds]
    ranges = parts(today, spec.created, records)
    return [Ask(clauses, each, skip_known=False) for each in ranges]


def windows(first: date | None, last: date) -> list[tuple[date | None, date]]:
    """Splits a period into months, as pairs (first day, day after the last).

    Without ``first`` an open window without a beginning comes first; it ends where the months
    begin, twelve years before ``last``.
    """
    begin = first or date(last.year - 12, 1, 1)
    bounds = [begin]
    while (following := (bounds[-1].replace(day=1) + timedelta(days=32)).replace(day=1)) <= last:
        bounds.append(following)
    lows: list[date | None] = [*bounds] if first else [None, *bounds]
    highs = [*bounds[len(lows) == len(bounds) :], last + timedelta(days=1)]
    return list(zip(lows, highs, strict=True))


def _begins(day: date | None, zone: str) -> datetime | None:
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)) if day else None
