"""Reads an HR system as a source: all rows, or those changed since a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from reconciliation.ask import Ask, Range
from reconciliation.capabilities import CUSTOM_FOR_ACCESSPLANIT
from reconciliation.errors import Misconfigured
from reconciliation.frame import concat, empty, of
from reconciliation.ports import Hashes, HrSystem
from reconciliation.snapshot import REJECTED, Snapshot, among
from reconciliation.tables import NUMBER, TEXT, row_hashes, typed
from reconciliation.values import encoded

WRITTEN = "written_at"
"""Column with the time of a row's last change in HR, if the system has it."""


class HrSource:
    """Implements :class:`reconciliation.ports.Source` over any HR system.

    If the system has the time of each row's last change, only changed rows are read. Otherwise
    every read is complete, and unchanged rows are recognised by the hash of their content.
    """

    def __init__(self, system: HrSystem) -> None:
        self.system, self.name = system, system.name
        self.requests = 0

    def kinds(self, feed: str) -> Mapping[str, str]:
        """Maps the entity's columns to their kinds. Empty if the system has no such entity."""
        holds = self.system.capabilities.entities.get(feed)
        return holds.kinds() if holds else {}

    def updated_column(self, feed: str, column: str | None) -> str | None:
        """Returns ``column``, the one with the last change, or ``None`` if this system lacks it."""
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
        """Reads an entity. A row that cannot be read, or that has no key, is rejected.

        ``custom`` are custom fields (``CF_…``), which HR keeps in the column
        ``custom_for_accessplanit``. The hash of a row covers the columns that were requested, but
        not the time of the change, so that a row saved without changes counts as known.

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
                "Remove it from the mapping. docs/hr-systems.md lists what each system holds.",
            )
        key = next(iter(kinds))
        wanted = {name: kinds[name] for name in columns if name != key} | (
            {CUSTOM_FOR_ACCESSPLANIT: "text"} if custom and CUSTOM_FOR_ACCESSPLANIT in kinds else {}
        )
        lookups = {ask.by or key: ask.keys} if ask.keys is not None else None
        self.requests += 1
        read = self.system.read(feed, wanted, lookups, _since(ask))
        texts = [name for name in read.frame.columns if kinds[name] == "text"]
        rows = read.frame.assign(**{name: _tidy(read.frame[name]) for name in texts})
        rows, bad_custom = _with_custom(rows, key, custom)
        no_key = rows[key].isna()
        without_key = of(REJECTED, [(None, key, "has no value", None, None)] * int(no_key.sum()))
        rejected = concat([read.rejected, bad_custom, without_key])
        rejected = _hashed(rejected, [name for name in REJECTED if name != "hash"], seed)
        rows = rows[~no_key].reset_index(drop=True)
        rows = _hashed(rows, [name for name in rows.columns if name != WRITTEN], seed)
        unchanged = np.zeros(len(rows), dtype=bool)
        if ask.skip_known:
            unchanged = among(rows["hash"].to_numpy(), known)
        return Snapshot(
            rows[~unchanged].reset_index(drop=True),
            read.complete,
            rejected,
            len(rows) + len(rejected),
            int(unchanged.sum()),
            vanished=read.vanished,
            silent=read.silent,
        )


def _since(ask: Ask) -> datetime | None:
    """Returns the time from which changed rows are wanted, or ``None``."""
    low = ask.range.low if isinstance(ask.range, Range) else None
    return low if isinstance(low, datetime) else None


def _tidy(text: pd.Series[Any]) -> pd.Series[Any]:
    """Removes surrounding white space. Blank text becomes null."""
    trimmed = text.str.strip()
    return trimmed.mask(trimmed == "")


def _with_custom(
    rows: pd.DataFrame, key: str, custom: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Adds each custom field as a column, as text (``values.encoded``). Also returns the rows that
    are rejected because HR's column of custom fields is not a JSON object."""
    if not custom:
        return rows, of(REJECTED, [])
    texts = (
        rows[CUSTOM_FOR_ACCESSPLANIT]
        if CUSTOM_FOR_ACCESSPLANIT in rows
        else pd.Series(pd.NA, rows.index, TEXT)
    )
    fields = [_custom_fields(text) for text in texts.fillna("")]
    valid = np.array([each is not None for each in fields], dtype=bool)
    invalid = typed(pd.DataFrame({"key": rows[key], "raw": texts})[~valid], REJECTED)
    rejected = invalid.assign(
        field=CUSTOM_FOR_ACCESSPLANIT, reason="is not a JSON object of custom fields"
    )
    rest = rows[valid].drop(columns=CUSTOM_FOR_ACCESSPLANIT, errors="ignore").reset_index(drop=True)
    values = {
        name: pd.Series([each.get(name) for each in fields if each is not None], dtype=TEXT)
        for name in custom
    }
    return rest.assign(**values), typed(rejected, REJECTED)


def _custom_fields(text: str | None) -> dict[str, str | None] | None:
    """Maps each custom field to its value. Returns ``None`` if the text is not a JSON object of
    such values."""
    try:
        fields = json.loads(text) if text else {}
        return (
            {name: encoded(value) for name, value in fields.items()}
            if isinstance(fields, dict)
            else None
        )
    except (ValueError, RecursionError):
        return None


def _hashed(rows: pd.DataFrame, names: Sequence[str], seed: str) -> pd.DataFrame:
    """Adds the column ``hash`` over the columns ``names``."""
    return rows.assign(hash=pd.Series(row_hashes(rows[names], seed), rows.index, NUMBER))
