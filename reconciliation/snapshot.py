"""Snapshots: the result of reading one side, with what is missing or unreadable.

In this project a "record" is always on the source's side and a "row" on the target's. A snapshot
may be of either side; here "row" also means a line of its frame.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from .frame import concat, empty

REJECTED = {"key": "text", "field": "text", "reason": "text", "raw": "text", "hash": "hash"}
"""A rejected row: its key (if readable), the faulty field, the reason, the raw record and its
hash."""


@dataclass(frozen=True)
class Snapshot:
    """The result of one read of one side."""

    frame: pd.DataFrame
    """The rows that could be read. A source's rows carry ``hash``, the hash of the raw record
    (int64)."""
    complete: bool = True
    """Whether every row that was asked for is in ``frame``, in ``rejected`` or skipped."""
    rejected: pd.DataFrame = field(default_factory=lambda: empty(REJECTED))
    """The rows that could not be read: columns of :data:`REJECTED`."""
    read: int = 0
    """Number of rows received. A row on several pages counts once."""
    skipped: int = 0
    """Number of rows skipped because the raw record is the same, byte for byte, as in an earlier
    run."""
    duplicates: int = 0
    """Number of rows that came twice with different content; the newer one counts."""
    appeared: tuple[str, ...] = ()
    """Fields that came without being asked for, as the feed spells them."""
    vanished: tuple[str, ...] = ()
    """Columns that were asked for and that no record had; empty if no record came."""
    silent: tuple[str, ...] = ()
    """Like ``vanished``, for a system that leaves out empty values: such a column may have vanished
    or may be empty in every record."""


def among(
    values: np.ndarray[Any, Any], known: np.ndarray[Any, Any]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Returns the mask of values that are in ``known``, which is sorted."""
    if not len(known):
        return np.zeros(len(values), dtype=bool)
    place = np.searchsorted(known, values)
    place[place == len(known)] = 0
    return np.asarray(known[place] == values)


def without(read: Snapshot, marks: np.ndarray[Any, Any]) -> tuple[Snapshot, int]:
    """Removes the rows, rejected ones included, whose hash is in ``marks`` (sorted). Also returns
    their number."""
    if not len(marks):
        return read, 0
    marked, marked_rejected = (
        among(part["hash"].fillna(0).to_numpy(), marks) for part in (read.frame, read.rejected)
    )
    frame = read.frame[~marked].reset_index(drop=True)
    rejected = read.rejected[~marked_rejected].reset_index(drop=True)
    number = int(marked.sum() + marked_rejected.sum())
    return replace(read, frame=frame, rejected=rejected), number


def newest(data: pd.DataFrame, key: str, updated: str | None) -> pd.DataFrame:
    """Keeps one row per key: the one updated last, or of equally new ones the one read last."""
    if data[key].is_unique:
        return data
    ordered = data.sort_values(updated, kind="stable", na_position="first") if updated else data
    last = ordered.drop_duplicates(key, keep="last")
    return last.sort_index().reset_index(drop=True)


def renewed(
    read: Snapshot, key: str, keys: Collection[str], fresh: Snapshot, updated: str | None
) -> Snapshot:
    """Replaces the records ``keys`` in ``read`` by those in ``fresh``. Records that ``fresh`` does
    not have are removed."""
    frame = read.frame[~read.frame[key].isin(keys)].reset_index(drop=True)
    rejected = read.rejected[~read.rejected["key"].isin(keys)].reset_index(drop=True)
    dropped = len(read.frame) - len(frame) + len(read.rejected) - len(rejected)
    rest = replace(read, frame=frame, rejected=rejected, read=read.read - dropped)
    return merge([rest, fresh], key, updated)


def merge(snapshots: Sequence[Snapshot], key: str, updated: str | None) -> Snapshot:
    """Merges several reads of one feed into one snapshot.

    A record that is the same in several reads counts once. A record that one read could parse is
    not rejected because another read could not.
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
