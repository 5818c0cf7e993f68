"""Aligns two frames by key: finds the rows that both have, and the columns in which they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .frame import arrow, column, take, true

Alike = Mapping[str, Callable[["pd.Series[Any]"], "pd.Series[Any]"]]
"""Column -> function that brings its values into the form in which they are compared."""
MANY = 50_000
"""Number of rows from which columns are compared in parallel threads. Arrow releases the GIL."""


@dataclass(frozen=True)
class Aligned:
    """Two frames (ours and theirs), aligned row by row."""

    ours: np.ndarray[Any, np.dtype[np.int64]]
    """Positions in our frame of the rows that both have, ascending."""
    theirs: np.ndarray[Any, np.dtype[np.int64]]
    """Positions of the same rows in their frame."""
    alone: np.ndarray[Any, np.dtype[np.bool_]]
    """Mask of our rows that are missing in their frame."""
    differs: np.ndarray[Any, np.dtype[np.bool_]]
    """Mask of the rows in ``ours`` that differ: one row of this array for each compared column."""

    @property
    def touched(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Mask of the rows in ``ours`` that differ in any column."""
        return np.asarray(self.differs.any(axis=0))

    def fields(self, compared: Sequence[str]) -> list[str]:
        """Returns, for each touched row, the columns in which it differs, comma-separated."""
        names = np.asarray(compared, dtype=object)
        return [",".join(names[column]) for column in self.differs[:, self.touched].T]


def positions(keys: pd.Series[Any], among: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Returns the position of each key in ``among``; -1 if it is null or not there. If a key occurs
    several times in ``among``, its first position counts."""
    places = pc.index_in(arrow(keys), value_set=arrow(among), skip_nulls=True)
    return np.asarray(pc.fill_null(places, -1).to_numpy(), dtype=np.int64)


def unequal(left: pa.Array, right: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Returns the mask of rows in which two arrays differ. Two missing values are equal."""
    differs = true(pc.not_equal(left, right))
    if left.null_count or right.null_count:
        differs |= np.asarray(pc.is_null(left)) != np.asarray(pc.is_null(right))
    return differs


def align(
    ours: pd.DataFrame,
    theirs: pd.DataFrame,
    key: str,
    compared: Sequence[str],
    alike: Alike | None = None,
) -> Aligned:
    """Aligns two frames. Both have ``key`` (unique) and the ``compared`` columns. Two missing
    values are equal."""
    alike = alike or {}
    places = positions(ours[key], theirs[key])
    alone = places < 0
    common = np.flatnonzero(~alone)
    counterparts = places[~alone]
    differs = np.zeros((len(compared), len(common)), dtype=bool)

    def compare(number: int) -> None:
        name = compared[number]
        left, right = arrow(ours[name]), arrow(theirs[name])
        if left.null_count == len(left) and right.null_count == len(right):
            return
        left, right = take(left, common), take(right, counterparts)
        if name in alike:
            left, right = (arrow(alike[name](column(side))) for side in (left, right))
        differs[number] = unequal(left, right)

    if len(common) < MANY:
        for number in range(len(compared)):
            compare(number)
    else:
        with ThreadPoolExecutor(min(pa.cpu_count(), 4)) as pool:
            list(pool.map(compare, range(len(compared))))
    return Aligned(common, counterparts, alone, differs)
