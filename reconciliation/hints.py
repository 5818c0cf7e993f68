"""Handles hints: notifications from webhooks that a record has changed. A hint only says where to
look; the values are always read from the source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from .ask import Ask
from .spec import PEOPLE, Join, ProcessSpec

PATIENCE = timedelta(minutes=1)
"""Pause after which a process that was started for its hints but has not read them is started
again. The pause doubles each time, up to :data:`LONGEST`."""
LONGEST = timedelta(hours=1)


@dataclass(frozen=True)
class Hint:
    """A change of one record that a webhook has announced and no run has processed yet."""

    feed: str
    key: str | None
    """``None``: the sender cannot name the record, so all changes must be read."""
    deleted: bool
    """Whether the webhook says that the record was deleted."""
    last: int
    """The number of the latest of the stored hints that this one stands for."""


def asks(spec: ProcessSpec, hints: Sequence[Hint]) -> list[Ask]:
    """Builds the questions for exactly the records that hints name, known ones included.

    A hint may name a record of the process's own feed, a row of the joined feed (asked for is the
    record that it belongs to), or a person (asked for are all their records).
    """
    own = tuple(dict.fromkeys(h.key for h in hints if h.key is not None and h.feed == spec.feed))
    questions = [Ask(keys=own, skip_known=False)]
    if join := spec.rule(Join):
        joined = tuple(
            dict.fromkeys(h.key for h in hints if h.key is not None and h.feed == join.feed)
        )
        questions += [Ask(keys=joined, joined=True, skip_known=False)] if joined else []
    if spec.person:
        people = tuple(
            dict.fromkeys(
                h.key for h in hints if h.key is not None and h.feed == PEOPLE[spec.direction][0]
            )
        )
        questions += [Ask(keys=people, by=spec.person, skip_known=False)] if people else []
    return questions


def suspects(spec: ProcessSpec, hints: Sequence[Hint]) -> list[str]:
    """Returns the keys of the records that hints say were deleted."""
    return [h.key for h in hints if h.key is not None and h.deleted and h.feed == spec.feed]


def feeds(spec: ProcessSpec) -> frozenset[str]:
    """Returns the feeds whose changes concern the process: its own and the joined one."""
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
    """How long hints are gathered before a run is started."""

    window: timedelta = timedelta(seconds=2)
    """Time after the first hint, if few hints wait."""
    burst: int = 200
    """If more hints than this wait, gather until no hint came for a ``window``."""
    longest: timedelta = timedelta(seconds=30)
    """Maximum time after the first hint."""


def due(waiting: Mapping[str, Waiting], now: datetime, pace: Pace) -> list[str]:
    """Returns the names of the processes to start now because hints wait for them.

    A run takes all hints when it begins. A process that was started but has not read its hints is
    started again after :data:`PATIENCE`, then after twice that, and so on.
    """
    many = sum(w.fresh for w in waiting.values()) > pace.burst
    names = []
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
            names.append(name)
    return names
