"""What a pandas reader needs once: the dtypes of columns, and five words for what recurs.

Every frame has Arrow-backed columns. Three things differ from what NumPy-backed columns do:

- A missing value is ``pd.NA``. A comparison with it is neither true nor false but ``pd.NA``: say
  what it counts as (``.fillna(False)``), or use ``isin``, :func:`same` or ``isna``.
- ``isin`` finds a missing value where the other side has one too: drop it there (``dropna``).
- A frame of no rows keeps its dtypes. ``frame.concat`` keeps them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import xxhash

from .frame import ARROW, strings

DTYPES = {kind: pd.ArrowDtype(arrow_type) for kind, arrow_type in ARROW.items()}
"""The dtype of each kind of column."""
TEXT, FLAG, DAY, MOMENT, NUMBER = (
    DTYPES[kind] for kind in ("text", "flag", "day", "moment", "number")
)


def typed(data: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """The columns ``kinds`` (name -> kind) in their dtypes, null where ``data`` lacks them; with a
    fresh index."""
    lacking = {name: None for name in kinds if name not in data}
    dtypes = {name: DTYPES[kind] for name, kind in kinds.items()}
    return data.assign(**lacking)[list(kinds)].astype(dtypes).reset_index(drop=True)


def texts(values: Iterable[str | None] = ()) -> pd.Series[Any]:
    """A text column from Python values."""
    return pd.Series(list(values), dtype=TEXT)


def looked_up(keys: pd.Series[Any], table: pd.DataFrame, key: str) -> pd.DataFrame:
    """The row of ``table`` that has each of ``keys`` in its column ``key``, nulls where none has;
    with the index of ``keys``. Of several rows with one key the first counts."""
    if not len(keys) or not len(table):
        return table[:0].reindex(keys.index)
    rows = table.dropna(subset=key).drop_duplicates(key)
    found = keys.to_frame("_key").merge(rows.assign(_key=rows[key]), on="_key", how="left")
    return found.drop(columns="_key").set_axis(keys.index)


def same(left: pd.Series[Any], right: pd.Series[Any]) -> pd.Series[Any]:
    """Where two columns, row by row, hold the same value, or both hold none."""
    return (left == right).fillna(False).astype(bool) | (left.isna() & right.isna())


def folded(text: pd.Series[Any]) -> pd.Series[Any]:
    """Text for comparison of names and statuses: no case, no spaces ("In Progress" is
    "InProgress")."""
    return text.str.lower().str.replace(" ", "", regex=False)


def row_hashes(rows: pd.DataFrame, seed: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The hash of each row's content, seeded with a hexadecimal number."""
    number, encode = int(seed, 16), msgspec.json.Encoder().encode
    texts = (strings(rows[name].astype(TEXT)) for name in rows.columns)
    hashes = (xxhash.xxh3_64_digest(encode(row), number) for row in zip(*texts, strict=True))
    return np.array([int.from_bytes(each, signed=True) for each in hashes], dtype=np.int64)
