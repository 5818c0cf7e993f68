"""Where each key stands when the two sides are compared: exactly one class."""

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
"""superseded: the sides agree on the record and disagree on whether a later one has taken its
place."""
FAULTS = (DIFFERS, EXPIRED, SUPERSEDED, MISSING, ONLY)
"""The classes in which the target does not hold what it should."""
CLASSIFIED = {"source_key": "text", "key": "text", "class": "text", "fields": "text"}
"""One row for each record or row: keys on either side, null where there is none; ``fields`` that
differ, comma-separated."""


def classify(
    expected: pd.DataFrame,
    actual: pd.DataFrame,
    key: str,
    compared: Sequence[str],
    alike: Alike | None = None,
) -> pd.DataFrame:
    """:data:`CLASSIFIED`: each row of ``expected`` (what the target should hold, with
    ``source_key``) and of ``actual`` (what it holds), by ``key``; first the expected ones in their
    order, then those that are only in the target. Pure and total."""
    found = align(expected, actual, key, compared, alike)
    touched, names = found.ours[found.touched], found.fields(compared)
    codes = np.full(len(expected), CLASSES.index(EQUAL), dtype=np.int8)
    codes[found.alone] = CLASSES.index(MISSING)
    codes[touched] = CLASSES.index(DIFFERS)
    if "state" in compared:
        theirs = found.theirs[found.touched]
        ours = expected["state"].iloc[touched].reset_index(drop=True)
        codes[touched] = _of_awards(
            ours, actual["state"].iloc[theirs].reset_index(drop=True), is_derived(names)
        )
    fields = np.full(len(expected), None, dtype=object)
    fields[touched] = names
    # A million texts of nine: Arrow makes them ten times as fast as a Categorical.
    classes = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(CLASSES)).cast(pa.string())
    mine = frame({"class": classes, "fields": pa.array(fields, pa.string())}).assign(
        source_key=expected["source_key"].array, key=expected[key].array
    )
    alone = np.ones(len(actual), dtype=bool)
    alone[found.theirs] = False
    only = actual.loc[alone, [key]].rename(columns={key: "key"}).assign(**{"class": ONLY})
    return concat([mine[list(CLASSIFIED)], typed(only, CLASSIFIED)])


def _of_awards(
    ours: pd.Series[Any], theirs: pd.Series[Any], derived: np.ndarray[Any, Any]
) -> np.ndarray[Any, np.dtype[np.int8]]:
    """Codes of the classes of awards that differ, by their states on either side."""
    valid, over = ["achieved", "expiring"], ["expired"]
    expired = (ours.isin(over) & theirs.isin(valid)) | (ours.isin(valid) & theirs.isin(over))
    replaced = ours.isin(["superseded"]) | theirs.isin(["superseded"])
    classes = [CLASSES.index(EXPIRED), CLASSES.index(SUPERSEDED)]
    return np.select([expired, replaced & derived], classes, CLASSES.index(DIFFERS))


def is_derived(fields: Iterable[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Of which rows nothing differs but what follows from other fields."""
    return np.array([bool(text) and set(text.split(",")) <= DERIVED for text in fields], dtype=bool)
