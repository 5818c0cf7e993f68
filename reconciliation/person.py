"""Whose data something is: one person, by all that names them. Pure."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .frame import arrow, frame, true
from .identifiers import identifier, identifiers
from .match import PROVISIONAL

FORGOTTEN = "(forgotten)"
"""What stands in the place of a value of somebody who was forgotten, in what is somebody else's."""
KEYS = frozenset(
    "id key source_key target_key row person who user_id waits_for superseded_by employee_id accessplanit_id accessplanit_user_id"
    " award_record_id award_target_id assignment_id registration_id course_request_id compliance_id".split()
)
"""Columns of frames and files that name a person, or a record of one."""
OWN = frozenset({"email", "employee_number"})
"""Columns whose value is one of the person themselves."""
_WIRE = frozenset(name.replace("_", "") for name in KEYS)
SHORTEST = 4
"""A shorter text is searched only where it stands alone: within other texts it is too often something else."""


@dataclass(frozen=True)
class Erased:
    """What a connector or a folder has forgotten: rows, and what it could not erase, in words for the user."""

    rows: int = 0
    left: tuple[str, ...] = ()


@dataclass(frozen=True)
class Person:
    """One person. ids: the accessplanit user and the employees that they are. keys: of their records, on either side. values: what is
    theirs alone: e-mail addresses, numbers, whole names.

    How any of these is spelled does not matter. A key that begins with one of the ids and ``~`` is theirs, too.
    """

    ids: frozenset[str]
    keys: frozenset[str] = frozenset()
    values: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, ids: Iterable[str | None], keys: Iterable[str | None] = (), values: Iterable[str | None] = ()) -> Person:
        """From what may be missing."""
        found = (frozenset(each for each in some if each and each.strip()) for some in (ids, keys, values))
        return cls(*found)

    def __or__(self, other: Person) -> Person:
        return Person(self.ids | other.ids, self.keys | other.keys, self.values | other.values)

    @cached_property
    def plain(self) -> frozenset[str]:
        """Ids and keys in the spelling by which they are compared."""
        return frozenset(identifier(each) for each in self.ids | self.keys)

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """What the keys of their records begin with."""
        return tuple(f"{identifier(each)}~" for each in sorted(self.ids))

    @cached_property
    def own(self) -> frozenset[str]:
        """The values in the spelling by which they are compared."""
        return frozenset(identifier(each) for each in self.values)

    def has(self, key: str | None) -> bool:
        """Whether a key is the person's, or one of their records'."""
        plain = identifier(key or "").removeprefix(PROVISIONAL)
        return plain in self.plain or plain.startswith(self.heads)

    def is_own(self, value: str | None) -> bool:
        """Whether a value, such as an e-mail address, is the person's alone."""
        return identifier(value or "") in self.own

    def theirs(self, data: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Which rows of a frame are the person's, by its columns :data:`KEYS` and :data:`OWN`."""
        found = np.zeros(len(data), dtype=bool)
        for name in _texts(data, KEYS):
            plain = pc.replace_substring_regex(identifiers(arrow(data[name])), f"^{PROVISIONAL}", "")
            found |= true(pc.is_in(plain, value_set=pa.array(sorted(self.plain), pa.string())))
            for head in self.heads:
                found |= true(pc.starts_with(plain, head))
        for name in _texts(data, OWN):
            found |= true(pc.is_in(identifiers(arrow(data[name])), value_set=pa.array(sorted(self.own), pa.string())))
        return found

    def has_record(self, raw: str | None) -> bool:
        """Whether a record as it was received says that it is the person's: a JSON object by :data:`KEYS`, a line of CSV by any value."""
        found = _json(raw or "")
        if isinstance(found, dict):
            return any(self.has(str(value)) for name, value in found.items() if name.lower().replace("_", "") in _WIRE)
        return any(self.has(value) for value in _values(raw or ""))

    def mentioned(self, text: str | None) -> bool:
        """Whether anything of the person stands in a text, as a word of its own."""
        return bool(text) and (self._word.search(text or "") is not None or any(self._is(value) for value in _values(text or "")))

    def without(self, text: str) -> str:
        """``text`` with :data:`FORGOTTEN` in the place of all that names the person."""
        found = _json(text)
        if found is not None:
            return json.dumps(self._emptied(found), ensure_ascii=False)
        return FORGOTTEN if self._is(text) else self._word.sub(FORGOTTEN, text)

    def redacted(self, data: pd.DataFrame) -> pd.DataFrame:
        """A frame without what it says of the person in rows that are not theirs, as in a list of e-mail addresses."""
        changed: dict[str, pa.Array] = {}
        for name in _texts(data, set(data.columns) - {"kind", "fields"}):
            column = arrow(data[name])
            # Most say nothing of the person: only the others are looked at one by one. JSON may hide a letter.
            hits = true(pc.match_substring_regex(column, self._pattern, ignore_case=True)) | true(pc.match_substring(column, "\\u"))
            if hits.any():
                told = [self.without(text) for text in column.filter(pa.array(hits)).to_pylist()]
                changed[name] = pc.replace_with_mask(column, pa.array(hits), pa.array(told, pa.string()))
        return data.assign(**{name: frame({name: column})[name] for name, column in changed.items()}) if changed else data

    def _is(self, text: str) -> bool:
        return identifier(text) in self.own or (len(text) >= SHORTEST and self.has(text))

    def _emptied(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._emptied(name): self._emptied(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._emptied(inner) for inner in value]
        return self.without(value) if isinstance(value, str) else FORGOTTEN if value is not None and self._is(str(value)) else value

    @cached_property
    def _pattern(self) -> str:
        long = sorted((each for each in self.ids | self.keys | self.values if len(each) >= SHORTEST), key=len, reverse=True)
        # Without any word: what never comes.
        return "|".join(re.escape(each).replace(r"\ ", r"\s+") for each in long) or r"\x00\x00"

    @cached_property
    def _word(self) -> re.Pattern[str]:
        # Nor is a name a part of an e-mail address, or of a double one.
        return re.compile(rf"(?<![\w@.-])(?:{self._pattern})(?![\w@-])", re.IGNORECASE)


def _texts(data: pd.DataFrame, names: Iterable[str]) -> list[str]:
    chosen = set(names)
    return [name for name in data.columns if name in chosen and pa.types.is_string(arrow(data[name]).type)]


def _values(raw: str) -> Iterator[str]:
    """The values of a record as it was received."""
    found = _json(raw)
    if found is not None:
        yield from _inner(found)
        return
    for separator in ",;\t|":
        if separator in raw:
            with_cells = csv.reader(io.StringIO(raw, newline=""), delimiter=separator)
            yield from (cell for row in _readable(with_cells) for cell in row)
    yield raw


def _json(text: str) -> dict[str, Any] | list[Any] | None:
    """A JSON object or list; ``None`` if it is none."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        found: dict[str, Any] | list[Any] = json.loads(text)
    except ValueError:
        return None
    return found


def _readable(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from rows
    except csv.Error:
        return


def _inner(value: object) -> Iterator[str]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _inner(inner)
    elif value is not None:
        yield str(value)
