"""The dtypes of columns, and functions for recurring steps in pandas.

Every frame has Arrow-backed columns. Three things differ from NumPy-backed columns:

- A missing value is ``pd.NA``, and a comparison with it gives ``pd.NA``. Decide what that counts as
  (``.fillna(False)``), or use ``isin``, :func:`same` or ``isna``.
- ``a.isin(b)`` is true for a missing value if ``b`` contains one. So call ``b.dropna()`` first.
- A frame without rows keeps its dtypes, also through ``frame.concat``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import xxhash

from .aligned import positions, unequal
from .frame import ARROW, arrow, strings

DTYPES = {kind: pd.ArrowDtype(arrow_type) for kind, arrow_type in ARROW.items()}
"""The dtype of each kind of column."""
TEXT, FLAG, DAY, MOMENT, NUMBER = (
    DTYPES[kind] for kind in ("text", "flag", "day", "moment", "number")
)


def typed(data: pd.DataFrame, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Returns the columns ``kinds`` (name -> kind) in their dtypes and with a fresh index. Columns
    that ``data`` lacks are null."""
    lacking = {name: None for name in kinds if name not in data}
    dtypes = {name: DTYPES[kind] for name, kind in kinds.items()}
    return data.assign(**lacking)[list(kinds)].astype(dtypes).reset_index(drop=True)


def texts(values: Iterable[str | None] = ()) -> pd.Series[Any]:
    """Builds a text column from Python values."""
    return pd.Series(list(values), dtype=TEXT)


def looked_up(keys: pd.Series[Any], table: pd.DataFrame, key: str) -> pd.DataFrame:
    """Looks up the row of ``table`` for each of ``keys``, by its column ``key``. The result has the
    index of ``keys``, and nulls where no row has the key. If several rows have it, the first
    counts."""
    row_numbers = positions(keys, table[key])
    # A missing key has the number -1, which is not in the index, so its row becomes nulls.
    return table.set_axis(range(len(table))).reindex(row_numbers).set_axis(keys.index)


def same(left: pd.Series[Any], right: pd.Series[Any]) -> pd.Series[Any]:
    """Returns the mask of rows in which two columns have the same value or are both missing."""
    return pd.Series(~unequal(arrow(left), arrow(right)), index=left.index)


def folded(text: pd.Series[Any]) -> pd.Series[Any]:
    """Normalises names and statuses for comparison: lower case, no spaces ("In Progress" equals
    "InProgress")."""
    return text.str.lower().str.replace(" ", "", regex=False)


def row_hashes(rows: pd.DataFrame, seed: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Returns a 64-bit hash of each row's content. ``seed`` is a hexadecimal number."""
    seed_int, encode = int(seed, 16), msgspec.json.Encoder().encode
    columns = (strings(rows[name].astype(TEXT)) for name in rows.columns)
    digests = (xxhash.xxh3_64_digest(encode(row), seed_int) for row in zip(*columns, strict=True))
    return np.array([int.from_bytes(digest, signed=True) for digest in digests], dtype=np.int64)
