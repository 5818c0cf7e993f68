"""Values of one side as the other side writes them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd

from .aligned import Alike
from .frame import fold
from .spec import FieldMap, ProcessSpec
from .tables import DTYPES, TEXT, folded, looked_up, texts
from .values import CUSTOM_PREFIX, READERS, encoded, shown


def translated(values: pd.Series[Any], pairs: Sequence[tuple[str, str]]) -> pd.Series[Any]:
    """The counterpart of each value, without regard to case and spaces; null where there is
    none."""
    words = pd.DataFrame(
        {"word": texts(fold(word) for word, _ in pairs), "meant": texts(m for _, m in pairs)}
    )
    plain = folded(values)
    if not plain.isin(words["word"]).any():
        return pd.Series(pd.NA, values.index, TEXT)
    return looked_up(plain, words, "word")["meant"]


def mapped(field: FieldMap, values: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """A field's values as the target writes them, and where a strict field has no counterpart for
    one."""
    if field.source.startswith(CUSTOM_PREFIX) != field.target.startswith(CUSTOM_PREFIX):
        return (
            _of_custom(field, values)
            if field.source.startswith(CUSTOM_PREFIX)
            else _as_custom(values)
        )
    if not field.values:
        return values.astype(DTYPES[field.kind]), _nowhere(values)
    found = translated(values, field.values)
    if not field.strict:
        return found.fillna(values), _nowhere(values)
    return found, values.notna() & found.isna()


def _nowhere(values: pd.Series[Any]) -> pd.Series[Any]:
    return pd.Series(False, index=values.index)


def _of_custom(field: FieldMap, values: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """As :func:`mapped`, for a custom field: its value is read as what the field's kind is."""
    plain = plain_custom(values)
    if field.values or field.kind == "text":
        return mapped(field.model_copy(update={"source": field.target}), plain)
    found: list[Any] = []
    unknown = []
    for text in plain.array:
        try:
            found.append(READERS[field.kind](None if pd.isna(text) else text))
            unknown.append(False)
        except ValueError:
            found.append(None)
            unknown.append(True)
    read = pd.Series(found, index=values.index, dtype=DTYPES[field.kind])
    return read, pd.Series(unknown, index=values.index, dtype=bool)


def _as_custom(values: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """As :func:`mapped`, for an ordinary value that becomes a custom field."""
    known = as_text(values).array
    written = texts(encoded(None if pd.isna(text) else text) for text in known)
    return written.set_axis(values.index), _nowhere(values)


def plain_custom(values: pd.Series[Any]) -> pd.Series[Any]:
    """The values of a custom field as people read them: 12 is "12"."""
    plain = texts(shown(None if pd.isna(value) else value) for value in values.array)
    return plain.set_axis(values.index)


def canonical(field: FieldMap, values: pd.Series[Any]) -> pd.Series[Any]:
    """Values of the target in the form in which they are compared (``FieldMap.alike``)."""
    if field.target.startswith(CUSTOM_PREFIX):
        return plain_custom(values)
    if not field.alike or values.dtype != DTYPES["text"]:
        return values
    return translated(values, field.alike).fillna(values)


def alike_of(spec: ProcessSpec) -> Alike:
    """Column -> function that brings its values into the form in which they are compared."""
    return {
        field.target: partial(canonical, field)
        for field in spec.fields
        if field.alike or field.target.startswith(CUSTOM_PREFIX)
    }


def as_text(values: pd.Series[Any]) -> pd.Series[Any]:
    """Values of any kind as text, to be kept and compared."""
    return values if values.dtype == DTYPES["text"] else values.astype(DTYPES["text"])
