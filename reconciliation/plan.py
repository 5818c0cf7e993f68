"""What has to change: a plan is a value before it is an act."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .aligned import Alike, align
from .frame import arrow, concat, empty, frame, pick, strings, take, true

KINDS = ("create", "update", "close")
META = ("kind", "key", "fields", "reason")
"""The columns of a plan's changes beside the managed ones."""
DERIVED = {"state", "superseded_by"}
"""Columns that follow from other records and from the day, not from the record alone."""
NEW, CHANGED = "was new", "had changed"
EDITED = "was changed where it was loaded to; the record itself has not changed"
MENDS = "could not be read there: the source's value takes the place of what is amiss"
FOLLOWS = "follows from other records or from the day"
LEFT, GONE, AWAY = "has left the scope", "is no more in the source", "belongs to somebody else now"
"""Why a row is changed."""


@dataclass(frozen=True)
class Plan:
    """changes: ``kind`` · ``key`` (the target's) · ``fields`` (names of the changed columns,
    comma-separated; empty for creates) · ``reason`` · then every managed column with its new value.
    before: the rows that will be updated or closed, as they are: ``key`` and the managed columns.
    unchanged: target keys that need nothing. withheld: keys that would be created if the target had
    been read in full. salt: what is mixed into the digest, so that nobody can guess from it whom
    the plan is about. changes and before are in the order of their keys.
    """

    changes: pd.DataFrame
    before: pd.DataFrame
    unchanged: pa.Array
    withheld: pa.Array
    salt: bytes = b""

    @cached_property
    def digest(self) -> str:
        """Names exactly these changes and what they replace, whatever the reasons."""
        return digest(self.changes, self.before, self.salt)

    def counts(self) -> dict[str, int]:
        """Kind of change -> rows."""
        found = self.changes["kind"].value_counts()
        return {kind: int(found.get(kind, 0)) for kind in KINDS}

    def emptied(self) -> dict[str, tuple[int, int]]:
        """Column -> rows in which an update takes its value away, and rows that are updated and
        have one afterwards."""
        both = self.changes[self.changes["kind"] == "update"].merge(
            self.before, on="key", suffixes=("", " (before)")
        )
        found = {
            name: (
                int((both[name].isna() & both[f"{name} (before)"].notna()).sum()),
                int(both[name].notna().sum()),
            )
            for name in managed(self.changes)
        }
        return {
            name: (lost, left)
            for name, (lost, left) in found.items()
            if lost and name not in DERIVED
        }


def managed(changes: pd.DataFrame) -> list[str]:
    """The managed columns of a plan's changes."""
    return [name for name in changes.columns if name not in META]


def digest(changes: pd.DataFrame, before: pd.DataFrame, salt: bytes = b"") -> str:
    """16 hexadecimal digits over the names and values of all columns but the reasons, both frames
    being in order."""
    whole = hashlib.blake2b(digest_size=8, key=salt)
    for part in (changes, before):
        for name in part.columns:
            if name != "reason":
                whole.update(f"{name}:{len(part)};".encode())
                for piece in _canonical(arrow(part[name])):
                    whole.update(piece)
    return whole.hexdigest()


def _with(plan: Plan, changes: pd.DataFrame, before: pd.DataFrame) -> Plan:
    """``plan`` with other changes, in the order of their keys: the same changes are the same rows
    in the same places."""
    return replace(plan, changes=_in_order(changes), before=_in_order(before))


def _in_order(part: pd.DataFrame) -> pd.DataFrame:
    order = pc.sort_indices(arrow(part["key"])).to_numpy()
    return frame({name: take(arrow(part[name]), order) for name in part.columns})


def _canonical(column: pa.Array) -> tuple[bytes, bytes]:
    """A column as bytes that depend on its values alone: the length or value of each row, and the
    text of all."""
    if not pa.types.is_string(column.type):
        kind = pa.int32() if pa.types.is_date(column.type) else pa.int64()
        none = np.iinfo(np.int32).min
        return pc.fill_null(column.cast(kind), none).to_numpy().tobytes(), b""
    lengths = pc.fill_null(pc.binary_length(column), -1).to_numpy().tobytes()
    filled = pc.fill_null(column, "") if column.null_count else column
    offsets = np.frombuffer(filled.buffers()[1], np.int32)[
        filled.offset : filled.offset + len(filled) + 1
    ]
    text = filled.buffers()[2]
    return lengths, bytes(memoryview(text)[offsets[0] : offsets[-1]]) if text is not None and len(
        offsets
    ) else b""


