"""Normalises identifiers, so that matching and every look-up agree on which ones are the same.

An ID, an employee number or an e-mail address is typed by people and exported by programs. Two
identifiers are the same if they differ only in case (also beyond ASCII), in the encoding of
accents, in surrounding space or in invisible characters.
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
"""Invisible characters: soft hyphen, joiners, direction marks, variation selectors, byte order
mark."""


def identifier(text: str) -> str:
    """Returns ``text`` in the normalised spelling; empty if it has no visible character."""
    composed = unicodedata.normalize("NFC", _INVISIBLE.sub("", text))
    folded = unicodedata.normalize("NFC", composed.casefold())
    return folded.strip()


def identifiers(values: pd.Series[Any]) -> pd.Series[Any]:
    """Returns :func:`identifier` of each value; null if there is no value or no visible character.

    It is computed on Arrow arrays for speed, because a run normalises every key of both sides.
    """
    array = arrow(values)
    if pc.all(pc.string_is_ascii(array)).as_py() is not False:
        plain = pc.utf8_trim_whitespace(pc.utf8_lower(array))
    else:
        # Normalise each distinct value once.
        distinct = array.dictionary_encode()
        names = [
            None if name is None else identifier(name) for name in distinct.dictionary.to_pylist()
        ]
        plain = pa.array(names, pa.string()).take(distinct.indices)
    known = pc.if_else(pc.equal(plain, ""), pa.scalar(None, pa.string()), plain)
    return column(known).set_axis(values.index)


def mentioned(raws: Sequence[str]) -> Callable[[str], bool]:
    """Returns a function that tells whether a text occurs in any of these raw records: as a value
    in JSON, or as a part of any other text."""
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
    """Returns the spellings to look up in a system that compares exactly: ``text`` in several
    common forms."""
    plain = identifier(text)
    ways = (text, text.strip(), plain, plain.upper(), unicodedata.normalize("NFD", plain))
    return [way for way in dict.fromkeys(ways) if way]
