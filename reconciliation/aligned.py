"""Two frames side by side, by key: which rows are there, and in which columns they differ."""

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
"""Column -> what makes values that say the same one."""
MANY = 50_000
"""Rows from which on the columns are compared side by side: Arrow computes without the
interpreter."""


@dataclass(frozen=True)
class Aligned:
    """Two frames, row beside row."""

    ours: np.ndarray[Any, np.dtype[np.int64]]
    """Positions in our frame of the rows that both have, ascending."""
    theirs: np.ndarray[Any, np.dtype[np.int64]]
    """Positions of the same rows in their frame."""
    alone: np.ndarray[Any, np.dtype[np.bool_]]
    """Which of our rows they do not have."""
    differs: np.ndarray[Any, np.dtype[np.bool_]]
    """Which of the rows in ``ours`` differ: one row of this array for each compared column."""

    @property
    def touched(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which of ``ours`` differ in any column."""
        return np.asarray(self.differs.any(axis=0))

    def fields(self, compared: Sequence[str]) -> list[str]:
        """The columns in which each of the touched rows differs, comma-separated."""
        names = np.asarray(compared, dtype=object)
        return [",".join(names[column]) for column in self.differs[:, self.touched].T]


def align(
    ours: pd.DataFrame,
    theirs: pd.DataFrame,
    key: str,
    compared: Sequence[str],
    alike: Alike | None = None,
) -> Aligned:
    """Both have ``key`` (unique) and the ``compared`` columns. Two values that are missing are
    equal."""
    alike = alike or {}
    place = pc.index_in(arrow(ours[key]), value_set=arrow(theirs[key]))
    alone = np.asarray(pc.is_null(place))
    old = np.flatnonzero(~alone)
    there = place.filter(pa.array(~alone)).to_numpy().astype(np.int64)
    differs = np.zeros((len(compared), len(old)), dtype=bool)

    def compare(number: int) -> None:
        name = compared[number]
        left, right = arrow(ours[name]), arrow(theirs[name])
        if left.null_count == len(left) and right.null_count == len(right):
            return
        left, right = take(left, old), take(right, there)
        if name in alike:
            left, right = (arrow(alike[name](column(side))) for side in (left, right))
        differs[number] = true(pc.not_equal(left, right))
        if left.null_count or right.null_count:
            differs[number] |= np.asarray(pc.is_null(left)) != np.asarray(pc.is_null(right))

    if len(old) < MANY:
        for number in range(len(compared)):
            compare(number)
    else:
        with ThreadPoolExecutor(min(pa.cpu_count(), 4)) as pool:
            list(pool.map(compare, range(len(compared))))
    return Aligned(old, there, alone, differs)
