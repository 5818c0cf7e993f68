"""What only a look at everything can find: records that are gone, rows that were changed in HR,
rows that are only there."""

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
"""Which record (``source_key``) an HR row (``key``) comes from."""
YEARS = 12
FRESH = timedelta(hours=24)
"""Parts that were read longer ago are read again."""


def parts(today: date, column: str | None) -> list[Range | None]:
    """The ranges of creation in which a feed is swept: one each year, and the last two years by
    quarters.

    A feed without such a column is one part, its whole (``None``).

    Each is a read of its own, complete or not, that need not be repeated when a sweep is
    interrupted. Together they have every record that has a moment of creation; one without is found
    by its key (:func:`missing`).
    """
    if column is None:
        return [None]
    years = [date(year, 1, 1) for year in range(today.year - YEARS, today.year - 1)]
    quarters = [
        date(year, month, 1) for year in (today.year - 1, today.year) for month in (1, 4, 7, 10)
    ]
    bounds = [_moment(day) for day in [*years, *(q for q in quarters if q <= today)]]
    return [
        Range(column, low, high) for low, high in zip([None, *bounds], [*bounds, None], strict=True)
    ]


def _moment(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


@dataclass(frozen=True)
class Ended:
    """Source keys of the records whose rows in the target have ended."""

    gone: pd.Series[Any] = field(default_factory=texts)
    """The source no longer has them; each was verified by asking for it."""
    away: pd.Series[Any] = field(default_factory=texts)
    """They belong now to a person whom the target does not have."""

    def __len__(self) -> int:
        return len(self.gone) + len(self.away)

    def keys(self) -> pd.Series[Any]:
        """All of them."""
        return pd.concat([self.gone, self.away], ignore_index=True)


def seen(read: Snapshot, key: str) -> pd.Series[Any]:
    """The keys of all records that were read. A rejected record is there, though unreadable."""
    return pd.concat([read.frame[key], read.rejected["key"].dropna()], ignore_index=True)


def missing(origin: pd.DataFrame, read: Snapshot, key: str) -> pd.Series[Any]:
    """Source keys of ``origin`` (:data:`ORIGIN`) that a whole read did not bring.

    They count as gone only once they are verified.
    """
    keys = origin["source_key"]
    return keys[~identifiers(keys).isin(identifiers(seen(read, key)))]


def verified(
    suspects: pd.Series[Any], answer: Snapshot, whole: Snapshot, key: str
) -> pd.Series[Any]:
    """The suspects that are gone: asked for by key, they did not answer.

    Nothing about either read may be in doubt. A rejected record without a readable key may be any
    of the suspects: then none is gone.
    """
    keyless = any(bool(read.rejected["key"].isna().any()) for read in (answer, whole))
    if not (answer.complete and whole.complete) or keyless:
        return suspects[:0]
    return suspects[~identifiers(suspects).isin(identifiers(seen(answer, key)))]


def rows_of(
    gone: pd.Series[Any], origin: pd.DataFrame, target: pd.DataFrame, key: str
) -> pd.DataFrame:
    """The target's rows (:data:`ORIGIN`) of records that are gone, as far as it still has them."""
    known = origin["source_key"].isin(gone) & origin["key"].isin(target[key])
    return origin[known].reset_index(drop=True)


def revoked(target: pd.DataFrame, key: str, gone: pd.DataFrame) -> pd.DataFrame:
    """Award rows with those of ``gone`` revoked, as their siblings must see them."""
    return target.assign(state=target["state"].mask(target[key].isin(gone["key"]), "revoked"))
