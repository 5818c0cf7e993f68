"""When two identifiers are the same: one normalisation, used by matching and by every look-up.

An ID, an employee number or an e-mail address is typed by people and exported by programs. Case
(beyond ASCII too), the form in which an accent is encoded, surrounding space and characters that
nobody can see tell nothing apart.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .frame import arrow, column

_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
"""Soft hyphen, joiners, direction marks, variation selectors, byte order mark."""


def identifier(text: str) -> str:
    """``text`` in the one spelling by which it is compared; empty where nothing visible is in
    it."""
    composed = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    folded = unicodedata.normalize("NFC", composed.casefold())
    return folded.strip()


def identifiers(values: pd.Series[Any]) -> pd.Series[Any]:
    """:func:`identifier` of each value; null where there is no value or nothing visible in it.

    A run normalises every key of both sides, so this is computed on Arrow arrays.
    """
    array = arrow(values)
    if pc.all(pc.string_is_ascii(array)).as_py() is not False:
        plain = pc.utf8_trim_whitespace(pc.utf8_lower(array))
    else:
        spelt = array.dictionary_encode()
        names = [
            None if name is None else identifier(name) for name in spelt.dictionary.to_pylist()
        ]
        plain = pa.array(names, pa.string()).take(spelt.indices)
    known = pc.if_else(pc.equal(plain, ""), pa.scalar(None, pa.string()), plain)
    return column(known).set_axis(values.index)


def mentioned(raws: Sequence[str]) -> Callable[[str], bool]:
    """Whether a text is in any of these records as they were received: a value of a JSON object, or
    a part of any other text."""
    values: set[str] = set()
    others: list[str] = []
    for raw in raws:
        try:
            values.update(identifier(text) for text in _texts(json.loads(raw)))
        except ValueError:
            others.append(identifier(raw))

    def is_mentioned(text: str) -> bool:
        plain = identifier(text)
        return plain in values or any(plain in other for other in others)

    return is_mentioned


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
    elif value is not None:
        yield str(value)


def spellings(text: str) -> list[str]:
    """The ways in which a system that compares to the letter may have written ``text``: for
    look-ups that it does itself."""
    plain = identifier(text)
    ways = (text, text.strip(), plain, plain.upper(), unicodedata.normalize("NFD", plain))
    return [way for way in dict.fromkeys(ways) if way]
