"""Whose data something is: one person, by all that names them. Pure."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from .identifiers import identifier, identifiers
from .match import PROVISIONAL
from .tables import TEXT

FORGOTTEN = "(forgotten)"
"""What stands in the place of a value of somebody who was forgotten, in what is somebody else's."""
KEYS = frozenset(
    "id key source_key target_key row person who user_id waits_for superseded_by employee_id "
    "accessplanit_id accessplanit_user_id"
    " award_record_id award_target_id assignment_id registration_id course_request_id "
    "compliance_id".split()
)
"""Columns of frames and files that name a person, or a record of one."""
WHOSE = {
    "accessplanit_id": "users",
    "accessplanit_user_id": "users",
    "user_id": "users",
    "employee_id": "employees",
}
"""Those of the columns that hold people of one side only: the ID of a user may be that of another
employee."""
OWN = frozenset({"email", "employee_number"})
"""Columns whose value is one of the person themselves."""
_WIRE = {name.replace("_", ""): name for name in KEYS}
_PAIR = re.compile(r'"(\w+)"\s*:\s*"((?:[^"\\]|\\.)*)')
"""A field of a JSON object, also of one that was cut off."""
SHORTEST = 4
"""A shorter text is searched only where it stands alone: within other texts it is too often
something else."""


@dataclass(frozen=True)
class Erased:
    """What a connector or a folder has forgotten."""

    rows: int = 0
    left: tuple[str, ...] = ()
    """What it could not erase, in words for the user."""


