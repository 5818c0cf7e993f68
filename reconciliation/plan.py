"""What has to change: a plan is a value before it is an act."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any

import pandas as pd

from .aligned import Alike, align
from .digest import digest
from .frame import arrow, concat, empty
from .tables import DTYPES

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
    """What a process is about to write. Both frames are in the order of their keys."""

    changes: pd.DataFrame
    """``kind`` · ``key`` (the target's) · ``fields`` (names of the changed columns,
    comma-separated; empty for creates) · ``reason`` · then every managed column with its new
    value."""
    before: pd.DataFrame
    """The rows that will be updated or closed, as they are: ``key`` and the managed columns."""
    unchanged: pd.Series[Any]
    """Target keys that need nothing."""
    withheld: pd.Series[Any]
    """Keys that would be created if the target had been read in full."""
    salt: bytes = b""
    """Mixed into the digest, so that nobody can guess from it whom the plan is about."""

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
        updates = self.changes[self.changes["kind"] == "update"]
        if not len(updates):
            return {}
        both = updates.merge(self.before, on="key", suffixes=("", " (before)"))
        found = {}
        for name in managed(self.changes):
            lost = both[name].isna() & both[f"{name} (before)"].notna()
            if lost.any() and name not in DERIVED:
                found[name] = (int(lost.sum()), int(both[name].notna().sum()))
        return found


def managed(changes: pd.DataFrame) -> list[str]:
    """The managed columns of a plan's changes."""
    return [name for name in changes.columns if name not in META]


def one_by_one(changes: pd.DataFrame) -> list[dict[str, Any]]:
    """A plan's changes for a system that takes them one at a time: column -> value, ``None`` where
    there is none."""
    values = zip(*(arrow(changes[name]).to_pylist() for name in changes.columns), strict=True)
    return [dict(zip(changes.columns, row, strict=True)) for row in values]


def reconcile(
    desired: pd.DataFrame,
    target: pd.DataFrame,
    key: str,
    columns: Mapping[str, str],
    compared: Sequence[str],
    *,
    doubtful: pd.Series[Any] | None = None,
    alike: Alike | None = None,
) -> Plan:
    """The changes that make ``target`` hold ``desired``: creates and updates. A row that is absent
    says nothing. The order of rows does not matter.

    Args:
        desired: ``key`` (unique) and ``columns``.
        target: the same of the target's rows.
        key: the column that identifies a row.
        columns: the managed columns, name -> kind.
        compared: the columns whose difference is a reason to update.
        doubtful: keys that are not created though they were not seen, because the target could not
            be read in full.
        alike: column -> function that brings its values into the form in which they are
            compared.
    """
    found = align(desired, target, key, compared, alike)
    new = desired[found.alone]
    unseen = new[key].isin(doubtful if doubtful is not None else [])
    differing = desired.iloc[found.ours[found.touched]]
    creates = _changes("create", new[~unseen], key, columns, "")
    updates = _changes("update", differing, key, columns, found.fields(compared))
    was = target.iloc[found.theirs[found.touched]]
    return Plan(
        _in_order(concat([creates, updates])),
        _in_order(_before(was, key, columns)),
        desired[key].iloc[found.ours[~found.touched]].reset_index(drop=True),
        new.loc[unseen, key].reset_index(drop=True),
    )


def _changes(
    kind: str,
    rows: pd.DataFrame,
    key: str,
    columns: Mapping[str, str],
    fields: str | Sequence[str],
    reason: str | None = None,
) -> pd.DataFrame:
    """Changes of one kind, one for each of ``rows``, which has ``key`` and ``columns``."""
    about = {"kind": kind, "key": rows[key], "fields": fields, "reason": reason}
    named = pd.DataFrame(about, index=rows.index).astype(DTYPES["text"])
    return pd.concat([named, rows[list(columns)]], axis=1)


def _before(rows: pd.DataFrame, key: str, columns: Mapping[str, str]) -> pd.DataFrame:
    return rows[[key, *columns]].rename(columns={key: "key"})


def _in_order(part: pd.DataFrame) -> pd.DataFrame:
    return part.sort_values("key", ignore_index=True)


def _with(plan: Plan, changes: pd.DataFrame, before: pd.DataFrame) -> Plan:
    """``plan`` with other changes, in the order of their keys: the same changes are the same rows
    in the same places."""
    return replace(plan, changes=_in_order(changes), before=_in_order(before))


