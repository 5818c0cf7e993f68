"""An HR system as a source: its rows, read whole or since their last change, on their way to
accessplanit."""

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

    def updated_column(self, feed: str, column: str | None) -> str | None:
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
                "Take it out of the mapping; docs/hr-systems.md says what each system holds.",
            )
        key = next(iter(kinds))
        wanted = {name: kinds[name] for name in columns if name != key} | (
            {CUSTOM_FOR_ACCESSPLANIT: "text"} if custom and CUSTOM_FOR_ACCESSPLANIT in kinds else {}
        )
        lookups = {ask.by or key: ask.keys} if ask.keys is not None else None
        self.requests += 1
        found = self.system.read(feed, wanted, lookups, _since(ask))
        texts = [name for name in found.frame.columns if kinds[name] == "text"]
        rows = found.frame.assign(**{name: _tidy(found.frame[name]) for name in texts})
        rows, odd = _with_custom(rows, key, custom)
        keyless = rows[key].isna()
        nameless = of(REJECTED, [(None, key, "has no value", None, None)] * int(keyless.sum()))
        rejected = concat([found.rejected, odd, nameless])
        rejected = _hashed(rejected, [name for name in REJECTED if name != "hash"], seed)
        rows = rows[~keyless].reset_index(drop=True)
        rows = _hashed(rows, [name for name in rows.columns if name != WRITTEN], seed)
        old = np.zeros(len(rows), dtype=bool)
        if ask.skip_known:
            old = among(rows["hash"].to_numpy(), known)
        return Snapshot(
            rows[~old].reset_index(drop=True),
            found.complete,
            rejected,
            len(rows) + len(rejected),
            int(old.sum()),
            vanished=found.vanished,
            silent=found.silent,
        )


def _since(ask: Ask) -> datetime | None:
    """The moment of change from which on rows are asked for, if it is one."""
    low = ask.range.low if isinstance(ask.range, Range) else None
    return low if isinstance(low, datetime) else None


def _tidy(text: pd.Series[Any]) -> pd.Series[Any]:
    """Text without surrounding white space; what is blank then is null."""
    trimmed = text.str.strip()
    return trimmed.mask(trimmed == "")


def _with_custom(
    rows: pd.DataFrame, key: str, custom: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``rows`` with the custom fields of HR's column for them, each as ``values.encoded`` writes
    it; and the rows that are rejected because that column is not a JSON object."""
    if not custom:
        return rows, of(REJECTED, [])
    texts = (
        rows[CUSTOM_FOR_ACCESSPLANIT]
        if CUSTOM_FOR_ACCESSPLANIT in rows
        else pd.Series(pd.NA, rows.index, TEXT)
    )
    fields = [_custom_fields(text) for text in texts.fillna("")]
    read = np.array([each is not None for each in fields], dtype=bool)
    broken = typed(pd.DataFrame({"key": rows[key], "raw": texts})[~read], REJECTED)
    rejected = broken.assign(
        field=CUSTOM_FOR_ACCESSPLANIT, reason="is not a JSON object of custom fields"
    )
    kept = rows[read].drop(columns=CUSTOM_FOR_ACCESSPLANIT, errors="ignore").reset_index(drop=True)
    values = {
        name: pd.Series([each.get(name) for each in fields if each is not None], dtype=TEXT)
        for name in custom
    }
    return kept.assign(**values), typed(rejected, REJECTED)


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


def _hashed(rows: pd.DataFrame, names: Sequence[str], seed: str) -> pd.DataFrame:
    """``rows`` with the ``hash`` of the columns ``names``."""
    return rows.assign(hash=pd.Series(row_hashes(rows[names], seed), rows.index, NUMBER))
