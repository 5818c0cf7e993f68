"""Hints: somebody says that a record has changed. What is true is read from the source; a hint only
says where to look, soon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .ask import Ask
from .spec import PEOPLE, Join, ProcessSpec

PATIENCE = timedelta(minutes=1)
"""After which a process that was told of its hints and has not heard them is told again; the pause
doubles."""
LONGEST = timedelta(hours=1)


@dataclass(frozen=True)
class Hint:
    """A change of one record that a webhook has announced and no run has processed yet."""

    feed: str
    key: str | None
    """``None``: the sender cannot name the record, so that all changes must be read."""
    deleted: bool
    """The webhook says that the record was deleted."""
    last: int
    """The number of the latest of the stored hints that this one stands for."""


def asks(spec: ProcessSpec, hints: Sequence[Hint]) -> list[Ask]:
    """What to ask so that exactly the records are read that were hinted at, known ones too: those
    of the process's own feed, those that a record of the joined feed belongs to, and all those of a
    person."""
    own = tuple(dict.fromkeys(h.key for h in hints if h.key is not None and h.feed == spec.feed))
    found = [Ask(keys=own, skip_known=False)]
    if join := spec.rule(Join):
        theirs = tuple(
            dict.fromkeys(h.key for h in hints if h.key is not None and h.feed == join.feed)
        )
        found += [Ask(keys=theirs, joined=True, skip_known=False)] if theirs else []
    if spec.person:
        people = tuple(
            dict.fromkeys(
                h.key for h in hints if h.key is not None and h.feed == PEOPLE[spec.direction][0]
            )
        )
        found += [Ask(keys=people, by=spec.person, skip_known=False)] if people else []
    return found


def suspects(spec: ProcessSpec, hints: Sequence[Hint]) -> list[str]:
    """Keys of the records that are said to be gone."""
    return [h.key for h in hints if h.key is not None and h.deleted and h.feed == spec.feed]


def feeds(spec: ProcessSpec) -> frozenset[str]:
    """The feeds of which a changed record concerns the process."""
    join = spec.rule(Join)
    return frozenset({spec.feed, *([join.feed] if join else [])})


@dataclass(frozen=True)
class Waiting:
    """Hints that no run has processed yet."""

    fresh: int = 0
    """Hints for which no event was sent to Prefect."""
    sent: int = 0
    """Hints for which an event was sent."""
    oldest: datetime | None = None
    """When the first of the ``fresh`` hints came (UTC)."""
    newest: datetime | None = None
    """When the last of the ``fresh`` hints came (UTC)."""
    announced: datetime | None = None
    """When the last event was sent (UTC)."""
    times: int = 0
    """Number of events that were sent."""

    def __add__(self, other: Waiting) -> Waiting:
        oldest, newest, announced = (
            [m for m in moments if m is not None]
            for moments in (
                (self.oldest, other.oldest),
                (self.newest, other.newest),
                (self.announced, other.announced),
            )
        )
        return Waiting(
            self.fresh + other.fresh,
            self.sent + other.sent,
            min(oldest, default=None),
            max(newest, default=None),
            max(announced, default=None),
            max(self.times, other.times),
        )


@dataclass(frozen=True)
class Pace:
    """How hints are gathered: for a ``window``; while more than ``burst`` of them wait, until a
    window without any, and for ``longest`` at most."""

    window: timedelta = timedelta(seconds=2)
    burst: int = 200
    longest: timedelta = timedelta(seconds=30)


def due(waiting: Mapping[str, Waiting], now: datetime, pace: Pace) -> list[str]:
    """The names of the processes to start now because hints wait for them.

    A process that was started and has not read its hints is left alone at first: a run takes all
    hints when it begins. After :data:`PATIENCE`, twice that, and so on, it is started again.
    """
    many = sum(w.fresh for w in waiting.values()) > pace.burst
    found = []
    for name, w in waiting.items():
        if w.announced is not None:
            ready = now - w.announced >= min(PATIENCE * 2 ** min(w.times - 1, 10), LONGEST)
        elif w.oldest is None or w.newest is None:
            ready = False
        elif many:
            ready = now - w.newest >= pace.window or now - w.oldest >= pace.longest
        else:
            ready = now - w.oldest >= pace.window
        if ready:
            found.append(name)
    return found
