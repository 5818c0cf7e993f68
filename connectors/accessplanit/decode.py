"""From the bytes of a page to typed columns.

The pydantic model in :mod:`.feeds` says what a record is. Most records of most tenants are of the
plainest form it accepts, and for those a decoder is compiled from the model (a msgspec struct). The
compiled decoder accepts a subset of what the model accepts, with equal values; whatever it does not
accept goes to the model, which has the last word. ``test_decode.py`` holds that as a property.
"""

from __future__ import annotations

import codecs
import html
import json
import re
from collections.abc import Sequence
from datetime import datetime
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
"""Characters of a rejected record that are kept with it."""
ESCAPES = re.compile(rb"\\(?:u00(?:0[0-8bBcCeEfF]|1)|[bf])")
"""JSON cannot hold a control character but as such an escape."""


def holds_escapes(page: bytes) -> bool:
    """Whether a page holds :data:`ESCAPES` at all: nearly none does, and a plain search says so
    quickly."""
    return b"\\" in page and ESCAPES.search(page) is not None


class Unreadable(Exception):
    """The record is not what its model says: the field and the reason, without the value."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field, self.reason = field, reason


class Shape:
    """The columns asked of a feed, their wire names and the two decoders of a record.

    Raises:
        Misconfigured: the feed, a field or a custom field is not known.
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
        fields = {
            c: (model.model_fields[c].annotation, model.model_fields[c])
            for c in columns
            if names[c]
        }
        self.model = _model(feed, model, [*fields], custom)
        self.kinds: dict[str, Kind] = {
            name: kinds(self.model)[name]
            for name in [*columns, *custom]
            if name in self.model.model_fields
        }
        self.absent_kinds = {name: kinds(model)[name] for name in self.absent}
        self._folded = {wire.lower(): name for name, wire in self.wire.items()}
        self._structs: dict[frozenset[str], msgspec.json.Decoder[Any]] = {}

    def decoder(self, first: object) -> msgspec.json.Decoder[Any]:
        """The compiled decoder for records with the keys of ``first``; further keys are passed
        over."""
        keys = frozenset(first) if isinstance(first, dict) else frozenset(self.wire.values())
        if keys not in self._structs:
            extra = sorted(keys - set(self.wire.values()))
            given = {
                c: {}
                if self.model.model_fields[c].is_required() or not self.sparse
                else {"default": None}
                for c in self.kinds
            }
            known = [
                (c, _compiled(self.model, c), msgspec.field(name=self.wire[c], **given[c]))
                for c in self.kinds
            ]
            passed = [
                (f"extra_{i}", msgspec.Raw, msgspec.field(name=k, default=msgspec.Raw(b"")))
                for i, k in enumerate(extra)
            ]
            # gc=False: a hundred thousand records without a cycle among them are nothing to
            # collect.
            struct = msgspec.defstruct(
                self.feed, [*known, *passed], forbid_unknown_fields=True, kw_only=True, gc=False
            )
            self._structs[keys] = msgspec.json.Decoder(struct)
        return self._structs[keys]

    def validate(self, raw: bytes) -> Record:
        """The record by its model.

        Raises:
            Unreadable: with field and reason.
        """
        try:
            record = _loads(raw)
        except (ValueError, RecursionError):
            raise Unreadable(
                "(record)", "is not JSON, or holds too many lists within lists"
            ) from None
        if not isinstance(record, dict):
            raise Unreadable("(record)", "is not an object")
        found = {self._folded[k.lower()]: v for k, v in record.items() if k.lower() in self._folded}
        missing = (
            [] if self.sparse else [name for name in self._folded.values() if name not in found]
        )
        if missing:
            # A field that is not there is not a field without a value: HR would lose what it has.
            raise Unreadable(missing[0], "is missing from the record")
        try:
            return self.model.model_validate(found, by_name=True, context={"no_end": self.no_end})
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False, include_context=False)[0]
            raise Unreadable(".".join(map(str, first["loc"])), reason_of(first)) from None

    def key(self, raw: bytes) -> str | None:
        """The record's key, if that much can be read."""
        try:
            record = _loads(raw)
            found = {k.lower(): v for k, v in record.items()}[self.wire["id"].lower()]
            return (
                str(found).strip() or None
                if isinstance(found, str | int) and not isinstance(found, bool)
                else None
            )
        except (ValueError, KeyError, AttributeError, RecursionError):
            return None

    def same(self, one: bytes, other: bytes) -> bool:
        """Whether two raw records are one: by their keys or, where one has none that can be read,
        by their bytes."""
        key = self.key(one)
        return one == other if key is None else key == self.key(other)

    def appeared(self, first: object) -> tuple[str, ...]:
        """Fields that came unasked, judged by one record."""
        return (
            tuple(str(k) for k in first if str(k).lower() not in self._folded)
            if isinstance(first, dict)
            else ()
        )

    def absent_from(self, raws: Sequence[msgspec.Raw]) -> set[str]:
        """The columns that not one of the records has, judged by the first and, for what it lacks,
        by all."""
        if self.sparse:
            return set()
        first = first_object(raws)
        came = {str(k).lower() for k in first} if isinstance(first, dict) else set()
        lacking = {
            column: f'"{wire.lower()}"'.encode()
            for column, wire in self.wire.items()
            if wire.lower() not in came
        }
        return {
            column
            for column, name in lacking.items()
            if not any(name in bytes(raw).lower() for raw in raws)
        }

    def columns_of(self, records: Sequence[Any]) -> dict[str, pa.Array]:
        """The records' values as Arrow columns: text tidied, moments in UTC, custom fields as
        ``values.encoded`` writes them."""
        found = {
            name: pa.nulls(len(records), ARROW[kind]) for name, kind in self.absent_kinds.items()
        }
        # Only the model accepts an offset; the compiled decoder does not.
        by_model = [place for place, record in enumerate(records) if isinstance(record, self.model)]
        for name, kind in self.kinds.items():
            column = [getattr(record, name) for record in records]
            if name in self.custom:
                found[name] = pa.array([encoded(value) for value in column], pa.string())
            elif kind == "text":
                texts = pa.array(column, pa.string())
                found[name] = tidy(
                    _as_lines(texts) if MARKUP in self.model.model_fields[name].metadata else texts
                )
            elif kind == "moment":
                found[name] = self._moments(column, by_model)
            else:
                found[name] = (
                    without_days(pa.array(column, ARROW[kind]), self.no_end)
                    if kind == "day"
                    else pa.array(column, ARROW[kind])
                )
        return found

    def _moments(self, column: list[datetime | None], by_model: Sequence[int]) -> pa.Array:
        """Moments in UTC: those with an offset as they say, the others in the tenant's zone."""
        aware = {
            place: value
            for place in by_model
            if (value := column[place]) is not None and value.tzinfo is not None
        }
        wall = pa.array(
            [None if place in aware else value for place, value in enumerate(column)]
            if aware
            else column,
            pa.timestamp("us"),
        )
        moments = utc(without_days(wall, self.no_end), self.zone)
        return (
            pc.coalesce(
                moments, pa.array([aware.get(place) for place in range(len(column))], moments.type)
            )
            if aware
            else moments
        )

    def doubtful(self, columns: dict[str, pa.Array]) -> np.ndarray[Any, Any]:
        """Rows on which the compiled decoder was too lenient: a mandatory field is blank, an e-mail
        is none, a year odd."""
        doubt = np.zeros(len(columns["id"]), dtype=bool)
        for name, kind in self.kinds.items():
            if kind in ("moment", "day"):
                year = pc.year(columns[name])
                # The year is judged as it is written; the first and the last one may be others in
                # UTC.
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
    """How the tenant spells a field; ``None`` if it does not have it."""
    spelled = dialect.names.get(f"{feed}.{column}")
    return spelled or (
        dialect.date_updated if column == "updated_at" else FEEDS[feed].model_fields[column].alias
    )


