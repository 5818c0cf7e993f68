"""What has to change: a plan is a value before it is an act."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from .frame import arrow, concat, empty, frame, pick, true

KINDS = ("create", "update", "close")


@dataclass(frozen=True)
class Plan:
    """changes: ``kind`` · ``key`` (the target's) · ``fields`` (names of the changed columns, comma-separated; empty
    for creates) · then every managed column with its new value. before: the rows that will be updated or closed, as
    they are: ``key`` and the managed columns. unchanged: target keys that need nothing. withheld: keys that would be
    created if the target had been read in full. digest: names exactly these changes, whatever the order of rows.
    """

    changes: pd.DataFrame
    before: pd.DataFrame
    unchanged: pa.Array
    withheld: pa.Array
    digest: str

    def counts(self) -> dict[str, int]:
        """Kind of change -> rows."""
        found = self.changes["kind"].value_counts()
        return {kind: int(found.get(kind, 0)) for kind in KINDS}


def digest(changes: pd.DataFrame) -> str:
    """16 hexadecimal digits over the changes in the order of their keys, written as canonical text."""
    table = pa.table({name: arrow(changes[name]) for name in changes.columns})
    order = pc.sort_indices(arrow(changes["key"]))
    text = io.BytesIO()
    pa.csv.write_csv(table.take(order), text)
    return hashlib.blake2b(text.getbuffer(), digest_size=8).hexdigest()


def reconcile(
    desired: pd.DataFrame,
    target: pd.DataFrame,
    key: str,
    columns: Mapping[str, str],
    compared: Sequence[str],
    *,
    may_create: bool = True,
) -> Plan:
    """The changes that make ``target`` hold ``desired``: creates and updates; absence is no statement.

    ``desired`` and ``target`` have ``key`` (unique) and ``columns`` (name -> kind); only ``compared`` columns are a
    reason to update. ``may_create`` is false when the target could not be read in full: a row that was not seen may
    be there. Pure and total: the order of rows does not matter.
    """
    keys = arrow(desired[key])
    place = pc.index_in(keys, value_set=arrow(target[key]))
    new = np.asarray(pc.is_null(place))
    old = np.flatnonzero(~new)
    here, there = pa.array(old), place.filter(pa.array(~new))
    differs = np.zeros((len(compared), len(old)), dtype=bool)
    for i, name in enumerate(compared):
        ours, theirs = arrow(desired[name]).take(here), arrow(target[name]).take(there)
        differs[i] = true(pc.not_equal(ours, theirs)) | (np.asarray(pc.is_null(ours)) != np.asarray(pc.is_null(theirs)))
    touched = differs.any(axis=0)
    names = np.asarray(compared, dtype=object)
    fields = [",".join(names[column]) for column in differs[:, touched].T]
    creates = np.flatnonzero(new) if may_create else np.empty(0, dtype=np.int64)
    updates = old[touched]
    chosen = pa.array(np.concatenate([creates, updates]))
    changes = frame(
        {
            "kind": pa.array(np.repeat(np.array(["create", "update"], dtype=object), [len(creates), len(updates)]), pa.string()),
            "key": keys.take(chosen),
            "fields": pa.array([""] * len(creates) + fields, pa.string()),
            **{name: arrow(desired[name]).take(chosen) for name in columns},
        }
    )
    was = there.filter(pa.array(touched))
    before = frame({"key": arrow(target[key]).take(was), **{name: arrow(target[name]).take(was) for name in columns}})
    withheld = keys.filter(pa.array(new)) if not may_create else keys[:0]
    return Plan(changes, before, keys.take(pa.array(old[~touched])), withheld, digest(changes))


def closing(plan: Plan, leavers: pd.DataFrame, key: str, columns: Mapping[str, str], closed: Mapping[str, str]) -> Plan:
    """``plan`` with the rows of ``leavers`` (target rows whose source has left the scope) closed.

    ``closed`` is what closing means: column -> value. Rows that are closed already stay as they are.
    """
    still_open = np.zeros(len(leavers), dtype=bool)
    for name, value in closed.items():
        still_open |= ~true(pc.equal(arrow(leavers[name]), value))
    rows = pick(leavers, still_open)
    if not len(rows):
        return plan
    after = rows.assign(**{n: pd.Series([v] * len(rows), dtype=pd.ArrowDtype(pa.string())) for n, v in closed.items()})
    count = len(rows)
    added = frame(
        {
            "kind": pa.array(["close"] * count, pa.string()),
            "key": arrow(rows[key]),
            "fields": pa.array([",".join(closed)] * count, pa.string()),
            **{name: arrow(after[name]) for name in columns},
        }
    )
    before = frame({"key": arrow(rows[key]), **{name: arrow(rows[name]) for name in columns}})
    changes = concat([plan.changes, added])
    return Plan(changes, concat([plan.before, before]), plan.unchanged, plan.withheld, digest(changes))


def apply_to(target: pd.DataFrame, plan: Plan, key: str, columns: Mapping[str, str]) -> pd.DataFrame:
    """The model of a perfect target: ``target`` after every change of ``plan`` was carried out."""
    kept = pick(target, ~true(pc.is_in(arrow(target[key]), value_set=arrow(plan.changes["key"]))))
    written = plan.changes.rename(columns={"key": key})[[key, *columns]]
    return concat([kept[[key, *columns]], written]) if len(kept) or len(written) else empty({key: "text", **columns})
