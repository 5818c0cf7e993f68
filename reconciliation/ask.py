"""What to ask a feed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from . import awards
from .scope import pushdown
from .spec import AwardStates, Clause, CourseDecisions, HeldByReason, Join, ProcessSpec
from .values import CUSTOM_PREFIX
from .watermark import Watermark, Window


@dataclass(frozen=True)
class Range:
    """``low <= column < high`` over moments (UTC) or days; ``None`` is open."""

    column: str
    low: datetime | date | None = None
    high: datetime | date | None = None


@dataclass(frozen=True)
class Ask:
    """One question to a feed: clauses and ranges joined by "and", or exactly these keys."""

    clauses: tuple[Clause, ...] = ()
    range: Range | None = None
    also: tuple[Range, ...] = ()
    """Further ranges."""
    keys: tuple[str, ...] | None = None
    by: str | None = None
    """The column that holds ``keys``; ``None``: the record's own key."""
    joined: bool = False
    """``keys`` name records of the joined feed; asked for are the records that they belong to."""
    skip_known: bool = True
    """Leave out records whose bytes are known. False for records that are due by time."""


@dataclass(frozen=True)
class Moment:
    """When a run is: the tenant's day, and the instant."""

    day: date
    instant: datetime


def questions(
    spec: ProcessSpec,
    asked: Window,
    mark: Watermark,
    when: Moment,
    keys: Sequence[str],
    updated: str | None,
    first: bool,
) -> list[Ask]:
    """The window; what is due by time alone since the last run; what is to be looked at again
    (``keys``).

    ``updated``: the column of the last change, ``None`` where the tenant's feed has none: then the
    window is all. ``first``: the process has loaded nothing yet.
    """
    pushed = pushdown(spec.scope, first)
    clauses = tuple(clause for clause in pushed if clause.op == "in")
    lows: dict[str, datetime | date] = {
        "after": when.day + timedelta(days=1),
        "future": when.instant,
    }
    also = tuple(Range(clause.column, lows[clause.op]) for clause in pushed if clause.op in lows)
    found = [
        Ask(clauses, Range(updated, low=asked.since) if updated and asked.since else None, also)
    ]
    if rule := spec.rule(AwardStates):
        ranges = [
            Range("expires_on", *due)
            for due in awards.due(mark.as_of, when.day, rule.expiring_within_days)
        ]
        ranges += [Range("completed_on", *begun) for begun in awards.begun(mark.as_of, when.day)]
        found += [Ask(clauses, due, also, skip_known=False) for due in ranges]
    if keys:
        found.append(Ask(keys=tuple(keys), skip_known=False))
    return found


def columns(spec: ProcessSpec) -> list[str]:
    """The feed's columns that the process needs, and no other: what is not mapped does not
    travel."""
    needed = [
        spec.key,
        spec.created,
        spec.updated,
        *(f.source for f in spec.fields),
        *(f.instead for f in spec.fields),
    ]
    needed += [
        clause.column for given in spec.scope.clauses for clause in (given, given.when) if clause
    ]
    needed += [rule.source for rule in spec.match] + [spec.person, spec.natural_key]
    needed += [spec.scope.closes.column if spec.scope.closes else None]
    needed += ["decided_at" if spec.rule(CourseDecisions) else None]
    reasons, join = spec.rule(HeldByReason), spec.rule(Join)
    needed += [reasons.column] if reasons else []
    needed += [ours for ours, _ in join.on] if join else []
    joined = [name for _, name in join.columns] if join else []
    return [
        name
        for name in dict.fromkeys(needed)
        if name and name not in joined and not name.startswith(CUSTOM_PREFIX)
    ]


def custom(spec: ProcessSpec) -> tuple[str, ...]:
    """The custom fields that the process needs."""
    return tuple(
        dict.fromkeys(
            [*spec.custom, *(f.source for f in spec.fields if f.source.startswith(CUSTOM_PREFIX))]
        )
    )
