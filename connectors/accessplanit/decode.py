"""Decodes the bytes of a page into typed columns.

The pydantic model in :mod:`.feeds` defines a record. Most records have the simplest form that it
accepts, so for speed a decoder for that form (a msgspec struct) is compiled from the model. It
accepts a subset of what the model accepts and returns equal values, a property that
``test_decode.py`` tests. A record that it does not accept goes to the model, which decides.
"""

from __future__ import annotations

import codecs
import html
import json
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal, cast, get_args, get_origin

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from annotated_types import MaxLen, MinLen
from pydantic import ValidationError, create_model

from reconciliation.errors import Misconfigured, SourceFailed
from reconciliation.frame import ARROW, Kind, frame, of, tidy, true, utc, without_days
from reconciliation.ports import Hashes
from reconciliation.snapshot import REJECTED
from reconciliation.values import LARGEST, LONGEST, YEARS, encoded, number

from .dialect import Dialect
from .feeds import EMAIL, FEEDS, MARKUP, Custom, Record, constraints, kinds, reason_of

RAW_KEPT = 4000
"""Maximum number of bytes of a rejected record that are kept."""
ESCAPES = re.compile(rb"\\(?:u00(?:0[0-8bBcCeEfF]|1)|[bf])")
"""Escapes of control characters. JSON can hold such a character only as an escape."""


def holds_escapes(page: bytes) -> bool:
    """Whether a page holds any of :data:`ESCAPES`. Few pages do, so a quick search for a backslash
    comes first."""
    return b"\\" in page and ESCAPES.search(page) is not None


