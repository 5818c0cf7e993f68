"""Sweeps: finds the records that are gone by reading a whole feed, and splits the feed into
parts."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pandas as pd

from .ask import Range
from .identifiers import identifiers
from .snapshot import Snapshot
from .tables import texts

ORIGIN = {"source_key": "text", "key": "text"}
"""The record (``source_key``) behind each row of the target (``key``)."""
YEARS = 12
"""Number of years before the present one that are read year by year."""
FEW_RECORDS = 5000
"""A feed of which the store knows at most this number of records is read in one part."""
FRESH = timedelta(hours=24)
"""Parts that were read longer ago than this are read again."""


def parts(today: date, column: str | None, known: int) -> list[Range | None]:
    """Splits a feed into ranges of the creation moment (``column``): one per year, and the last two
    years by quarters. A small feed is one range, because each range takes a request at least.
    Without such a column the whole feed is one part (``None``).

    Each range is a separate read that need not be repeated after an interruption. Together they
    contain every record with a creation moment. A record without one is found by its key
    (:func:`missing`).

    Args:
        today: the day on which the sweep began.
        column: the feed's column with the creation moment.
        known: number of the feed's records that the store knows.
    """
    if column is None:
        return [None]
    if is_small(known):
        return [Range(column, None, None)]
    years = [date(year, 1, 1) for year in range(today.year - YEARS, today.year - 1)]
    quarters = [
        date(year, month, 1) for year in (today.year - 1, today.year) for month in (1, 4, 7, 10)
    ]
    bounds = [_moment(day) for day in [*years, *(q for q in quarters if q <= today)]]
    return [
        Range(column, low, high) for low, high in zip([None, *bounds], [*bounds, None], strict=True)
    ]


def is_small(known: int) -> bool:
    """Whether a feed of which the store knows this number of records is read in one part. If it
    knows none, the size is unknown."""
    return 0 < known <= FEW_RECORDS


def _moment(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@dataclass(frozen=True)
class Ended:
    """Source keys of the records whose rows in the target must end."""

    gone: pd.Series[Any] = field(default_factory=texts)
    """The source no longer has these records. Each was verified by asking for its key."""
    away: pd.Series[Any] = field(default_factory=texts)
    """These records now belong to a person whom the target does not have."""

    def __len__(self) -> int:
        return len(self.gone) + len(self.away)

    def keys(self) -> pd.Series[Any]:
        """Returns all keys."""
        return pd.concat([self.gone, self.away], ignore_index=True)


def seen(read: Snapshot, key: str) -> pd.Series[Any]:
    """Returns the keys of all records that came. A rejected record exists, although it is
    unreadable."""
    return pd.concat([read.frame[key], read.rejected["key"].dropna()], ignore_index=True)


def missing(origin: pd.DataFrame, read: Snapshot, key: str) -> pd.Series[Any]:
    """Returns the source keys of ``origin`` (:data:`ORIGIN`) that a whole read did not bring.

    They count as gone only after :func:`verified`.
    """
    keys = origin["source_key"]
    return keys[~identifiers(keys).isin(identifiers(seen(read, key)))]


def verified(
    suspects: pd.Series[Any], answer: Snapshot, whole: Snapshot, key: str
) -> pd.Series[Any]:
    """Returns the suspects that are gone: asked for by key, they did not come.

    If one of the two reads is incomplete, none counts as gone. Nor does any if a rejected record
    has no readable key, because it may be any of the suspects.

    Args:
        suspects: source keys.
        answer: the answer to the question for these keys.
        whole: the read of the whole feed.
        key: the feed's key column.
    """
    if not len(suspects):
        return suspects
    keyless = any(bool(read.rejected["key"].isna().any()) for read in (answer, whole))
    if not (answer.complete and whole.complete) or keyless:
        return suspects[:0]
    return suspects[~identifiers(suspects).isin(identifiers(seen(answer, key)))]


def rows_of(
    gone: pd.Series[Any], origin: pd.DataFrame, target: pd.DataFrame, key: str
) -> pd.DataFrame:
    """Returns the rows (:data:`ORIGIN`) of gone records that the target still has."""
    known = origin["source_key"].isin(gone) & origin["key"].isin(target[key])
    return origin[known].reset_index(drop=True)


def revoked(target: pd.DataFrame, key: str, gone: pd.DataFrame) -> pd.DataFrame:
    """Marks the award rows of ``gone`` as revoked, so that other rows of the same award are judged
    without them."""
    return target.assign(state=target["state"].mask(target[key].isin(gone["key"]), "revoked"))
