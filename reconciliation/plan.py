"""Makes plans: the changes that bring the target to the wanted state. A plan is never modified; a
changed one takes its place."""

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
from .tables import DTYPES, looked_up, texts

KINDS = ("create", "update", "close")
META = ("kind", "key", "fields", "reason")
"""The columns of a plan's changes in addition to the managed ones."""
DERIVED = {"state", "superseded_by"}
"""Columns that follow from other records and from the day, not from the record alone."""
NEW, CHANGED = "was new", "had changed"
EDITED = "was changed in the target; the record itself has not changed"
MENDS = "has a value in the target that cannot be read; it is replaced by the source's value"
FOLLOWS = "follows from other records or from the day"
LEFT, GONE, AWAY = (
    "has left the scope",
    "is no longer in the source",
    "belongs to somebody else now",
)
"""The three reasons for closing a row."""


@dataclass(frozen=True)
class Plan:
    """The changes that a process is about to write. Both frames are sorted by key."""

    changes: pd.DataFrame
    """``kind`` · ``key`` (the target's) · ``fields`` (names of the changed columns,
    comma-separated; empty for creates) · ``reason`` · then every managed column with its new
    value."""
    before: pd.DataFrame
    """The rows that will be updated or closed, with their values before that: ``key`` and the
    managed columns."""
    unchanged: pd.Series[Any]
    """Target keys of rows that need no change."""
    withheld: pd.Series[Any]
    """Keys of rows that are not created, because the target could not be read in full and may
    already have them."""
    salt: bytes = b""
    """Secret mixed into the digest, so that nobody can guess from it whom the plan is about."""

    @cached_property
    def digest(self) -> str:
        """Digest of exactly these changes and the values that they replace, without the reasons."""
        return digest(self.changes, self.before, self.salt)

    def counts(self) -> dict[str, int]:
        """Returns kind of change -> number of rows."""
        number = self.changes["kind"].value_counts()
        return {kind: int(number.get(kind, 0)) for kind in KINDS}

    def emptied(self) -> dict[str, tuple[int, int]]:
        """Returns column -> (number of updated rows that lose their value, number of updated rows
        that have a value afterwards). Only columns that lose a value are listed."""
        updates = self.changes[self.changes["kind"] == "update"]
        if not len(updates):
            return {}
        before = looked_up(updates["key"], self.before, "key")
        counts = {}
        changed = {name for fields in updates["fields"] for name in fields.split(",")}
        for name in sorted(changed - DERIVED):
            lost = updates[name].isna() & before[name].notna()
            if lost.any():
                counts[name] = (int(lost.sum()), int(updates[name].notna().sum()))
        return counts


def no_changes(columns: Mapping[str, str], salt: bytes = b"") -> Plan:
    """Returns a plan without changes. ``columns`` are the managed columns, name -> kind."""
    changes = empty({**dict.fromkeys(META, "text"), **columns})
    return Plan(changes, empty({"key": "text", **columns}), texts(), texts(), salt)


def managed(changes: pd.DataFrame) -> list[str]:
    """Returns the managed columns of a plan's changes."""
    return [name for name in changes.columns if name not in META]