class Unreadable(Exception):
    """A record does not fit its model. It holds the field and the reason, not the value."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field, self.reason = field, reason


class Shape:
    """The columns to read from a feed, their wire names and the two decoders of a record.

    Raises:
        Misconfigured: the feed or a field does not exist.
    """

    def __init__(
        self, feed: str, columns: Sequence[str], custom: Sequence[str], dialect: Dialect
    ) -> None:
        model = FEEDS.get(feed)
        if model is None:
            raise Misconfigured(
                f"There is no feed '{feed}'",
                f"Use one of {', '.join(FEEDS)}.",
            )
        unknown = [name for name in columns if name not in model.model_fields]
        if unknown:
            raise Misconfigured(
                f"The feed {feed} has no field {', '.join(unknown)}",
                f"Use fields of the model in feeds.py: {', '.join(model.model_fields)}.",
            )
        names = {c: wire_name(feed, c, dialect) for c in columns}
        self.feed, self.zone, self.sparse = feed, dialect.zone, dialect.sparse
        self.custom, self.no_end = frozenset(custom), frozenset(dialect.no_end)
        self.wire: dict[str, str] = {c: w for c, w in names.items() if w is not None} | {
            c: c for c in custom
        }
        self.absent = [c for c, w in names.items() if w is None]
        self.model = _model(feed, tuple(c for c in columns if names[c]), tuple(custom))
        self.kinds: dict[str, Kind] = {
            name: kinds(self.model)[name]
            for name in [*columns, *custom]
            if name in self.model.model_fields
        }
        self.absent_kinds = {name: kinds(model)[name] for name in self.absent}
        self._folded = {wire.lower(): name for name, wire in self.wire.items()}
        self._structs: dict[frozenset[str], msgspec.json.Decoder[Any]] = {}

    def decoder(self, first: object) -> msgspec.json.Decoder[Any]:
        """Returns the compiled decoder for records with the keys of ``first``. It ignores keys that
        are not among the wire names, and rejects records with any other key."""
        keys = frozenset(first) if isinstance(first, dict) else frozenset(self.wire.values())
        if keys not in self._structs:
            extra = sorted(keys - set(self.wire.values()))
            # Tenants with sparse records leave out fields without a value.
            defaults = {
                c: {}
                if self.model.model_fields[c].is_required() or not self.sparse
                else {"default": None}
                for c in self.kinds
            }
            known = [
                (c, _compiled(self.model, c), msgspec.field(name=self.wire[c], **defaults[c]))
                for c in self.kinds
            ]
            ignored = [
                (f"extra_{i}", msgspec.Raw, msgspec.field(name=k, default=msgspec.Raw(b"")))
                for i, k in enumerate(extra)
            ]
            # gc=False saves time: records hold no reference cycles.
            struct = msgspec.defstruct(
                self.feed, [*known, *ignored], forbid_unknown_fields=True, kw_only=True, gc=False
            )
            self._structs[keys] = msgspec.json.Decoder(struct)
        return self._structs[keys]

    def validate(self, raw: bytes) -> Record:
        """Parses a record with the pydantic model.

        Raises:
            Unreadable: the record does not fit the model.
        """
        try:
            record = _loads(raw)
        except (ValueError, RecursionError):
            raise Unreadable("(record)", "is not JSON, or is nested too deeply") from None
        if not isinstance(record, dict):
            raise Unreadable("(record)", "is not an object")
        fields = {
            self._folded[k.lower()]: v for k, v in record.items() if k.lower() in self._folded
        }
        missing = (
            [] if self.sparse else [name for name in self._folded.values() if name not in fields]
        )
        if missing:
            # A missing field is not an empty one: if it counted as empty, HR's value would be
            # cleared.
            raise Unreadable(missing[0], "is missing from the record")
        try:
            return self.model.model_validate(fields, by_name=True, context={"no_end": self.no_end})
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            raise Unreadable(".".join(map(str, first["loc"])), reason_of(first)) from None

    def key(self, raw: bytes) -> str | None:
        """Returns the key of a record, or ``None`` if it cannot be read."""
        try:
            record = _loads(raw)
            key = {k.lower(): v for k, v in record.items()}[self.wire["id"].lower()]
            return (
                str(key).strip() or None
                if isinstance(key, str | int) and not isinstance(key, bool)
                else None
            )
        except (ValueError, KeyError, AttributeError, RecursionError):
            return None

    def same(self, one: bytes, other: bytes) -> bool:
        """Whether two raw records are the same record. Their keys are compared or, if the key of
        ``one`` cannot be read, their bytes."""
        key = self.key(one)
        return one == other if key is None else key == self.key(other)

    def appeared(self, first: object) -> tuple[str, ...]:
        """Returns the fields of a record that were not requested."""
        return (
            tuple(str(k) for k in first if str(k).lower() not in self._folded)
            if isinstance(first, dict)
            else ()
        )

    def absent_from(self, raws: Sequence[msgspec.Raw]) -> set[str]:
        """Returns the columns that no record has. For speed, only the columns that the first record
        lacks are searched in the others."""
        if self.sparse:
            return set()
        first = first_object(raws)
        in_first = {str(k).lower() for k in first} if isinstance(first, dict) else set()
        candidates = {
            column: f'"{wire.lower()}"'.encode()
            for column, wire in self.wire.items()
            if wire.lower() not in in_first
        }
        return {
            column
            for column, name in candidates.items()
            if not any(name in bytes(raw).lower() for raw in raws)
        }

    def columns_of(self, records: Sequence[Any]) -> dict[str, pa.Array]:
        """Returns the records' values as Arrow columns: text tidied, moments in UTC, custom fields
        as text (``values.encoded``)."""
        columns = {
            name: pa.nulls(len(records), ARROW[kind]) for name, kind in self.absent_kinds.items()
        }
        # Only records read by the model may have moments with an offset: the compiled decoder
        # rejects them.
        by_model = [i for i, record in enumerate(records) if isinstance(record, self.model)]
        for name, kind in self.kinds.items():
            column = [getattr(record, name) for record in records]
            if name in self.custom:
                columns[name] = pa.array([encoded(value) for value in column], pa.string())
            elif kind == "text":
                texts = pa.array(column, pa.string())
                columns[name] = tidy(
                    _as_lines(texts) if MARKUP in self.model.model_fields[name].metadata else texts
                )
            elif kind == "moment":
                columns[name] = self._moments(column, by_model)
            else:
                columns[name] = (
                    without_days(pa.array(column, ARROW[kind]), self.no_end)
                    if kind == "day"
                    else pa.array(column, ARROW[kind])
                )
        return columns

    def _moments(self, column: list[datetime | None], by_model: Sequence[int]) -> pa.Array:
        """Converts moments to UTC. Those without an offset are in the tenant's zone. Only the
        positions ``by_model`` may have one."""
        aware = {
            i: value
            for i in by_model
            if (value := column[i]) is not None and value.tzinfo is not None
        }
        wall = pa.array(
            [None if i in aware else value for i, value in enumerate(column)] if aware else column,
            pa.timestamp("us"),
        )
        moments = utc(without_days(wall, self.no_end), self.zone)
        if not aware:
            return moments
        with_offset = pa.array([aware.get(i) for i in range(len(column))], moments.type)
        return pc.coalesce(moments, with_offset)

    def doubtful(self, columns: dict[str, pa.Array]) -> np.ndarray[Any, Any]:
        """Marks rows in which the compiled decoder may have been too lenient: a mandatory field is
        blank, an e-mail address is not valid, or a year is out of range."""
        doubt = np.zeros(len(columns["id"]), dtype=bool)
        for name, kind in self.kinds.items():
            if kind in ("moment", "day"):
                year = pc.year(columns[name])
                # The first and the last year are doubtful too: the model judges the year as
                # written, which may differ from the year in UTC.
                doubt |= true(
                    pc.or_(pc.less_equal(year, YEARS[0]), pc.greater_equal(year, YEARS[1]))
                )
            if self.model.model_fields[name].is_required():
                doubt |= np.asarray(pc.is_null(columns[name]))
            if any(
                getattr(m, "pattern", None) == EMAIL
                for m in constraints(self.model.model_fields[name])
            ):
                doubt |= true(pc.invert(pc.match_substring_regex(columns[name], EMAIL)))
        return doubt


def wire_name(feed: str, column: str, dialect: Dialect) -> str | None:
    """Returns the tenant's name of a field, or ``None`` if the tenant does not have it."""
    if name := dialect.names.get(f"{feed}.{column}"):
        return name
    if column == "updated_at":
        return dialect.date_updated
    return FEEDS[feed].model_fields[column].alias


