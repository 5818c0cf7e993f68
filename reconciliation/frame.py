"""Builds and converts frames: Arrow-backed columns, one null, IDs always text.

Every frame of this project is a pandas DataFrame whose columns have an ``ArrowDtype``. A missing
value is ``pd.NA`` and nothing else: blank text is null, ``NaN`` and ``NaT`` do not occur.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

Kind = Literal["text", "flag", "day", "moment", "number"]
"""Kinds of columns. ``flag`` is true or false, ``day`` a date without a time, ``moment`` an instant
in UTC, ``number`` a whole number."""

ARROW: dict[str, pa.DataType] = {
    "text": pa.string(),
    "flag": pa.bool_(),
    "day": pa.date32(),
    "moment": pa.timestamp("us", "UTC"),
    "number": pa.int64(),
    "hash": pa.int64(),
}


def arrow(column: pd.Series[Any]) -> pa.Array:
    """Returns the column's Arrow array as one chunk, without copying if it is one chunk already."""
    array = pa.array(column.array)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def column(array: pa.Array) -> pd.Series[Any]:
    """Returns an Arrow array as a pandas column; the inverse of :func:`arrow`."""
    return pd.Series(pd.arrays.ArrowExtensionArray(array))


def frame(columns: Mapping[str, pa.Array]) -> pd.DataFrame:
    """Builds a DataFrame from Arrow arrays of equal length, without copying."""
    return pd.DataFrame(
        {name: pd.arrays.ArrowExtensionArray(array) for name, array in columns.items()}, copy=False
    )


def empty(columns: Mapping[str, str]) -> pd.DataFrame:
    """Returns a frame without rows; ``columns`` is name -> kind."""
    return _empty(tuple(columns.items())).copy(deep=False)


@cache
def _empty(columns: tuple[tuple[str, str], ...]) -> pd.DataFrame:
    # Cached because a small run needs some thirty of them, and each takes half a millisecond.
    return frame({name: pa.array([], ARROW[kind]) for name, kind in columns})


def of(columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> pd.DataFrame:
    """Builds a frame from Python rows whose values are in the order of ``columns`` (name ->
    kind)."""
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    return frame(
        {
            name: pa.array(v, ARROW[kind])
            for (name, kind), v in zip(columns.items(), values, strict=True)
        }
    )


Rows = TypeVar("Rows", pd.DataFrame, "pd.Series[Any]")


def concat(frames: Sequence[Rows]) -> Rows:
    """Concatenates frames with the same columns, in order and with a fresh index. Empty frames are
    left out, so that they cannot change a dtype."""
    full = [f for f in frames if len(f)] or list(frames[:1])
    return full[0].reset_index(drop=True) if len(full) == 1 else pd.concat(full, ignore_index=True)


def take(array: pa.Array, places: np.ndarray[Any, Any]) -> pa.Array:
    """Returns the values at the positions ``places``. If these are all positions in order, it is
    the array itself."""
    whole = len(places) == len(array) and (
        len(places) == 0 or (places[0] == 0 and bool((np.diff(places) == 1).all()))
    )
    return array if whole else array.take(pa.array(places))


def true(condition: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Returns an Arrow condition as a NumPy mask; null counts as false."""
    return np.asarray(pc.fill_null(condition, False).to_numpy(zero_copy_only=False), dtype=bool)


def strings(column: pd.Series[Any] | pa.Array) -> list[str | None]:
    """Returns a text column as a list of Python values."""
    array = arrow(column) if isinstance(column, pd.Series) else column
    values: list[str | None] = array.to_numpy(zero_copy_only=False).tolist()
    return values


def tidy(text: pa.Array) -> pa.Array:
    """Strips surrounding white space. Blank text becomes null, because accessplanit treats it as no
    value."""
    trimmed = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def without_days(dates: pa.Array, days: Collection[date]) -> pa.Array:
    """Replaces the days or moments that fall on one of ``days`` by null."""
    chosen = pc.is_in(dates.cast(pa.date32()), value_set=pa.array(sorted(days), pa.date32()))
    return (
        pc.if_else(chosen, pa.scalar(None, dates.type), dates) if pc.any(chosen).as_py() else dates
    )


def fold(text: str) -> str:
    """Normalises a name or status for comparison: lower case, no spaces ("In Progress" equals
    "InProgress"). ``tables.folded`` does the same for a column."""
    return text.lower().replace(" ", "")


def utc(wall: pa.Array, zone: str) -> pa.Array:
    """Converts naive wall times of ``zone`` to UTC.

    accessplanit sends local time without an offset. A time that occurs twice is read as the earlier
    one, and a time that does not exist as the moment at which the clocks went forward. The overlap
    of the reading window covers the error.
    """
    return pc.assume_timezone(wall, zone, ambiguous="earliest", nonexistent="latest").cast(
        ARROW["moment"]
    )


def wall(moment: datetime, zone: str) -> datetime:
    """Returns the earliest naive wall time of ``zone`` that any instant from ``moment`` on can
    have, as an inclusive lower bound.

    This is the wall time of ``moment`` itself, except in the hour before the clocks go back. Wall
    times of the following, repeated hour are earlier than that.
    """
    local = moment.astimezone(ZoneInfo(zone))
    first, second = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    back = (
        first - second
        if first is not None and second is not None and local.fold == 0
        else timedelta(0)
    )
    return local.replace(tzinfo=None) - max(back, timedelta(0))
