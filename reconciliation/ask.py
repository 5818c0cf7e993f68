"""Builds the questions that a run asks a feed."""

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
    """``low <= column < high`` for moments (UTC) or days. ``None`` leaves that end open."""

    column: str
    low: datetime | date | None = None
    high: datetime | date | None = None


@dataclass(frozen=True)
class Ask:
    """One question to a feed: clauses and ranges joined by "and", or a list of keys."""

    clauses: tuple[Clause, ...] = ()
    range: Range | None = None
    also: tuple[Range, ...] = ()
    """More ranges, which a record must meet as well."""
    keys: tuple[str, ...] | None = None
    by: str | None = None
    """The column that is compared with ``keys``; ``None``: the record's own key."""
    joined: bool = False
    """Whether ``keys`` are keys of the joined feed. The question is then about the records that
    those rows belong to."""
    skip_known: bool = True
    """Whether to leave out records that are unchanged byte for byte. False for records that are due
    because of the day."""


@dataclass(frozen=True)
class Moment:
    """The time of a run: the day in the tenant's zone, and the instant (UTC)."""

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
    """Builds the questions of a run: the window of changes, the awards that are due because of the
    day since the last run, and the records to look at again.

    Args:
        spec: the process.
        asked: the window of changes.
        mark: the watermark of the last run.
        when: the time of the run.
        keys: keys of the records to look at again.
        updated: the column with the moment of the last change; ``None`` if the tenant's feed has
            none, and then everything is read.
        first: the process has not loaded anything yet.
    """
    pushed = pushdown(spec.scope, first)
    clauses = tuple(clause for clause in pushed if clause.op == "in")
    lows: dict[str, datetime | date] = {
        "after": when.day + timedelta(days=1),
        "future": when.instant,
    }
    also = tuple(Range(clause.column, lows[clause.op]) for clause in pushed if clause.op in lows)
    asks = [
        Ask(clauses, Range(updated, low=asked.since) if updated and asked.since else None, also)
    ]
    if rule := spec.rule(AwardStates):
        ranges = [
            Range("expires_on", *due)
            for due in awards.due(mark.as_of, when.day, rule.expiring_within_days)
        ]
        ranges += [Range("completed_on", *begun) for begun in awards.begun(mark.as_of, when.day)]
        asks += [Ask(clauses, due, also, skip_known=False) for due in ranges]
    if keys:
        asks.append(Ask(keys=tuple(keys), skip_known=False))
    return asks


def columns(spec: ProcessSpec) -> list[str]:
    """Returns the feed's columns that the process needs. Other columns are never read."""
    needed = [
        spec.key,
        spec.created,
        spec.updated,
        *(f.source for f in spec.fields),
        *(f.instead for f in spec.fields),
    ]
    needed += [
        part.column for clause in spec.scope.clauses for part in (clause, clause.when) if part
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
    """Returns the custom fields that the process needs."""
    return tuple(
        dict.fromkeys(
            [*spec.custom, *(f.source for f in spec.fields if f.source.startswith(CUSTOM_PREFIX))]
        )
    )
