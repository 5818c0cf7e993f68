"""Writes changes to accessplanit: a POST for each new record, a PUT of the changed fields
otherwise, several requests in parallel."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import httpx
import pandas as pd
import pyarrow as pa

from reconciliation.ask import Ask
from reconciliation.errors import (
    CredentialsRefused,
    HrsyncError,
    Misconfigured,
    SourceFailed,
    TargetFailed,
)
from reconciliation.frame import arrow, concat, empty, frame, of
from reconciliation.identifiers import spellings
from reconciliation.match import PROVISIONAL
from reconciliation.plan import managed, one_by_one
from reconciliation.ports import NO_HASHES
from reconciliation.receipts import PAST_TENSE, RECEIPTS, after
from reconciliation.snapshot import Snapshot
from reconciliation.values import CUSTOM_PREFIX, decoded

from .client import AccessplanitSource
from .decode import wire_name
from .feeds import FEEDS
from .refusals import AGAIN, refusal
from .rules import MODULES, broken

SEED = "0"
Receipt = tuple[str, str, str | None, str | None]


class AccessplanitTarget:
    """Implements :class:`reconciliation.ports.Target` over the modules of :mod:`.rules`.

    Every change is one request, counted against the hourly budget. When the budget is used up,
    requests wait for the next hour. A refused record gives a receipt with the reason.
    """

    batch = 200
    """Number of changes in one batch. After an interruption it is unknown which of them were
    written."""

    def __init__(self, source: AccessplanitSource) -> None:
        self.source, self.dialect, self.name = source, source.dialect, source.name
        self._ids: dict[str, pa.Array | None] = {}

    def population(self, entity: str) -> int:
        """Returns the number of records in the module."""
        try:
            return self.source.count(entity)
        except SourceFailed as error:
            raise TargetFailed(error.what, error.remedy) from None

    def read(
        self, entity: str, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None
    ) -> Snapshot:
        """Reads records of a feed, each once, with ``id`` and ``columns``: all of them, or those
        with one of the values of a column in ``lookups``."""
        names = list(
            dict.fromkeys(
                ["id", *(n for n in columns if n in FEEDS[entity].model_fields), *(lookups or {})]
            )
        )
        custom = [n for n in columns if n not in FEEDS[entity].model_fields]
        try:
            if lookups is None:
                reads = [
                    self.source.read(entity, names, custom, Ask(skip_known=False), NO_HASHES, SEED)
                ]
            else:
                reads = [
                    self.source.read(
                        entity,
                        names,
                        custom,
                        Ask(keys=keys, by=by, skip_known=False),
                        NO_HASHES,
                        SEED,
                    )
                    for by, values in lookups.items()
                    if (keys := _spelled(by, values))
                ]
        except SourceFailed as error:
            raise TargetFailed(error.what, error.remedy) from None
        chosen = ["id", *columns]
        frames = [_with(s.frame, chosen)[chosen] for s in reads]
        rows = concat(frames) if frames else empty({"id": "text", **columns})
        rejected = concat([s.rejected for s in reads]) if reads else Snapshot(rows).rejected
        return Snapshot(
            rows.drop_duplicates("id", ignore_index=True), all(s.complete for s in reads), rejected
        )

    def rejections(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Returns failed receipts for the changes that break a field rule."""
        reasons = (
            broken(entity, changes, self.dialect.lists, self._existing) if len(changes) else {}
        )
        return of(RECEIPTS, [(key, "failed", reason, None) for key, reason in reasons.items()])

    def _existing(self, feed: str) -> pa.Array | None:
        """Returns the IDs of a feed, or ``None`` if they cannot be read in full. References to the
        feed are not checked then."""
        if feed not in self._ids:
            try:
                read = self.source.read(feed, ["id"], (), Ask(skip_known=False), NO_HASHES, SEED)
                self._ids[feed] = (
                    arrow(read.frame["id"])
                    if read.complete and not len(read.rejected) and len(read.frame)
                    else None
                )
            except (CredentialsRefused, Misconfigured):
                self._ids[feed] = None
        return self._ids[feed]

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Sends one request for each change, several in parallel. Receipts have the order of the
        changes.

        Raises:
            CredentialsRefused, TargetFailed, Misconfigured: accessplanit cannot be written, for a
                reason that is not in a row. No further change is sent. The error carries the
                receipts of the changes that were answered.
        """
        columns = managed(changes)
        rows = one_by_one(changes)
        faults: list[HrsyncError] = []

        def send(row: Mapping[str, Any]) -> Receipt | None:
            if faults:
                return None
            try:
                return self._apply_one(entity, columns, row)
            except HrsyncError as fault:
                faults.append(fault)
                return None

        with ThreadPoolExecutor(self.source.concurrency, thread_name_prefix="accessplanit") as pool:
            receipts = of(
                RECEIPTS, [receipt for receipt in pool.map(send, rows) if receipt is not None]
            )
        if faults:
            raise after(receipts, faults[0])
        return receipts

    def _apply_one(self, entity: str, columns: Sequence[str], row: Mapping[str, Any]) -> Receipt:
        key, kind = str(row["key"]), str(row["kind"])
        names = (
            [c for c in columns if row[c] is not None]
            if kind == "create"
            else str(row["fields"]).split(",")
        )
        body = {self._wire(entity, name): self._value(name, row[name]) for name in names}
        response = self._send(entity, None if kind == "create" else key, body)
        reason = refusal(response, entity, body)
        if reason is not None:
            return key, "failed", reason, None
        if kind != "create":
            return key, PAST_TENSE[kind], None, None
        new_id = _id(response) or self._created_id(entity, row)
        if new_id is None:
            return (
                key,
                "failed",
                "was sent, but accessplanit does not show it; the next run looks for it",
                None,
            )
        return key, PAST_TENSE[kind], None, new_id

    def _send(self, entity: str, key: str | None, body: Mapping[str, Any]) -> httpx.Response:
        """Sends a PUT for the record ``key``, or a POST for a new record if it is ``None``."""
        url = f"{self.source.root}/api/v2/{entity}"
        try:
            if key is not None:
                return self.source.http.put(f"{url}/{quote(key, safe='~')}", json=body)
            query = (
                {self.dialect.upsert: "true"}
                if self.dialect.upsert and MODULES[entity].alternate
                else None
            )
            return self.source.http.post(
                url, params=query, json=body, extensions={"retry": self.source.posting}
            )
        except httpx.HTTPError as error:
            raise TargetFailed(
                f"accessplanit does not answer when {entity} is written ({type(error).__name__})",
                AGAIN,
            ) from None

    def _created_id(self, entity: str, row: Mapping[str, Any]) -> str | None:
        """Looks up the ID of a record that was just created, for answers without an ID."""
        natural = MODULES[entity].natural
        if row.get(natural[0]) is None:
            return None
        try:
            read = self.source.read(
                entity,
                ["id", *natural],
                (),
                Ask(keys=(str(row[natural[0]]),), by=natural[0], skip_known=False),
                NO_HASHES,
                SEED,
            )
        except SourceFailed as error:
            raise TargetFailed(error.what, error.remedy) from None
        matches = read.frame
        for name in natural:
            value = row.get(name)
            equal = matches[name].isna() if value is None else matches[name].isin([value])
            matches = matches[equal]
        return str(matches["id"].iloc[0]) if len(matches) == 1 else None

    def _wire(self, entity: str, name: str) -> str:
        """Returns the wire name of a column."""
        wire = wire_name(entity, name, self.dialect) if name in FEEDS[entity].model_fields else name
        if wire is None:
            raise Misconfigured(
                f"This tenant's {entity} has no {name}",
                "Remove it from the mapping.",
            )
        return wire

    def _value(self, name: str, value: Any) -> Any:
        """Returns a value as sent: moments without an offset in the tenant's zone, days as their
        midnight."""
        if value is None:
            return None if self.dialect.clear == "null" else ""
        if name.startswith(CUSTOM_PREFIX):
            return decoded(value)
        if isinstance(value, datetime):
            return (
                value.astimezone(ZoneInfo(self.dialect.zone))
                .replace(tzinfo=None)
                .isoformat(timespec="milliseconds")
            )
        if isinstance(value, date):
            return f"{value.isoformat()}T00:00:00"
        return value


def _spelled(column: str, values: Sequence[str]) -> tuple[str, ...]:
    """Returns the values to search for: IDs unchanged, other values in every spelling, since the
    server may compare exactly. Provisional keys are left out."""
    real = [value for value in values if not value.startswith(PROVISIONAL)]
    return (
        tuple(real)
        if column == "id"
        else tuple(dict.fromkeys(spelling for value in real for spelling in spellings(value)))
    )


def _with(rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Adds the missing columns, empty."""
    missing = {
        name: frame({name: pa.nulls(len(rows), pa.string())})[name]
        for name in columns
        if name not in rows
    }
    return rows.assign(**missing) if missing else rows


def _id(response: httpx.Response) -> str | None:
    """Returns the ID in the answer to a POST: at its top level, or in its first result. The format
    of the answer is not documented."""
    try:
        body = response.json()
    except json.JSONDecodeError:
        return None
    inner = body.get("results") if isinstance(body, dict) else None
    for record in (body, inner[0] if isinstance(inner, list) and inner else inner):
        if isinstance(record, dict):
            id_ = next((value for name, value in record.items() if name.lower() == "id"), None)
            if isinstance(id_, str | int) and not isinstance(id_, bool) and str(id_).strip():
                return str(id_)
    return None
