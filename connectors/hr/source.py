"""An HR system as a source: its rows, read whole or since their last change, on their way to
accessplanit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from reconciliation.ask import Ask, Range
from reconciliation.capabilities import CUSTOM
from reconciliation.errors import Misconfigured
from reconciliation.frame import arrow, concat, empty, frame, of, pick, strings, tidy
from reconciliation.ports import Hashes, HrSystem
from reconciliation.snapshot import REJECTED, Snapshot, among
from reconciliation.values import encoded

WRITTEN = "written_at"
"""Column with the moment of a row's last change in HR, where the system tells it."""


class HrSource:
    """Implements :class:`reconciliation.ports.Source` over any HR system.

    Where the system tells when a row was changed, only what has changed since is read; otherwise
    every read is a whole one, and by the hash of a row's content only what has changed is looked
    at.
    """

    def __init__(self, system: HrSystem) -> None:
        self.system, self.name = system, system.name
        self.requests = 0

    def kinds(self, feed: str) -> Mapping[str, str]:
        """The entity's columns, name -> kind; none where the system has no such entity."""
        holds = self.system.capabilities.entities.get(feed)
        return holds.kinds() if holds else {}

    def updated_column(self, feed: str, column: str) -> str | None:
        """The column of the last change, if this system tells it."""
        return column if column in self.kinds(feed) else None

    def read(
        self,
        feed: str,
        columns: Sequence[str],
        custom: Sequence[str],
        ask: Ask,
        known: Hashes,
        seed: str,
    ) -> Snapshot:
        """One read of an entity; a row that cannot be read, or without a key, is rejected.

        ``custom``: custom fields (``CF_…``) that HR keeps in the column
        ``custom_for_accessplanit``. The hash of a row covers what is asked for but the moment of
        the change, so that a row that was merely touched is a known one.

        Raises:
            TargetFailed, CredentialsRefused: the system cannot be reached.
            Misconfigured: it has no such column.
        """
        kinds = self.kinds(feed)
        if not kinds:
            return Snapshot(empty({**dict.fromkeys(columns, "text"), "hash": "hash"}))
        unknown = [name for name in columns if name not in kinds]
        if unknown:
            raise Misconfigured(
                f"{self.system.capabilities.system} has no {feed}.{', '.join(unknown)}",
                "The data engineer must take it out of the mapping; docs/hr-systems.md says "
                "what each system holds.",
            )
        key = next(iter(kinds))
        wanted = {name: kinds[name] for name in columns if name != key} | (
            {CUSTOM: "text"} if custom and CUSTOM in kinds else {}
        )
        lookups = {ask.by or key: ask.keys} if ask.keys is not None else None
        since = (
            ask.range.low
            if isinstance(ask.range, Range) and isinstance(ask.range.low, datetime)
            else None
        )
        self.requests += 1
        found = self.system.read(feed, wanted, lookups, since)
        rows = found.frame
        rows = frame(
            {
                name: tidy(arrow(rows[name])) if kinds[name] == "text" else arrow(rows[name])
                for name in rows.columns
            }
        )
        rows, odd = _with_custom(rows, key, custom)
        keyless = np.asarray(pc.is_null(arrow(rows[key])))
        nameless = of(REJECTED, [(None, key, "has no value", None, None)] * int(keyless.sum()))
        rejected, rows = (
            _hashed(concat([found.rejected, odd, nameless]), seed),
            pick(rows, ~keyless),
        )
        marks = _marks([arrow(rows[n]) for n in rows.columns if n != WRITTEN], len(rows), seed)
        old = among(marks, known) if ask.skip_known else np.zeros(len(rows), dtype=bool)
        read = len(rows) + len(rejected)
        rows = rows.assign(hash=frame({"hash": pa.array(marks)})["hash"])
        return Snapshot(
            pick(rows, ~old),
            found.complete,
            rejected,
            read,
            int(old.sum()),
            vanished=found.vanished,
            silent=found.silent,
        )


def _with_custom(
    rows: pd.DataFrame, key: str, custom: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``rows`` with the custom fields of HR's column for them, each as ``values.encoded`` writes
    it; and the rows that are rejected because that column is not a JSON object."""
    if not custom:
        return rows, of(REJECTED, [])
    fields = (
        [_custom_fields(text) for text in strings(rows[CUSTOM])]
        if CUSTOM in rows
        else [{}] * len(rows)
    )
    read = np.array([each is not None for each in fields], dtype=bool)
    broken = rows.loc[~read, [key, CUSTOM]] if not read.all() else rows.iloc[:0, :0]
    rejected = [
        (name, CUSTOM, "is not a JSON object of custom fields", text, None)
        for name, text in broken.itertuples(index=False)
    ]
    kept = pick(rows, read).drop(columns=CUSTOM, errors="ignore")
    columns = {
        name: pa.array([each.get(name) for each in fields if each is not None], pa.string())
        for name in custom
    }
    return kept.assign(
        **{name: frame({name: values})[name] for name, values in columns.items()}
    ), of(REJECTED, rejected)


def _custom_fields(text: str | None) -> dict[str, str | None] | None:
    """Custom field -> its value; ``None`` if the text is not a JSON object of such values."""
    try:
        found = json.loads(text) if text else {}
        return (
            {name: encoded(value) for name, value in found.items()}
            if isinstance(found, dict)
            else None
        )
    except (ValueError, RecursionError):
        return None


def _marks(columns: Sequence[pa.Array], rows: int, seed: str) -> Hashes:
    """The hash of each row's content."""
    number = int(seed, 16)
    texts = (
        zip(
            *(strings(v if pa.types.is_string(v.type) else v.cast(pa.string())) for v in columns),
            strict=True,
        )
        if rows
        else ()
    )
    encode = msgspec.json.Encoder().encode
    return np.array(
        [int.from_bytes(xxhash.xxh3_64_digest(encode(row), number), signed=True) for row in texts],
        dtype=np.int64,
    )


def _hashed(rejected: pd.DataFrame, seed: str) -> pd.DataFrame:
    names = [name for name in REJECTED if name != "hash"]
    marks = _marks([arrow(rejected[name]) for name in names], len(rejected), seed)
    return rejected.assign(hash=frame({"hash": pa.array(marks)})["hash"])
