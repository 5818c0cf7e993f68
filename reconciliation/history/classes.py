"""Compares the two sides and puts each key into exactly one class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from ..aligned import Alike, align
from ..frame import concat, frame
from ..plan import DERIVED
from ..tables import typed

EQUAL, DIFFERS, SUPERSEDED, EXPIRED = (
    "equal",
    "differs",
    "superseded",
    "expired in one, valid in the other",
)
MISSING, ONLY = "missing in the target", "only in the target"
AMBIGUOUS, QUARANTINED, OUTSIDE = "ambiguous", "quarantined", "out of scope"
CLASSES = (EQUAL, DIFFERS, EXPIRED, SUPERSEDED, MISSING, ONLY, AMBIGUOUS, QUARANTINED, OUTSIDE)
"""``superseded`` means that the sides agree on the award but not on whether a later award has
replaced it."""
FAULTS = (DIFFERS, EXPIRED, SUPERSEDED, MISSING, ONLY)
"""The classes in which the target does not hold what it should."""
CLASSIFIED = {"source_key": "text", "key": "text", "class": "text", "fields": "text"}
"""One row per record or row, with its key on each side (null if it has none) and the ``fields``
that differ, comma-separated."""


def classify(
    expected: pd.DataFrame,
    actual: pd.DataFrame,
    key: str,
    compared: Sequence[str],
    alike: Alike | None = None,
) -> pd.DataFrame:
    """Classifies every row of both sides, as :data:`CLASSIFIED`. Pure.

    The rows of ``expected`` come first, in their order; then the rows that only the target has.

    Args:
        expected: the rows that the target should hold, with ``source_key``.
        actual: the rows that it holds.
        key: the column that identifies a row on both sides.
        compared: the columns to compare.
        alike: column -> function that brings its values into the form in which they are compared.
    """
    aligned = align(expected, actual, key, compared, alike)
    touched, names = aligned.ours[aligned.touched], aligned.fields(compared)
    codes = np.full(len(expected), CLASSES.index(EQUAL), dtype=np.int8)
    codes[aligned.alone] = CLASSES.index(MISSING)
    codes[touched] = CLASSES.index(DIFFERS)
    if "state" in compared:
        theirs = aligned.theirs[aligned.touched]
        ours = expected["state"].iloc[touched].reset_index(drop=True)
        codes[touched] = _of_awards(
            ours, actual["state"].iloc[theirs].reset_index(drop=True), is_derived(names)
        )
    fields = np.full(len(expected), None, dtype=object)
    fields[touched] = names
    # There may be a million rows of nine classes. Arrow makes the texts ten times as fast as a
    # pandas Categorical.
    classes = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(CLASSES)).cast(pa.string())
    mine = frame({"class": classes, "fields": pa.array(fields, pa.string())}).assign(
        source_key=expected["source_key"].array, key=expected[key].array
    )
    alone = np.ones(len(actual), dtype=bool)
    alone[aligned.theirs] = False
    only = actual.loc[alone, [key]].rename(columns={key: "key"}).assign(**{"class": ONLY})
    return concat([mine[list(CLASSIFIED)], typed(only, CLASSIFIED)])


def _of_awards(
    ours: pd.Series[Any], theirs: pd.Series[Any], derived: np.ndarray[Any, Any]
) -> np.ndarray[Any, np.dtype[np.int8]]:
    """Returns the class codes of awards that differ, by their states on both sides. ``derived``
    says of each whether only columns differ that follow from other records."""
    valid, over = ["achieved", "expiring"], ["expired"]
    expired = (ours.isin(over) & theirs.isin(valid)) | (ours.isin(valid) & theirs.isin(over))
    replaced = ours.isin(["superseded"]) | theirs.isin(["superseded"])
    classes = [CLASSES.index(EXPIRED), CLASSES.index(SUPERSEDED)]
    return np.select([expired, replaced & derived], classes, CLASSES.index(DIFFERS))


def is_derived(fields: Iterable[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Returns the mask of rows in which only derived columns differ (``plan.DERIVED``: they follow
    from other records and the day). ``fields`` has the differing columns of each row."""
    return np.array([bool(text) and set(text.split(",")) <= DERIVED for text in fields], dtype=bool)