def _model(
    feed: str, model: type[Record], columns: Sequence[str], custom: Sequence[str]
) -> type[Record]:
    """The feed's model cut to ``columns``, with custom fields as text."""
    fields: dict[str, Any] = {}
    for name in columns:
        info = model.model_fields[name]
        fields[name] = (
            Annotated[info.annotation, *info.metadata],
            ... if info.is_required() else None,
        )
    for name in custom:
        fields[name] = (Custom, None)
    made: Any = create_model(feed, **fields)
    return cast("type[Record]", made)


def _compiled(model: type[Record], name: str) -> Any:
    """The msgspec type that accepts the plain form of a field."""
    info = model.model_fields[name]
    kind = kinds(model)[name]
    plain: Any
    if info.annotation is Any:
        # Written as JSON, a text may become twice as long, and has quotes.
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
    """JSON whose text may hold bytes that are no UTF-8: they become half characters, which no model
    accepts."""
    return json.loads(text.decode("utf-8", errors="surrogateescape"))


def _as_lines(texts: pa.Array) -> pa.Array:
    """Text of several lines, which the vendor writes with ``<br />`` and entities."""
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
        """The raw records and, if it is there, the total.

        Raises:
            SourceFailed: no rows stand where they should: an error, not an empty feed.
        """
        page = page.removeprefix(codecs.BOM_UTF8)
        try:
            found = self._decoder.decode(page)
        except msgspec.ValidationError:
            raise self._no_list() from None
        except msgspec.DecodeError:
            return self._split_leniently(page)
        return found.rows, _count(getattr(found, "count", None))

    def _split_leniently(self, page: bytes) -> tuple[list[msgspec.Raw], int | None]:
        """A page that is no strict JSON because of one record: half a character, or bytes that are
        no UTF-8.

        What is amiss becomes an escape, which the record's model rejects; the records beside it are
        read.
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


def _count(said: Any) -> int | None:
    """A total, which may be written as text; ``None`` if there is none that can be read."""
    try:
        return number(said)
    except ValueError:
        return None


def hashes(raws: Sequence[msgspec.Raw], seed: int) -> Hashes:
    """xxh3 of each raw record. 64 bits: among a million known records a changed one is taken for
    known once in 10^13."""
    digest = xxhash.xxh3_64_intdigest
    return np.fromiter((digest(raw, seed) for raw in raws), np.uint64, len(raws)).view(np.int64)


def decode(
    shape: Shape, raws: Sequence[msgspec.Raw], digests: Hashes, *, escapes: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows that can be read, with ``hash``, and the rejected ones
    (``reconciliation.snapshot.REJECTED``).

    escapes: the page holds JSON escapes of control characters somewhere; only then are records
    searched for them.
    """
    plain = shape.decoder(first_object(raws)).decode
    records: list[Any] = []
    places: list[int] = []
    rejected: list[tuple[str | None, str, str, str, int]] = []

    def by_model(place: int) -> None:
        raw = bytes(raws[place])
        try:
            records.append(shape.validate(raw))
            places.append(place)
        except Unreadable as error:
            kept = raw[:RAW_KEPT].decode(errors="replace")
            rejected.append((shape.key(raw), error.field, error.reason, kept, int(digests[place])))

    def one_by_one() -> None:
        for place, raw in enumerate(raws):
            if escapes and ESCAPES.search(bytes(raw)):
                by_model(place)
                continue
            try:
                records.append(plain(raw))
                places.append(place)
            except (msgspec.DecodeError, UnicodeDecodeError):
                by_model(place)

    try:
        # Most blocks have no bad record: then this is all.
        records, places = (
            ([], []) if escapes else ([plain(raw) for raw in raws], list(range(len(raws))))
        )
    except (msgspec.DecodeError, UnicodeDecodeError):
        records, places = [], []
    if not records:
        one_by_one()
    columns = shape.columns_of(records)
    doubt = shape.doubtful(columns)
    if doubt.any():
        again = [places[i] for i in np.flatnonzero(doubt)]
        sure = np.flatnonzero(~doubt)
        records, places = [records[i] for i in sure], [places[i] for i in sure]
        for place in again:
            by_model(place)
        columns = shape.columns_of(records)
    data = frame({**columns, "hash": pa.array(digests[np.array(places, dtype=np.int64)])})
    return data, of(REJECTED, rejected)


def first_object(raws: Sequence[msgspec.Raw]) -> object:
    """The first record that is an object: the page's records are taken to have its fields."""
    for raw in raws:
        try:
            found = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if isinstance(found, dict):
            return found
    return None
