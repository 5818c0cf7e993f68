"""HR as a source: the rows of its database, read whole or since their last change, on their way to accessplanit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from reconciliation.ask import Ask, Range
from reconciliation.errors import Misconfigured
from reconciliation.frame import arrow, empty, fold, folded, frame, pick, strings, tidy, true
from reconciliation.ports import Hashes
from reconciliation.snapshot import REJECTED, Snapshot, among

from .sql import CUSTOM, SqlHr, columns_of


class SqlHrSource:
    """Implements :class:`reconciliation.ports.Source` over the tables of the HR database.

    What has changed is told by ``updated``, the column with the moment of a row's last change, whoever made it; without
    one every read is a whole one, and by the hash of a row's content only what has changed is looked at.
    """

    def __init__(self, hr: SqlHr, updated: str | None) -> None:
        self.hr, self.updated, self.name = hr, updated, hr.name
        self.requests = 0

    def kinds(self, feed: str) -> Mapping[str, str]:
        """The entity's columns, name -> kind."""
        return columns_of(feed)

    def updated_column(self, feed: str, column: str) -> str | None:
        """The column of the last change, if this database has one."""
        return column if self.updated else None

    def read(self, feed: str, columns: Sequence[str], custom: Sequence[str], ask: Ask, known: Hashes, seed: str) -> Snapshot:
        """One read of an entity; a row whose dates cannot be read, or without a key, is rejected.

        ``custom``: custom fields (``CF_…``) that HR keeps in the column ``custom_for_accessplanit``. The hash of a row
        covers what is asked for but the moment of the change, so that a row that was merely touched is a known one.

        Raises:
            TargetFailed: the database cannot be reached.
            Misconfigured: it has no such entity or column.
        """
        kinds = columns_of(feed)
        unknown = [name for name in columns if name not in kinds]
        if unknown:
            raise Misconfigured(
                f"The HR entity {feed} has no column {', '.join(unknown)}", "The data engineer must use columns of connectors/hr/schema.py."
            )
        key = next(iter(kinds))
        wanted = {name: kinds[name] for name in columns if name != key} | ({CUSTOM: "text"} if custom else {})
        lookups = {ask.by or key: ask.keys} if ask.keys is not None else None
        since = (ask.range.column, ask.range.low) if isinstance(ask.range, Range) and isinstance(ask.range.low, datetime) else None
        self.requests += 1
        rows, broken = self.hr.rows(feed, wanted, lookups, since)
        rows = frame({name: tidy(arrow(rows[name])) if kinds.get(name) == "text" else arrow(rows[name]) for name in rows.columns})
        rows = _with_custom(rows, custom)
        for clause in ask.clauses:
            if clause.op == "in" and clause.when is None:
                rows = pick(rows, true(pc.is_in(folded(arrow(rows[clause.column])), pa.array([fold(v) for v in clause.values]))))
        keyless = np.asarray(pc.is_null(arrow(rows[key])))
        rejected = empty(REJECTED)
        if broken or keyless.any():
            problems = [*broken, *((None, key, "has no value", None) for _ in range(int(keyless.sum())))]
            rejected = _rejected(problems, seed)
            rows = pick(rows, ~keyless)
        marks = _marks(rows, [n for n in rows.columns if n != self.updated], seed)
        old = among(marks, known) if ask.skip_known else np.zeros(len(rows), dtype=bool)
        read = len(rows) + len(rejected)
        rows = rows.assign(hash=frame({"hash": pa.array(marks)})["hash"])
        return Snapshot(pick(rows, ~old), True, rejected, read, int(old.sum()))


def _with_custom(rows: pd.DataFrame, custom: Sequence[str]) -> pd.DataFrame:
    if not custom:
        return rows
    found: list[dict[str, object]] = []
    for text in strings(rows[CUSTOM]):
        try:
            value = msgspec.json.decode(text) if text else {}
        except msgspec.DecodeError:
            value = {}
        found.append(value if isinstance(value, dict) else {})
    fields = {name: pa.array([None if row.get(name) is None else str(row[name]) for row in found], pa.string()) for name in custom}
    return rows.drop(columns=CUSTOM).assign(**{name: frame({name: values})[name] for name, values in fields.items()})


def _marks(rows: pd.DataFrame, columns: Sequence[str], seed: str) -> Hashes:
    """The hash of each row's content."""
    number = int(seed, 16)
    values = [arrow(rows[name]) for name in columns]
    texts = zip(*(strings(v if pa.types.is_string(v.type) else v.cast(pa.string())) for v in values), strict=True)
    encode = msgspec.json.Encoder().encode
    found = [int.from_bytes(xxhash.xxh3_64_digest(encode(row), number), signed=True) for row in texts]
    return np.array(found, dtype=np.int64)


def _rejected(problems: Sequence[tuple[str | None, str, str, str | None]], seed: str) -> pd.DataFrame:
    encode, number = msgspec.json.Encoder().encode, int(seed, 16)
    marks = [int.from_bytes(xxhash.xxh3_64_digest(encode(p), number), signed=True) for p in problems]
    columns = [*zip(*problems, strict=True)]
    parts = {name: pa.array(values, pa.string()) for name, values in zip(("key", "field", "reason", "raw"), columns, strict=True)}
    return frame({**parts, "hash": pa.array(marks, pa.int64())})