@dataclass(frozen=True)
class Person:
    """One person. How anything of them is spelled does not matter. A key that begins with one of
    the IDs and ``~`` is theirs, too."""

    users: frozenset[str] = frozenset()
    """IDs in accessplanit."""
    employees: frozenset[str] = frozenset()
    """Keys of employees in HR."""
    keys: frozenset[str] = frozenset()
    """Keys of their records, on either side."""
    values: frozenset[str] = frozenset()
    """What is theirs alone: e-mail addresses, numbers, whole names."""

    @classmethod
    def of(
        cls,
        users: Iterable[str | None] = (),
        employees: Iterable[str | None] = (),
        keys: Iterable[str | None] = (),
        values: Iterable[str | None] = (),
    ) -> Person:
        """From what may be missing."""
        found = (
            frozenset(each for each in some if each and each.strip())
            for some in (users, employees, keys, values)
        )
        return cls(*found)

    def __or__(self, other: Person) -> Person:
        return Person(
            self.users | other.users,
            self.employees | other.employees,
            self.keys | other.keys,
            self.values | other.values,
        )

    @property
    def ids(self) -> frozenset[str]:
        """Who they are on either side."""
        return self.users | self.employees

    @cached_property
    def plain(self) -> Mapping[str, frozenset[str]]:
        """What a column may hold, in the spelling by which it is compared: ``users``,
        ``employees``, ``keys``, or ``any`` of these."""
        found = {
            name: frozenset(map(identifier, getattr(self, name)))
            for name in ("users", "employees", "keys")
        }
        return {**found, "any": frozenset().union(*found.values())}

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """What the keys of their records begin with."""
        return tuple(f"{identifier(each)}~" for each in sorted(self.ids))

    @cached_property
    def own(self) -> frozenset[str]:
        """The values in the spelling by which they are compared."""
        return frozenset(identifier(each) for each in self.values)

    def has(self, key: str | None, column: str = "") -> bool:
        """Whether a key, which stands in ``column``, is the person's, or one of their records'."""
        plain = identifier(key or "").removeprefix(PROVISIONAL)
        return plain in self.plain[WHOSE.get(column, "any")] or plain.startswith(self.heads)

    def has_row(self, row: Mapping[str, str | None]) -> bool:
        """Whether a row (column -> value) is the person's, by its columns :data:`KEYS` and
        :data:`OWN`."""
        whose = {name: row[name] for name in WHOSE if row.get(name)}
        if any(self.has(key, name) for name, key in whose.items()) or any(
            self.is_own(row[name]) for name in OWN & row.keys()
        ):
            return True
        keys = [
            identifier(row[name] or "").removeprefix(PROVISIONAL)
            for name in KEYS - WHOSE.keys()
            if row.get(name)
        ]
        # A row that names somebody else is theirs, though its key may look like one of this
        # person's.
        return any(
            key in self.plain["keys" if whose else "any"] or key.startswith(self.heads)
            for key in keys
        )

    def is_own(self, value: str | None) -> bool:
        """Whether a value, such as an e-mail address, is the person's alone."""
        return identifier(value or "") in self.own

    def theirs(self, data: pd.DataFrame) -> pd.Series[bool]:
        """Which rows of a frame are the person's, as :meth:`has_row` has it."""
        found, others = pd.Series(False, data.index), pd.Series(False, data.index)
        texts = _texts(data, KEYS)
        for name in sorted(texts, key=lambda name: name not in WHOSE):
            plain = identifiers(data[name]).str.removeprefix(PROVISIONAL)
            if name in WHOSE:
                found |= plain.isin(self.plain[WHOSE[name]])
                others |= plain.notna()
            else:
                anyones = plain.isin(self.plain["any"])
                found |= plain.isin(self.plain["keys"]).where(others, anyones)
            found |= plain.str.startswith(self.heads).fillna(False)
        for name in _texts(data, OWN):
            found |= identifiers(data[name]).isin(self.own)
        return found

    def has_record(self, raw: str | None) -> bool:
        """Whether a record as it was received says that it is the person's: a JSON object by
        :data:`KEYS`, also one that was cut off; a line of CSV by any value that is long enough to
        be nothing else."""
        text = raw or ""
        found = _json(text)
        if not isinstance(found, dict) and text.lstrip().startswith("{"):
            found = dict(_PAIR.findall(text))
        if isinstance(found, dict):
            named = {
                _WIRE[wire]: str(value)
                for name, value in found.items()
                if (wire := name.lower().replace("_", "")) in _WIRE
            }
            return self.has_row(named)
        return any(len(value) >= SHORTEST and self.has(value) for value in _values(text))

    def mentioned(self, text: str | None) -> bool:
        """Whether anything of the person stands in a text, as a word of its own."""
        return bool(text) and (
            self._word.search(text or "") is not None
            or any(self._is(value) for value in _values(text or ""))
        )

    def without(self, text: str) -> str:
        """``text`` with :data:`FORGOTTEN` in the place of all that names the person."""
        found = _json(text)
        if found is not None:
            return json.dumps(self._emptied(found), ensure_ascii=False)
        return FORGOTTEN if self._is(text) else self._word.sub(FORGOTTEN, text)

    def redacted(self, data: pd.DataFrame) -> pd.DataFrame:
        """A frame without what it says of the person in rows that are not theirs, as in a list of
        e-mail addresses."""
        changed: dict[str, pd.Series[Any]] = {}
        for name in _texts(data, set(data.columns) - KEYS - {"kind", "fields"}):
            column = data[name]
            # Most say nothing of the person: only the others are looked at one by one. JSON may
            # hide a letter.
            named = column.str.contains(self._pattern, case=False)
            hits = (named | column.str.contains("\\u", regex=False)).fillna(False)
            if hits.any():
                changed[name] = column.mask(hits, column[hits].map(self.without).astype(TEXT))
        return data.assign(**changed) if changed else data

    def _is(self, text: str) -> bool:
        return identifier(text) in self.own or (len(text) >= SHORTEST and self.has(text))

    def _emptied(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {
                self._emptied(name): inner
                if self._is_anothers(name, inner)
                else self._emptied(inner)
                for name, inner in value.items()
            }
        if isinstance(value, list):
            return [self._emptied(inner) for inner in value]
        if isinstance(value, str):
            return self.without(value)
        return FORGOTTEN if value is not None and self._is(str(value)) else value

    def _is_anothers(self, name: str, value: Any) -> bool:
        """Whether a field of a record names somebody else, who may have the same key on the other
        side."""
        column = _WIRE.get(name.lower().replace("_", ""), "")
        return column in WHOSE and isinstance(value, str) and not self.has(value, column)

    @cached_property
    def _pattern(self) -> str:
        long = sorted(
            (each for each in self.ids | self.keys | self.values if len(each) >= SHORTEST),
            key=len,
            reverse=True,
        )
        # Of a name any space or separator may stand between the parts. Without any word: what never
        # comes.
        return (
            "|".join(re.sub(r"(?:,?\\ )+", r"[\\s,;|]+", re.escape(each)) for each in long)
            or r"\x00\x00"
        )

    @cached_property
    def _word(self) -> re.Pattern[str]:
        # Nor is a name a part of an e-mail address, or of a double one.
        return re.compile(rf"(?<![\w@.-])(?:{self._pattern})(?![\w@-])", re.IGNORECASE)


def _texts(data: pd.DataFrame, names: Iterable[str]) -> list[str]:
    chosen = set(names)
    return [name for name in data.columns if name in chosen and data[name].dtype == TEXT]


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
    """A JSON object or list; ``None`` if the text is neither."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        found: dict[str, Any] | list[Any] = json.loads(text)
    except (ValueError, RecursionError):
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