def reconcile(
    desired: pd.DataFrame,
    target: pd.DataFrame,
    key: str,
    columns: Mapping[str, str],
    compared: Sequence[str],
    *,
    doubtful: pa.Array | None = None,
    alike: Alike | None = None,
) -> Plan:
    """The changes that make ``target`` hold ``desired``: creates and updates; absence is no
    statement.

    ``desired`` and ``target`` have ``key`` (unique) and ``columns`` (name -> kind); only
    ``compared`` columns are a reason to update. ``doubtful``: keys that are not created though they
    were not seen, for the target could not be read in full. Pure and total: the order of rows does
    not matter.
    """
    keys = arrow(desired[key])
    found = align(desired, target, key, compared, alike)
    new, touched, fields = found.alone, found.touched, found.fields(compared)
    unseen = (
        new & true(pc.is_in(keys, value_set=doubtful))
        if doubtful is not None
        else np.zeros(len(keys), dtype=bool)
    )
    creates = np.flatnonzero(new & ~unseen)
    updates = found.ours[touched]
    chosen = np.concatenate([creates, updates])
    changes = frame(
        {
            "kind": pa.array(
                np.repeat(
                    np.array(["create", "update"], dtype=object), [len(creates), len(updates)]
                ),
                pa.string(),
            ),
            "key": take(keys, chosen),
            "fields": pa.array([""] * len(creates) + fields, pa.string()),
            "reason": pa.nulls(len(chosen), pa.string()),
            **{name: take(arrow(desired[name]), chosen) for name in columns},
        }
    )
    was = found.theirs[touched]
    before = frame(
        {
            "key": take(arrow(target[key]), was),
            **{name: take(arrow(target[name]), was) for name in columns},
        }
    )
    return Plan(
        _in_order(changes),
        _in_order(before),
        keys.take(pa.array(found.ours[~touched])),
        keys.filter(pa.array(unseen)),
    )


def because(plan: Plan, known: pa.Array, own: pa.Array) -> Plan:
    """``plan`` with the reasons of its creates and updates.

    known: keys of the target rows whose source record has not changed since it was last loaded.
    own: keys of the target rows whose source record was read.
    """
    kinds, keys = arrow(plan.changes["kind"]), arrow(plan.changes["key"])
    fields = plan.changes["fields"].tolist()
    derived = np.array(
        [bool(text) and set(text.split(",")) <= DERIVED for text in fields], dtype=bool
    )
    follows = (derived & true(pc.is_in(keys, value_set=known))) | ~true(
        pc.is_in(keys, value_set=own)
    )
    reason = pc.if_else(true(pc.is_in(keys, value_set=known)), EDITED, CHANGED)
    reason = pc.if_else(pa.array(follows), FOLLOWS, reason)
    reason = pc.if_else(pc.equal(kinds, "create"), NEW, reason)
    given = pc.if_else(
        pc.is_valid(arrow(plan.changes["reason"])), arrow(plan.changes["reason"]), reason
    )
    return replace(plan, changes=plan.changes.assign(reason=frame({"reason": given})["reason"]))


def closing(
    plan: Plan,
    leavers: pd.DataFrame,
    key: str,
    columns: Mapping[str, str],
    closed: Mapping[str, str | date],
    reason: str,
    alike: Alike | None = None,
) -> Plan:
    """``plan`` with the rows of ``leavers`` closed: target rows whose source has left the scope or
    is gone.

    ``closed`` is what closing means: column -> value. Rows that are closed already, for a day at
    that day or before, stay as they are.
    """
    rows = pick(leavers, ~is_closed(leavers, closed, alike or {}))
    if not len(rows):
        return plan
    after = rows.assign(
        **{
            n: frame({n: pa.array([v] * len(rows), arrow(rows[n]).type)})[n]
            for n, v in closed.items()
        }
    )
    count = len(rows)
    added = frame(
        {
            "kind": pa.array(["close"] * count, pa.string()),
            "key": arrow(rows[key]),
            "fields": pa.array([",".join(closed)] * count, pa.string()),
            "reason": pa.array([reason] * count, pa.string()),
            **{name: arrow(after[name]) for name in columns},
        }
    )
    before = frame({"key": arrow(rows[key]), **{name: arrow(rows[name]) for name in columns}})
    return _with(plan, concat([plan.changes, added]), concat([plan.before, before]))


