"""What one side said, and how far to believe it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from .frame import concat, empty

REJECTED = {"key": "text", "field": "text", "reason": "text", "raw": "text", "hash": "hash"}
"""A rejected row: its key if it could be read, the field at fault, why, the record itself, its
hash."""


@dataclass(frozen=True)
class Snapshot:
    """One read of one side."""

    frame: pd.DataFrame
    """The rows that could be read. A source's rows carry ``hash``, the hash of the raw record
    (int64)."""
    complete: bool = True
    """Every row that was asked for is in ``frame``, in ``rejected`` or among the skipped."""
    rejected: pd.DataFrame = field(default_factory=lambda: empty(REJECTED))
    """The rows that could not be read: columns of :data:`REJECTED`."""
    read: int = 0
    """Rows received; a row that stood on several pages counts once."""
    skipped: int = 0
    """Rows whose raw record is known byte for byte from an earlier run."""
    duplicates: int = 0
    """Rows that came again with other content; the newer one counts."""
    appeared: tuple[str, ...] = ()
    """Fields that were not asked for, as the feed spells them."""
    vanished: tuple[str, ...] = ()
    """Columns that were asked for and that no record had; empty if no record came."""
    silent: tuple[str, ...] = ()
    """The same, of a system that leaves out empty values. What was agreed earlier tells whether
    they have vanished."""


def among(
    values: np.ndarray[Any, Any], known: np.ndarray[Any, Any]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which values stand in ``known``, which is sorted."""
    if not len(known):
        return np.zeros(len(values), dtype=bool)
    place = np.searchsorted(known, values)
    place[place == len(known)] = 0
    return np.asarray(known[place] == values)


def without(read: Snapshot, marks: np.ndarray[Any, Any]) -> tuple[Snapshot, int]:
    """``read`` without the rows, rejected ones too, whose hash is in ``marks`` (sorted); and how
    many these are."""
    if not len(marks):
        return read, 0
    rests, bad = (
        among(part["hash"].fillna(0).to_numpy(), marks) for part in (read.frame, read.rejected)
    )
    frame = read.frame[~rests].reset_index(drop=True)
    rejected = read.rejected[~bad].reset_index(drop=True)
    return replace(read, frame=frame, rejected=rejected), int(rests.sum() + bad.sum())


def newest(data: pd.DataFrame, key: str, updated: str | None) -> pd.DataFrame:
    """One row per key: the one updated last, of equals the one read last."""
    if data[key].is_unique:
        return data
    ordered = data.sort_values(updated, kind="stable", na_position="first") if updated else data
    last = ordered.drop_duplicates(key, keep="last")
    return last.sort_index().reset_index(drop=True)


def renewed(
    read: Snapshot, key: str, keys: Collection[str], fresh: Snapshot, updated: str | None
) -> Snapshot:
    """``read`` with what it says of the records ``keys`` replaced by what ``fresh`` says of them,
    even if that is nothing."""
    frame = read.frame[~read.frame[key].isin(keys)].reset_index(drop=True)
    rejected = read.rejected[~read.rejected["key"].isin(keys)].reset_index(drop=True)
    dropped = len(read.frame) - len(frame) + len(read.rejected) - len(rejected)
    rest = replace(read, frame=frame, rejected=rejected, read=read.read - dropped)
    return merge([rest, fresh], key, updated)


def merge(snapshots: Sequence[Snapshot], key: str, updated: str | None) -> Snapshot:
    """Several reads of one feed as one; a record that stands in several of them as it is was read
    once.

    A record that was once read well is not rejected for another, broken read.
    """
    rows = concat([s.frame for s in snapshots])
    repeated = (
        int(rows.duplicated([key, "hash"]).sum()) if "hash" in rows and len(snapshots) > 1 else 0
    )
    kept = newest(rows, key, updated)
    rejected = concat([s.rejected for s in snapshots])
    if len(rejected):
        again = rejected.duplicated(["key", "hash"]) & rejected["key"].notna()
        repeated += int(again.sum())
        rejected = rejected[~again & ~rejected["key"].isin(kept[key].dropna())]
        rejected = rejected.reset_index(drop=True)
    read = sum(s.read for s in snapshots) - repeated
    skipped = sum(s.skipped for s in snapshots)
    full = [set(s.vanished) for s in snapshots if s.read]
    silent = [set(s.silent) for s in snapshots if len(s.frame)]
    return Snapshot(
        kept,
        all(s.complete for s in snapshots),
        rejected,
        read,
        skipped,
        read - skipped - len(kept) - len(rejected),
        tuple(dict.fromkeys(name for s in snapshots for name in s.appeared)),
        tuple(sorted(set.intersection(*full))) if full else (),
        tuple(sorted(set.intersection(*silent))) if silent else (),
    )
