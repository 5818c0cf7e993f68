"""What to ask a feed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from . import awards
from .scope import pushdown
from .spec import Clause, ProcessSpec
from .watermark import Watermark, Window


@dataclass(frozen=True)
class Range:
    """``low <= column < high`` over moments (UTC) or days; ``None`` is open."""

    column: str
    low: datetime | date | None = None
    high: datetime | date | None = None


@dataclass(frozen=True)
class Ask:
    """One question to a feed: clauses and a range joined by "and", or exactly these keys.

    skip_known: leave out records whose bytes are known; not for records that are due by time.
    """

    clauses: tuple[Clause, ...] = ()
    range: Range | None = None
    keys: tuple[str, ...] | None = None
    skip_known: bool = True


def questions(spec: ProcessSpec, asked: Window, mark: Watermark, today: date, keys: Sequence[str], updated: str | None) -> list[Ask]:
    """The window; what is due by time alone since the last run; what is to be looked at again (``keys``).

    ``updated``: the column of the last change, ``None`` where the tenant's feed has none: then the window is all.
    """
    clauses = pushdown(spec.scope)
    found = [Ask(clauses, Range(updated, low=asked.since) if updated and asked.since else None)]
    if spec.award_states:
        ranges = awards.due(mark.as_of, today, spec.expiring_within_days)
        found += [Ask(clauses, Range("expires_on", low, high), skip_known=False) for low, high in ranges]
    if keys:
        found.append(Ask(keys=tuple(keys), skip_known=False))
    return found


def columns(spec: ProcessSpec) -> list[str]:
    """The feed's columns that the process needs, and no other: what is not mapped does not travel."""
    needed = [spec.key, spec.created, spec.updated, *(f.source for f in spec.fields), *(c.column for c in spec.scope.clauses)]
    needed += [rule.source for rule in spec.match] + [name for name in (spec.person, spec.natural_key) if name]
    return list(dict.fromkeys(needed))