def one_by_one(changes: pd.DataFrame) -> list[dict[str, Any]]:
    """Returns a plan's changes as a list of dicts, for a system that takes them one at a time. A
    missing value is ``None``."""
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
    """Plans the creates and updates that make ``target`` hold ``desired``. A row that is missing in
    ``desired`` is left alone. The order of rows does not matter.

    Args:
        desired: ``key`` (unique) and ``columns``.
        target: the target's rows, with the same columns.
        key: the column that identifies a row.
        columns: the managed columns, name -> kind.
        compared: the columns whose difference is a reason to update.
        doubtful: keys of rows that the target may have although it did not show them. They are not
            created.
        alike: column -> function that brings its values into the form in which they are
            compared.
    """
    aligned = align(desired, target, key, compared, alike)
    new = desired[aligned.alone]
    unseen = new[key].isin(doubtful if doubtful is not None else [])
    differing = desired.iloc[aligned.ours[aligned.touched]]
    creates = _changes("create", new[~unseen], key, columns, "")
    updates = _changes("update", differing, key, columns, aligned.fields(compared))
    before = target.iloc[aligned.theirs[aligned.touched]]
    return Plan(
        _in_order(concat([creates, updates])),
        _in_order(_before(before, key, columns)),
        desired[key].iloc[aligned.ours[~aligned.touched]].reset_index(drop=True),
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
    """Builds one change of this kind for each row. ``rows`` has the columns ``key`` and
    ``columns``."""
    if not len(rows):
        return no_changes(columns).changes
    values = {"kind": kind, "key": rows[key], "fields": fields, "reason": reason}
    meta = pd.DataFrame(values, index=rows.index).astype(DTYPES["text"])
    return pd.concat([meta, rows[list(columns)]], axis=1)


def _before(rows: pd.DataFrame, key: str, columns: Mapping[str, str]) -> pd.DataFrame:
    return rows[[key, *columns]].rename(columns={key: "key"})


def _in_order(part: pd.DataFrame) -> pd.DataFrame:
    return part.sort_values("key", ignore_index=True)


def _with(plan: Plan, changes: pd.DataFrame, before: pd.DataFrame) -> Plan:
    """Replaces the changes of ``plan``, sorted by key, so that equal plans have their rows in the
    same order."""
    return replace(plan, changes=_in_order(changes), before=_in_order(before))


def because(plan: Plan, known: pd.Series[Any], own: pd.Series[Any]) -> Plan:
    """Adds the reasons of creates and updates to ``plan``.

    Args:
        plan: the plan.
        known: keys of the target rows whose source record has not changed since it was last loaded.
        own: keys of the target rows whose source record was read.
    """
    changes = plan.changes
    unchanged, read = changes["key"].isin(known), changes["key"].isin(own)
    only_derived = pd.Series(
        [bool(fields) and set(fields.split(",")) <= DERIVED for fields in changes["fields"]],
        index=changes.index,
        dtype=bool,
    )
    reason = pd.Series(CHANGED, index=changes.index, dtype=DTYPES["text"])
    reason = reason.mask(unchanged, EDITED)
    reason = reason.mask((only_derived & unchanged) | ~read, FOLLOWS)
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
    """Adds closes to ``plan`` for ``leavers``: target rows whose record has left the scope or is
    gone.

    ``closed`` is column -> value of a closed row. Rows that are already closed stay as they are
    (:func:`is_closed`).
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
    """Adds updates to ``plan`` for rows of the target that cannot be read because of one column.
    The update replaces that column.

    The present values of these rows are not known, so ``before`` has no row for them. Their keys
    stay in ``withheld`` until a later run can read the rows.

    Args:
        plan: the plan.
        wanted: the rows that the target should hold: ``key`` and ``columns``.
        rejected: the target's ``snapshot.REJECTED``.
        key: the column that identifies a row.
        columns: the managed columns, name -> kind.
        ours: the columns whose value the source decides.
    """
    faulty = rejected[rejected["key"].notna() & rejected["field"].isin(ours)]
    faulty = faulty.drop_duplicates("key")[["key", "field"]]
    faulty = faulty.rename(columns={"field": "faulty column"})
    rows = wanted.merge(faulty, left_on=key, right_on="key", suffixes=("", " of the rejected"))
    rows = rows[~rows[key].isin(plan.changes["key"])]
    if not len(rows):
        return plan
    added = _changes("update", rows, key, columns, rows["faulty column"].tolist(), MENDS)
    return _with(plan, concat([plan.changes, added]), plan.before)


def is_closed(rows: pd.DataFrame, closed: Mapping[str, str | date], alike: Alike) -> pd.Series[Any]:
    """Returns the mask of rows that are closed: they have the values of ``closed`` (column ->
    value). A date may also be earlier than the one in ``closed``."""
    mask = pd.Series(bool(closed), index=rows.index)
    for name, value in closed.items():
        column = alike[name](rows[name]) if name in alike else rows[name]
        matches = column == value if isinstance(value, str) else column <= value
        mask &= matches.fillna(False).astype(bool)
    return mask


def as_closes(plan: Plan, closed: Mapping[str, str | date], alike: Alike) -> Plan:
    """Marks the updates of ``plan`` that close a row as closes, so that the guard counts them."""
    changes = plan.changes
    closed_before = plan.before.loc[is_closed(plan.before, closed, alike), "key"]
    closes = is_closed(changes, closed, alike) & ~changes["key"].isin(closed_before)
    kinds = changes["kind"].mask(closes & (changes["kind"] == "update"), "close")
    return replace(plan, changes=changes.assign(kind=kinds))


def leaving_out(plan: Plan, keys: pd.Series[Any]) -> Plan:
    """Returns ``plan`` without the changes of these keys."""
    if not len(keys):
        return plan
    changes, before = (
        part[~part["key"].isin(keys)].reset_index(drop=True) for part in (plan.changes, plan.before)
    )
    return replace(plan, changes=changes, before=before)


def apply_to(
    target: pd.DataFrame, plan: Plan, key: str, columns: Mapping[str, str]
) -> pd.DataFrame:
    """Models a perfect target: returns ``target`` after every change of ``plan``."""
    untouched = target[~target[key].isin(plan.changes["key"])]
    written = plan.changes.rename(columns={"key": key})[[key, *columns]]
    if not len(untouched) and not len(written):
        return empty({key: "text", **columns})
    return concat([untouched[[key, *columns]], written]).reset_index(drop=True)


def already(
    plan: Plan, current: pd.DataFrame, key: str, columns: Mapping[str, str]
) -> pd.Series[Any]:
    """Returns the keys of the changes that ``current`` (rows of the target) shows as carried
    out."""
    wanted = plan.changes.rename(columns={"key": key})
    return reconcile(wanted, current, key, columns, list(columns)).unchanged


def moved(
    plan: Plan, current: pd.DataFrame, key: str, columns: Mapping[str, str]
) -> pd.Series[Any]:
    """Returns the keys of the changes that no longer fit: since the plan was made, the row has
    changed or was created. ``current`` has the target's present rows."""
    before = plan.before.rename(columns={"key": key})
    changed = reconcile(before, current, key, columns, list(columns)).changes["key"]
    creates = plan.changes.loc[plan.changes["kind"] == "create", "key"]
    return pd.concat([changed, creates[creates.isin(current[key])]], ignore_index=True)
