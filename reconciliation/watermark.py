"""How far a feed has been read, and what to ask for next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from .snapshot import Snapshot


@dataclass(frozen=True)
class Watermark:
    """How far a feed has been read."""

    moment: datetime | None = None
    """The latest change that was read (UTC)."""
    as_of: date | None = None
    """The day whose time-driven states were loaded."""
    waiting: bool = False
    """The last run met an unreadable record without a key and stayed where it was, to look again
    once."""


@dataclass(frozen=True)
class Window:
    """What to ask the feed for: records changed at or after ``since`` (UTC); ``None``: all."""

    since: datetime | None


def window(
    mark: Watermark, overlap: timedelta, *, since: datetime | None = None, full: bool = False
) -> Window:
    """The next window: closed at its start, and ``overlap`` before the watermark.

    The overlap covers equal time stamps, late commits, a source clock that is off and the hour that
    occurs twice. What it brings again is recognised by its hash and costs nothing.
    """
    if since is not None:
        return Window(since)
    return Window(None if full or mark.moment is None else mark.moment - overlap)


def advance(
    mark: Watermark,
    read: Snapshot,
    updated: str | None,
    asked: Window,
    now: datetime,
    today: date,
    unseen_keyless: bool,
) -> Watermark:
    """The watermark after everything in ``read`` was loaded, held or quarantined.

    It stays where it was if the read was not complete, or if a record came that has no readable key
    and was not met before: the next run looks at the same window again. A read that began after the
    watermark (``since``) moves nothing, for it has left rows out; one that has found nothing newer
    keeps the moment. A record dated in the future does not take the watermark there with it, past
    all that will change until then.
    """
    if not read.complete:
        return replace(mark, waiting=False)
    if unseen_keyless:
        return replace(mark, waiting=True)
    if asked.since is not None and (mark.moment is None or asked.since > mark.moment):
        return replace(mark, waiting=False)
    moments = [] if mark.moment is None else [mark.moment]
    if updated and updated in read.frame and read.frame[updated].notna().any():
        moments.append(min(read.frame[updated].max().to_pydatetime(), now))
    return Watermark(max(moments, default=None), max(today, mark.as_of or today), False)