def mending(
    plan: Plan,
    wanted: pd.DataFrame,
    rejected: pd.DataFrame,
    key: str,
    columns: Mapping[str, str],
    ours: Sequence[str],
) -> Plan:
    """``plan`` with updates of rows that the target has and that cannot be read there: of each the
    one column that is amiss.

    ``wanted``: ``key`` and ``columns``. ``rejected``: the target's ``snapshot.REJECTED``. ours: the
    columns whose value the source decides. What the target holds now is not known: ``before`` has
    no row for these, and their records stay withheld until they can be compared.
    """
    amiss = rejected[rejected["key"].notna() & rejected["field"].isin(list(ours))].drop_duplicates(
        "key"
    )[["key", "field"]]
    rows = wanted.rename(columns={key: "key"}).merge(amiss, on="key")
    rows = rows[~rows["key"].isin(plan.changes["key"])].reset_index(drop=True)
    if not len(rows):
        return plan
    count = len(rows)
    added = frame(
        {
            "kind": pa.array(["update"] * count, pa.string()),
            "key": arrow(rows["key"]),
            "fields": arrow(rows["field"]),
            "reason": pa.array([MENDS] * count, pa.string()),
            **{name: arrow(rows[name]) for name in columns},
        }
    )
    return _with(plan, concat([plan.changes, added]), plan.before)


def is_closed(
    rows: pd.DataFrame, closed: Mapping[str, str | date], alike: Alike
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows are as closing would make them."""
    done = np.full(len(rows), bool(closed))
    for name, value in closed.items():
        column = alike[name](arrow(rows[name])) if name in alike else arrow(rows[name])
        done &= true(
            pc.equal(column, value)
            if isinstance(value, str)
            else pc.less_equal(column, pa.scalar(value))
        )
    return done


def as_closes(plan: Plan, closed: Mapping[str, str | date], alike: Alike) -> Plan:
    """``plan`` with the updates that close a row named so: a guard must see them as what they
    are."""
    after = is_closed(plan.changes, closed, alike)
    place = pc.index_in(arrow(plan.changes["key"]), value_set=arrow(plan.before["key"]))
    before = true(pa.array(is_closed(plan.before, closed, alike), pa.bool_()).take(place))
    kinds = arrow(plan.changes["kind"])
    closes = pc.if_else(pa.array(after & ~before & true(pc.equal(kinds, "update"))), "close", kinds)
    return _with(plan, plan.changes.assign(kind=frame({"kind": closes})["kind"]), plan.before)


def leaving_out(plan: Plan, keys: pa.Array) -> Plan:
    """``plan`` without the changes of these keys."""
    if not len(keys):
        return plan
    changes, before = (
        pick(part, ~true(pc.is_in(arrow(part["key"]), value_set=keys)))
        for part in (plan.changes, plan.before)
    )
    return _with(plan, changes, before)


def apply_to(
    target: pd.DataFrame, plan: Plan, key: str, columns: Mapping[str, str]
) -> pd.DataFrame:
    """The model of a perfect target: ``target`` after every change of ``plan`` was carried out."""
    kept = pick(target, ~true(pc.is_in(arrow(target[key]), value_set=arrow(plan.changes["key"]))))
    written = plan.changes.rename(columns={"key": key})[[key, *columns]]
    return (
        concat([kept[[key, *columns]], written])
        if len(kept) or len(written)
        else empty({key: "text", **columns})
    )


def already(plan: Plan, current: pd.DataFrame, key: str, columns: Mapping[str, str]) -> pa.Array:
    """Keys of the changes that ``current`` shows as carried out."""
    return reconcile(
        plan.changes.rename(columns={"key": key}), current, key, columns, list(columns)
    ).unchanged


def moved(
    plan: Plan, current: pd.DataFrame, key: str, columns: Mapping[str, str]
) -> list[str | None]:
    """Keys of the changes whose target row is no longer what the plan was made from; ``current``
    holds these rows now."""
    before = reconcile(
        plan.before.rename(columns={"key": key}), current, key, columns, list(columns)
    )
    creates = arrow(plan.changes["key"]).filter(pc.equal(arrow(plan.changes["kind"]), "create"))
    there = creates.filter(pa.array(true(pc.is_in(creates, value_set=arrow(current[key])))))
    return strings(pa.concat_arrays([arrow(before.changes["key"]), there]))