@cache
def _model(feed: str, columns: tuple[str, ...], custom: tuple[str, ...]) -> type[Record]:
    """Returns the feed's model reduced to ``columns``, plus the custom fields. Cached, because
    pydantic needs some milliseconds to make a model."""
    fields: dict[str, Any] = {}
    for name in columns:
        info = FEEDS[feed].model_fields[name]
        fields[name] = (
            Annotated[info.annotation, *info.metadata],
            ... if info.is_required() else None,
        )
    for name in custom:
        fields[name] = (Custom, None)
    reduced: Any = create_model(feed, **fields)
    return cast("type[Record]", reduced)


def _compiled(model: type[Record], name: str) -> Any:
    """Returns the msgspec type that accepts the simplest form of a field."""
    info = model.model_fields[name]
    kind = kinds(model)[name]
    plain: Any
    if info.annotation is Any:
        # Encoding as JSON can double the length of a text, and adds two quotes.
        plain = Annotated[str, msgspec.Meta(max_length=LONGEST // 2 - 1)]
    elif get_origin(info.annotation) is Literal:
        plain = Literal[get_args(info.annotation)]
    elif kind == "text":
        least = max([m.min_length for m in constraints(info) if isinstance(m, MinLen)], default=0)
        most = min([m.max_length for m in constraints(info) if isinstance(m, MaxLen)])
        plain = Annotated[str, msgspec.Meta(min_length=least, max_length=most)]
    elif kind == "flag":
        plain = bool
    elif kind == "number":
        plain = Annotated[int, msgspec.Meta(ge=-LARGEST, le=LARGEST)]
    else:
        plain = Annotated[datetime, msgspec.Meta(tz=False)]
    return plain if info.is_required() else plain | None


def _loads(text: bytes) -> Any:
    """Parses JSON that may hold bytes other than UTF-8. These become lone surrogates, which every
    model rejects."""
    return json.loads(text.decode("utf-8", errors="surrogateescape"))


def _as_lines(texts: pa.Array) -> pa.Array:
    """Converts the vendor's HTML to plain text: ``<br />`` to newlines, and entities to their
    characters."""
    lines = pc.replace_substring_regex(texts, r"(?i)\s*<br\s*/?>\s*", "\n")
    if not pc.any(pc.match_substring(lines, "&")).as_py():
        return lines
    return pa.array(
        [None if text is None else html.unescape(text) for text in lines.to_pylist()], pa.string()
    )


class Envelope:
    """Splits a page into raw records without parsing them."""

    def __init__(self, dialect: Dialect) -> None:
        keys: list[Any] = [("rows", list[msgspec.Raw], msgspec.field(name=dialect.results_key))]
        if dialect.count_key:
            keys.append(
                ("count", int | str | None, msgspec.field(name=dialect.count_key, default=None))
            )
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(
            msgspec.defstruct("Envelope", keys, kw_only=True)
        )
        self._key, self._count = dialect.results_key, dialect.count_key

    def split(self, page: bytes) -> tuple[list[msgspec.Raw], int | None]:
        """Returns the raw records and the total, or ``None`` without one.

        Raises:
            SourceFailed: the page has no list of rows. That never counts as an empty feed.
        """
        page = page.removeprefix(codecs.BOM_UTF8)
        try:
            envelope = self._decoder.decode(page)
        except msgspec.ValidationError:
            raise self._no_list() from None
        except msgspec.DecodeError:
            return self._split_leniently(page)
        return envelope.rows, _count(getattr(envelope, "count", None))

    def _split_leniently(self, page: bytes) -> tuple[list[msgspec.Raw], int | None]:
        """Splits a page that is not strict JSON because a record holds a lone surrogate or bytes
        other than UTF-8.

        The fault becomes an escape, which the record's model rejects. The other records are read.
        """
        try:
            body = _loads(page)
            rows = body[self._key]
        except (ValueError, KeyError, TypeError):
            raise self._no_list() from None
        if not isinstance(rows, list):
            raise self._no_list()
        count = _count(body.get(self._count)) if self._count else None
        return [msgspec.Raw(json.dumps(row).encode()) for row in rows], count

    def _no_list(self) -> SourceFailed:
        return SourceFailed(
            f"accessplanit answered without a list under '{self._key}'",
            "Run 'hrsync doctor' and compare the dialect's results_key with the answer.",
        )


def _count(total: Any) -> int | None:
    """Returns a total, which may be a number or text, or ``None`` if it cannot be read."""
    try:
        return number(total)
    except ValueError:
        return None


def hashes(raws: Sequence[msgspec.Raw], seed: int) -> Hashes:
    """Returns the 64-bit xxh3 hash of each raw record. With a million known records, a changed
    record is mistaken for a known one with a probability of about 1 in 10^13."""
    digest = xxhash.xxh3_64_intdigest
    return np.fromiter((digest(raw, seed) for raw in raws), np.uint64, len(raws)).view(np.int64)


def decode(
    shape: Shape, raws: Sequence[msgspec.Raw], digests: Hashes, *, escapes: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns the readable rows, with their ``hash``, and the rejected ones
    (``reconciliation.snapshot.REJECTED``).

    Args:
        shape: the columns to read.
        raws: the raw records.
        digests: their hashes.
        escapes: whether a page of these records holds JSON escapes of control characters. Only then
            is each record searched for them.
    """
    compiled = shape.decoder(first_object(raws)).decode
    records: list[Any] = []
    positions: list[int] = []
    rejected: list[tuple[str | None, str, str, str, int]] = []

    def by_model(i: int) -> None:
        raw = bytes(raws[i])
        try:
            records.append(shape.validate(raw))
            positions.append(i)
        except Unreadable as error:
            excerpt = raw[:RAW_KEPT].decode(errors="replace")
            rejected.append((shape.key(raw), error.field, error.reason, excerpt, int(digests[i])))

    def one_by_one() -> None:
        for i, raw in enumerate(raws):
            if escapes and ESCAPES.search(bytes(raw)):
                by_model(i)
                continue
            try:
                records.append(compiled(raw))
                positions.append(i)
            except (msgspec.DecodeError, UnicodeDecodeError):
                by_model(i)

    # The fast path: most blocks have no bad record.
    if not escapes:
        try:
            records = [compiled(raw) for raw in raws]
            positions = list(range(len(raws)))
        except (msgspec.DecodeError, UnicodeDecodeError):
            records = []
    if not records:
        one_by_one()
    columns = shape.columns_of(records)
    doubt = shape.doubtful(columns)
    if doubt.any():
        recheck = [positions[i] for i in np.flatnonzero(doubt)]
        sure = np.flatnonzero(~doubt)
        records, positions = [records[i] for i in sure], [positions[i] for i in sure]
        for i in recheck:
            by_model(i)
        columns = shape.columns_of(records)
    data = frame({**columns, "hash": pa.array(digests[np.array(positions, dtype=np.int64)])})
    return data, of(REJECTED, rejected)


def first_object(raws: Sequence[msgspec.Raw]) -> object:
    """Returns the first record that is an object, or ``None``. The other records are expected to
    have the same fields."""
    for raw in raws:
        try:
            record = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if isinstance(record, dict):
            return record
    return None
