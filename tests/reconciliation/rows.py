"""Rows of a table as properties draw them."""

from __future__ import annotations

import random
from datetime import date

import pandas as pd
from hypothesis import strategies as st

from reconciliation.frame import arrow, of

COLUMNS = {"name": "text", "day": "day", "flag": "flag", "note": "text"}
KEYED = {"key": "text", **COLUMNS}
VALUES = st.tuples(
    st.sampled_from([None, "", "a", "b", "Ö"]),
    st.sampled_from([None, date(2026, 1, 1), date(2026, 1, 2)]),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, "x"]),
)
SIDES = st.dictionaries(st.text("abcd", min_size=1, max_size=2), VALUES, max_size=12)


def side(rows: dict[str, tuple[object, ...]], seed: int = 0) -> pd.DataFrame:
    items = [(key, *values) for key, values in rows.items()]
    random.Random(seed).shuffle(items)
    return of(KEYED, items)


def content(frame: pd.DataFrame) -> set[tuple[object, ...]]:
    return set(zip(*(arrow(frame[name]).to_pylist() for name in KEYED), strict=True))


TABLE = {"name": "text", "day": "day", "flag": "flag", "note": "text"}
ROWS = st.dictionaries(
    st.text("abcd", min_size=1, max_size=2),
    st.tuples(
        st.sampled_from([None, "", "a", "b", "Ö"]),
        st.sampled_from([None, date(2026, 1, 1), date(2026, 1, 2)]),
        st.sampled_from([None, True, False]),
        st.sampled_from([None, "x"]),
    ),
    max_size=12,
)


def table(rows: dict[str, tuple[object, ...]], dice: random.Random | None = None) -> pd.DataFrame:
    items = [(key, *values) for key, values in rows.items()]
    if dice:
        dice.shuffle(items)
    return of({"key": "text", **TABLE}, items)
