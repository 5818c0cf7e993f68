"""Finds and redacts the data of one person, by their IDs, keys and values. Pure."""

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
"""Replaces values of a forgotten person in data that belongs to somebody else."""
KEYS = frozenset(
    "id key source_key target_key row person who user_id waits_for superseded_by employee_id "
    "accessplanit_id accessplanit_user_id"
    " award_record_id award_target_id assignment_id registration_id course_request_id "
    "compliance_id".split()
)
"""Columns of frames and files with the key of a person or of a person's record."""
WHOSE = {
    "accessplanit_id": "users",
    "accessplanit_user_id": "users",
    "user_id": "users",
    "employee_id": "employees",
}
"""Columns that hold people of one side only -> that side. The ID of a user may also be the key of a
different employee."""
OWN = frozenset({"email", "employee_number"})
"""Columns whose value (``Person.values``) belongs to one person alone."""
_WIRE = {name.replace("_", ""): name for name in KEYS}
_PAIR = re.compile(r'"(\w+)"\s*:\s*"((?:[^"\\]|\\.)*)')
"""A text field of a JSON object, which may have been cut off."""
SHORTEST = 4
"""Minimum length of a text to search for within other texts. A shorter one would match too much,
and is found only as a whole value."""


@dataclass(frozen=True)
class Erased:
    """The result of erasing a person's data in a connector or a folder."""

    rows: int = 0
    """Number of rows erased."""
    left: tuple[str, ...] = ()
    """Descriptions of what could not be erased, in messages."""


