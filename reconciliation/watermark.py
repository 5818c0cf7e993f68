"""The watermark (how far a feed has been read) and the window to read next."""

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
    """The day as of which the states of awards were loaded."""
    waiting: bool = False
    """Whether the last run met an unreadable record without a key and left the watermark where it
    was, so that the next run looks again."""


@dataclass(frozen=True)
class Window:
    """The window to read: records changed at or after ``since`` (UTC); ``None``: all records."""

    since: datetime | None


def window(
    mark: Watermark, overlap: timedelta, *, since: datetime | None = None, full: bool = False
) -> Window:
    """Returns the next window. It starts ``overlap`` before the watermark, inclusive.

    The overlap covers equal time stamps, late commits, a wrong clock in the source and the hour
    that occurs twice. Records that come again are recognised by their hash and skipped.
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
    """Returns the watermark after everything in ``read`` was loaded, held or quarantined.

    It does not move if the read was incomplete, or if an unreadable record without a key came for
    the first time (``unseen_keyless``): the next run reads the same window again. It also stays if
    the window began after the watermark (``since``), because records in between were not read, and
    its moment stays if nothing newer was found. A
    record dated in the future moves the watermark to ``now`` at most; otherwise changes until that
    date would be missed.
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