def because(plan: Plan, known: pd.Series[Any], own: pd.Series[Any]) -> Plan:
    """``plan`` with the reasons of its creates and updates.

    Args:
        plan: the plan.
        known: keys of the target rows whose source record has not changed since it was last loaded.
        own: keys of the target rows whose source record was read.
    """
    changes = plan.changes
    unchanged, read = changes["key"].isin(known), changes["key"].isin(own)
    derived = pd.Series(
        [bool(fields) and set(fields.split(",")) <= DERIVED for fields in changes["fields"]],
        index=changes.index,
        dtype=bool,
    )
    reason = pd.Series(CHANGED, index=changes.index, dtype=DTYPES["text"])
    reason = reason.mask(unchanged, EDITED)
    reason = reason.mask((derived & unchanged) | ~read, FOLLOWS)
    reason = reason.mask(changes["kind"] == "create", NEW)
    return replace(plan, changes=changes.assign(reason=changes["reason"].fillna(reason)))


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
    rows = leavers[~is_closed(leavers, closed, alike or {})]
    if not len(rows):
        return plan
    after = rows.assign(
        **{
            name: pd.Series(value, index=rows.index, dtype=rows[name].dtype)
            for name, value in closed.items()
        }
    )
    added = _changes("close", after, key, columns, ",".join(closed), reason)
    before = _before(rows, key, columns)
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
    amiss = rejected[rejected["key"].notna() & rejected["field"].isin(ours)]
    amiss = amiss.drop_duplicates("key")[["key", "field"]].rename(columns={"field": "column amiss"})
    rows = wanted.merge(amiss, left_on=key, right_on="key", suffixes=("", " of the rejected"))
    rows = rows[~rows[key].isin(plan.changes["key"])]
    if not len(rows):
        return plan
    added = _changes("update", rows, key, columns, rows["column amiss"].tolist(), MENDS)
    return _with(plan, concat([plan.changes, added]), plan.before)


def is_closed(rows: pd.DataFrame, closed: Mapping[str, str | date], alike: Alike) -> pd.Series[Any]:
    """Which rows are as closing would make them."""
    done = pd.Series(bool(closed), index=rows.index)
    for name, value in closed.items():
        column = alike[name](rows[name]) if name in alike else rows[name]
        met = column == value if isinstance(value, str) else column <= value
        done &= met.fillna(False).astype(bool)
    return done


def as_closes(plan: Plan, closed: Mapping[str, str | date], alike: Alike) -> Plan:
    """``plan`` with the updates that close a row named so: a guard must see them as what they
    are."""
    changes = plan.changes
    closed_before = plan.before.loc[is_closed(plan.before, closed, alike), "key"]
    closes = is_closed(changes, closed, alike) & ~changes["key"].isin(closed_before)
    kinds = changes["kind"].mask(closes & (changes["kind"] == "update"), "close")
    return replace(plan, changes=changes.assign(kind=kinds))


def leaving_out(plan: Plan, keys: pd.Series[Any]) -> Plan:
    """``plan`` without the changes of these keys."""
    if not len(keys):
        return plan
    changes, before = (
        part[~part["key"].isin(keys)].reset_index(drop=True) for part in (plan.changes, plan.before)
    )
    return replace(plan, changes=changes, before=before)


def apply_to(
    target: pd.DataFrame, plan: Plan, key: str, columns: Mapping[str, str]
) -> pd.DataFrame:
    """The model of a perfect target: ``target`` after every change of ``plan`` was carried out."""
    kept = target[~target[key].isin(plan.changes["key"])]
    written = plan.changes.rename(columns={"key": key})[[key, *columns]]
    if not len(kept) and not len(written):
        return empty({key: "text", **columns})
    return concat([kept[[key, *columns]], written]).reset_index(drop=True)


def already(
    plan: Plan, current: pd.DataFrame, key: str, columns: Mapping[str, str]
) -> pd.Series[Any]:
    """Keys of the changes that ``current`` shows as carried out."""
    wanted = plan.changes.rename(columns={"key": key})
    return reconcile(wanted, current, key, columns, list(columns)).unchanged


def moved(
    plan: Plan, current: pd.DataFrame, key: str, columns: Mapping[str, str]
) -> pd.Series[Any]:
    """Keys of the changes whose target row is no longer what the plan was made from; ``current``
    holds these rows now."""
    was = plan.before.rename(columns={"key": key})
    changed = reconcile(was, current, key, columns, list(columns)).changes["key"]
    creates = plan.changes.loc[plan.changes["kind"] == "create", "key"]
    return pd.concat([changed, creates[creates.isin(current[key])]], ignore_index=True)