@dataclass(frozen=True)
class Person:
    """One person, identified by IDs, keys and values. Everything is compared in normalised spelling
    (``identifiers.identifier``). A key that begins with one of the IDs and ``~`` is theirs, too."""

    users: frozenset[str] = frozenset()
    """IDs in accessplanit."""
    employees: frozenset[str] = frozenset()
    """Keys of employees in HR."""
    keys: frozenset[str] = frozenset()
    """Keys of their records, on either side."""
    values: frozenset[str] = frozenset()
    """Values that belong to this person alone: e-mail addresses, numbers, full names."""

    @classmethod
    def of(
        cls,
        users: Iterable[str | None] = (),
        employees: Iterable[str | None] = (),
        keys: Iterable[str | None] = (),
        values: Iterable[str | None] = (),
    ) -> Person:
        """Builds a person; missing and blank values are left out."""
        without_blanks = (
            frozenset(each for each in some if each and each.strip())
            for some in (users, employees, keys, values)
        )
        return cls(*without_blanks)

    def __or__(self, other: Person) -> Person:
        return Person(
            self.users | other.users,
            self.employees | other.employees,
            self.keys | other.keys,
            self.values | other.values,
        )

    @property
    def ids(self) -> frozenset[str]:
        """The person's IDs on both sides."""
        return self.users | self.employees

    @cached_property
    def plain(self) -> Mapping[str, frozenset[str]]:
        """The IDs and keys in normalised spelling: ``users``, ``employees``, ``keys``, or ``any``
        of these."""
        plain = {
            name: frozenset(map(identifier, getattr(self, name)))
            for name in ("users", "employees", "keys")
        }
        return {**plain, "any": frozenset().union(*plain.values())}

    @cached_property
    def heads(self) -> tuple[str, ...]:
        """Prefixes of the keys of the person's records."""
        return tuple(f"{identifier(each)}~" for each in sorted(self.ids))

    @cached_property
    def own(self) -> frozenset[str]:
        """The values in normalised spelling."""
        return frozenset(identifier(each) for each in self.values)

    def has(self, key: str | None, column: str = "") -> bool:
        """Whether a key in the column ``column`` is that of the person or of one of their
        records."""
        plain = identifier(key or "").removeprefix(PROVISIONAL)
        return plain in self.plain[WHOSE.get(column, "any")] or plain.startswith(self.heads)

    def has_row(self, row: Mapping[str, str | None]) -> bool:
        """Whether a row (column -> value) belongs to the person, by its columns :data:`KEYS` and
        :data:`OWN`."""
        people = {name: row[name] for name in WHOSE if row.get(name)}
        if any(self.has(key, name) for name, key in people.items()) or any(
            self.is_own(row[name]) for name in OWN & row.keys()
        ):
            return True
        keys = [
            identifier(row[name] or "").removeprefix(PROVISIONAL)
            for name in KEYS - WHOSE.keys()
            if row.get(name)
        ]
        # The row of another person may have a key that equals an ID of this person. So if the row
        # names a person, its other keys are compared only with the keys of this person's records.
        allowed = self.plain["keys" if people else "any"]
        return any(key in allowed or key.startswith(self.heads) for key in keys)

    def is_own(self, value: str | None) -> bool:
        """Whether a value, such as an e-mail address, belongs to this person alone."""
        return identifier(value or "") in self.own

    def theirs(self, data: pd.DataFrame) -> pd.Series[bool]:
        """Returns the mask of a frame's rows that belong to the person, as :meth:`has_row` does."""
        mask, names_a_person = pd.Series(False, data.index), pd.Series(False, data.index)
        # The columns of people come first, because they decide how the other keys are compared.
        for name in sorted(_texts(data, KEYS), key=lambda name: name not in WHOSE):
            plain = identifiers(data[name]).str.removeprefix(PROVISIONAL)
            if name in WHOSE:
                mask |= plain.isin(self.plain[WHOSE[name]])
                names_a_person |= plain.notna()
            else:
                is_any = plain.isin(self.plain["any"])
                mask |= plain.isin(self.plain["keys"]).where(names_a_person, is_any)
            mask |= plain.str.startswith(self.heads).fillna(False)
        for name in _texts(data, OWN):
            mask |= identifiers(data[name]).isin(self.own)
        return mask

    def has_record(self, raw: str | None) -> bool:
        """Whether a raw record belongs to the person. A JSON object, even one that was cut off, is
        judged by :data:`KEYS`; a line of CSV by any value of at least :data:`SHORTEST`
        characters."""
        text = raw or ""
        record = _json(text)
        if not isinstance(record, dict) and text.lstrip().startswith("{"):
            record = dict(_PAIR.findall(text))
        if isinstance(record, dict):
            keys = {
                _WIRE[wire]: str(value)
                for name, value in record.items()
                if (wire := name.lower().replace("_", "")) in _WIRE
            }
            return self.has_row(keys)
        return any(len(value) >= SHORTEST and self.has(value) for value in _values(text))

    def mentioned(self, text: str | None) -> bool:
        """Whether a text contains an ID, key or value of the person as a separate word."""
        return bool(text) and (
            self._word.search(text or "") is not None
            or any(self._is(value) for value in _values(text or ""))
        )

    def without(self, text: str) -> str:
        """Replaces everything in ``text`` that names the person by :data:`FORGOTTEN`."""
        parsed = _json(text)
        if parsed is not None:
            return json.dumps(self._emptied(parsed), ensure_ascii=False)
        return FORGOTTEN if self._is(text) else self._word.sub(FORGOTTEN, text)

    def redacted(self, data: pd.DataFrame) -> pd.DataFrame:
        """Removes mentions of the person from the text columns of a frame whose rows belong to
        others, for example from a list of e-mail addresses."""
        changed: dict[str, pd.Series[Any]] = {}
        for name in _texts(data, set(data.columns) - KEYS - {"kind", "fields"}):
            column = data[name]
            # Only texts that may mention the person are processed one by one. JSON may escape a
            # letter, as in \u00e9, so texts with an escape are among them.
            mentions = column.str.contains(self._pattern, case=False)
            hits = (mentions | column.str.contains("\\u", regex=False)).fillna(False)
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
        """Whether a field of a record holds a key of somebody else. It may equal a key that this
        person has on the other side."""
        column = _WIRE.get(name.lower().replace("_", ""), "")
        return column in WHOSE and isinstance(value, str) and not self.has(value, column)

    @cached_property
    def _pattern(self) -> str:
        long = sorted(
            (each for each in self.ids | self.keys | self.values if len(each) >= SHORTEST),
            key=len,
            reverse=True,
        )
        # Any space or separator may be between the parts of a name. Without any text to search, the
        # pattern is one that never matches.
        return (
            "|".join(re.sub(r"(?:,?\\ )+", r"[\\s,;|]+", re.escape(each)) for each in long)
            or r"\x00\x00"
        )

    @cached_property
    def _word(self) -> re.Pattern[str]:
        # A name does not count within a longer word, an e-mail address or a double name.
        return re.compile(rf"(?<![\w@.-])(?:{self._pattern})(?![\w@-])", re.IGNORECASE)


def _texts(data: pd.DataFrame, names: Iterable[str]) -> list[str]:
    chosen = set(names)
    return [name for name in data.columns if name in chosen and data[name].dtype == TEXT]


def _values(raw: str) -> Iterator[str]:
    """Yields the values of a raw record: those of JSON, or the cells of a line with any common
    separator and the whole line."""
    parsed = _json(raw)
    if parsed is not None:
        yield from _inner(parsed)
        return
    for separator in ",;\t|":
        if separator in raw:
            rows = csv.reader(io.StringIO(raw, newline=""), delimiter=separator)
            yield from (cell for row in _readable(rows) for cell in row)
    yield raw


def _json(text: str) -> dict[str, Any] | list[Any] | None:
    """Parses a JSON object or list; ``None`` if the text is neither."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        parsed: dict[str, Any] | list[Any] = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return parsed


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
