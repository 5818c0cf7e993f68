"""Translates values of one side into those of the other side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from typing import Any

import pandas as pd

from .aligned import Alike
from .frame import fold
from .spec import FieldMap, ProcessSpec
from .tables import DTYPES, folded, looked_up, texts
from .values import CUSTOM_PREFIX, READERS, encoded, shown


def translated(values: pd.Series[Any], pairs: Sequence[tuple[str, str]]) -> pd.Series[Any]:
    """Returns the counterpart of each value in ``pairs``, ignoring case and spaces. A value without
    a counterpart becomes null."""
    return looked_up(folded(values), _counterparts(tuple(pairs)), "value")["counterpart"]


@cache
def _counterparts(pairs: tuple[tuple[str, str], ...]) -> pd.DataFrame:
    """Returns ``value`` (folded) and ``counterpart`` of each pair."""
    return pd.DataFrame(
        {
            "value": texts(fold(value) for value, _ in pairs),
            "counterpart": texts(counterpart for _, counterpart in pairs),
        }
    )


def mapped(field: FieldMap, values: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """Returns a field's values as the target writes them, and the mask of values for which a strict
    field has no counterpart."""
    if field.source.startswith(CUSTOM_PREFIX) != field.target.startswith(CUSTOM_PREFIX):
        return (
            _of_custom(field, values)
            if field.source.startswith(CUSTOM_PREFIX)
            else _as_custom(values)
        )
    if not field.values:
        return values.astype(DTYPES[field.kind]), _nowhere(values)
    counterparts = translated(values, field.values)
    if not field.strict:
        return counterparts.fillna(values), _nowhere(values)
    return counterparts, values.notna() & counterparts.isna()


def _nowhere(values: pd.Series[Any]) -> pd.Series[Any]:
    return pd.Series(False, index=values.index)


def _of_custom(field: FieldMap, values: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """Does the same as :func:`mapped` for a custom field as the source: its value is read according
    to the field's kind."""
    plain = plain_custom(values)
    if field.values or field.kind == "text":
        return mapped(field.model_copy(update={"source": field.target}), plain)
    parsed: list[Any] = []
    unreadable = []
    for text in plain.array:
        try:
            parsed.append(READERS[field.kind](None if pd.isna(text) else text))
            unreadable.append(False)
        except ValueError:
            parsed.append(None)
            unreadable.append(True)
    return (
        pd.Series(parsed, index=values.index, dtype=DTYPES[field.kind]),
        pd.Series(unreadable, index=values.index, dtype=bool),
    )


def _as_custom(values: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """Does the same as :func:`mapped` for an ordinary value that becomes a custom field."""
    as_texts = as_text(values).array
    custom = texts(encoded(None if pd.isna(text) else text) for text in as_texts)
    return custom.set_axis(values.index), _nowhere(values)


def plain_custom(values: pd.Series[Any]) -> pd.Series[Any]:
    """Returns the values of a custom field as plain text: the number 12 becomes "12"."""
    plain = texts(shown(None if pd.isna(value) else value) for value in values.array)
    return plain.set_axis(values.index)


def canonical(field: FieldMap, values: pd.Series[Any]) -> pd.Series[Any]:
    """Brings values of the target into the form in which they are compared (``FieldMap.alike``)."""
    if field.target.startswith(CUSTOM_PREFIX):
        return plain_custom(values)
    if not field.alike or values.dtype != DTYPES["text"]:
        return values
    return translated(values, field.alike).fillna(values)


def alike_of(spec: ProcessSpec) -> Alike:
    """Returns column -> function that brings its values into the form in which they are compared.
    Columns without such a function are compared as they are."""
    return {
        field.target: partial(canonical, field)
        for field in spec.fields
        if field.alike or field.target.startswith(CUSTOM_PREFIX)
    }


def as_text(values: pd.Series[Any]) -> pd.Series[Any]:
    """Converts values of any kind to text, for storing and comparing."""
    return values if values.dtype == DTYPES["text"] else values.astype(DTYPES["text"])
