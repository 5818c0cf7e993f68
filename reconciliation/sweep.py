"""What only a look at everything can find: records that are gone, rows that were changed in HR,
rows that are only there."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .ask import Range
from .frame import arrow, empty, frame, pick, true
from .identifiers import identifiers
from .snapshot import Snapshot

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
    """Records of which the rows of the target have ended: source keys."""

    gone: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    """That the source has no more, each verified by asking for it."""
    away: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    """That belong now to a person whom the target does not have."""

    def __len__(self) -> int:
        return len(self.gone) + len(self.away)

    def keys(self) -> pa.Array:
        """All of them."""
        return pa.concat_arrays([self.gone, self.away])


@dataclass(frozen=True)
class Swept:
    """A whole feed."""

    read: Snapshot
    ended: Ended = field(default_factory=Ended)
    parts: int = 0
    resumed: int = 0
    """How many of the parts were taken up from an interrupted sweep."""


def seen(read: Snapshot, key: str) -> pa.Array:
    """The keys of all records that were read, rejected ones too: a record that is unreadable is
    there."""
    return pa.concat_arrays([arrow(read.frame[key]), arrow(read.rejected["key"]).drop_null()])


def missing(origin: pd.DataFrame, read: Snapshot, key: str) -> pa.Array:
    """Source keys of ``origin`` (:data:`ORIGIN`) that were not seen in a whole read: to be verified
    before they count."""
    keys = arrow(origin["source_key"])
    return keys.filter(
        pa.array(~true(pc.is_in(identifiers(keys), value_set=identifiers(seen(read, key)))))
    )


def verified(suspects: pa.Array, answer: Snapshot, whole: Snapshot, key: str) -> pa.Array:
    """The suspects that are gone: asked for by key, they did not answer, and nothing about either
    read is in doubt.

    A rejected record without a readable key may be any of them: then none is gone.
    """
    keyless = any(bool(s.rejected["key"].isna().any()) for s in (answer, whole))
    if not (answer.complete and whole.complete) or keyless:
        return suspects[:0]
    return suspects.filter(
        pa.array(~true(pc.is_in(identifiers(suspects), value_set=identifiers(seen(answer, key)))))
    )


def rows_of(gone: pa.Array, origin: pd.DataFrame, target: pd.DataFrame, key: str) -> pd.DataFrame:
    """The HR rows (:data:`ORIGIN`) of records that are gone, as far as HR still has them."""
    if not len(gone):
        return empty(ORIGIN)
    known = true(pc.is_in(arrow(origin["source_key"]), value_set=gone))
    there = true(pc.is_in(arrow(origin["key"]), value_set=arrow(target[key])))
    return pick(origin, known & there)


def revoked(target: pd.DataFrame, key: str, gone: pd.DataFrame) -> pd.DataFrame:
    """Award rows with those of ``gone`` revoked, as their siblings must see them."""
    mask = true(pc.is_in(arrow(target[key]), value_set=arrow(gone["key"])))
    state = pc.if_else(pa.array(mask), "revoked", arrow(target["state"]))
    return target.assign(state=frame({"state": state})["state"]) if np.any(mask) else target
