"""Rebuilds both sides as they stood on a past day, and separates what came later."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..awards import is_completed, states
from ..frame import concat, empty
from ..spec import AwardStates
from ..tables import MOMENT, TEXT, looked_up
from .causes import EXPLAINED, NO_ACTION, without_comparing
from .classes import OUTSIDE
from .context import Context


def as_it_was(
    context: Context, expected: pd.DataFrame, actual: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns both sides with the values of the day for records that have changed since. Only
    records of which the ledger has a version are replaced."""
    data, updated, versions = context.matched.records.data, context.spec.updated, context.back.then
    if versions is None or updated not in data:
        return expected, actual
    changed_since = data.loc[(data[updated] >= context.end).fillna(False), context.spec.key]
    keys = expected.loc[expected["source_key"].isin(changed_since), context.key]
    versions = versions[versions["key"].isin(keys)]
    old_expected = _replaced(context, expected, versions)
    if context.inquiry.known_at is not None:
        # ``actual`` comes from the ledger and is in its old state already.
        return old_expected, actual
    return old_expected, _replaced(context, actual, versions)


def _replaced(context: Context, rows: pd.DataFrame, versions: pd.DataFrame) -> pd.DataFrame:
    """Replaces the values of ``rows`` with those of ``versions``, for the keys and columns that
    both have."""
    names = [name for name in context.spec.columns() if name in versions and name in rows]
    has_version = rows[context.key].isin(versions["key"])
    old = looked_up(rows[context.key], versions[["key", *names]], "key")
    return rows.assign(
        **{
            name: old[name].astype(rows[name].dtype).where(has_version, rows[name])
            for name in names
        }
    )


def later(context: Context, expected: pd.DataFrame, actual: pd.DataFrame) -> pd.DataFrame:
    """Returns records and rows that came after the day, as ``causes.EXPLAINED``; they are not
    compared."""
    if not context.past:
        return empty(EXPLAINED)
    key, ours, theirs = context.key, _after(context, expected), _after(context, actual)
    # A record is left out only if its row in the target is later too, or does not exist. A row that
    # claims an earlier day is compared: there the two sides disagree.
    row_too = expected[key].isin(actual.loc[theirs, key]) | ~expected[key].isin(actual[key])
    records = expected[ours & row_too]
    why = _why_later(context, records, expected[~ours])
    known = pd.concat([expected[key], context.known["key"]])
    rows = actual.loc[theirs & ~actual[key].isin(known), key]
    return concat(
        [
            without_comparing(records["source_key"], records[key], OUTSIDE, why, NO_ACTION),
            without_comparing(None, rows, OUTSIDE, "after the day", NO_ACTION),
        ]
    )


def _after(context: Context, rows: pd.DataFrame) -> pd.Series[bool]:
    """Returns the mask of rows that came after the day.

    For a completed award the day of completion decides, for other rows the moment of creation.
    """
    created_later = pd.Series(False, rows.index)
    if "source_created_at" in rows:
        created_later = (rows["source_created_at"] >= context.end).fillna(False)
    if not context.spec.rule(AwardStates):
        return created_later
    completed_later = (rows["completed_on"] > context.inquiry.as_of).fillna(False)
    return created_later.where(~is_completed(rows), completed_later)


def _why_later(
    context: Context, records: pd.DataFrame, before: pd.DataFrame
) -> pd.Series[Any] | str:
    """Returns the reason why each of ``records`` is later than the day. ``before`` are the records
    that are not later: a completion of an award that its holder had before is a renewal."""
    if not context.spec.rule(AwardStates):
        return "made after the day"
    group = [context.spec.holder, "award_id"]
    had = before.loc[is_completed(before), group].drop_duplicates().assign(had_it=True)
    had_it = records[group].merge(had, on=group, how="left")["had_it"].notna().to_numpy()
    completed = is_completed(records)
    why = np.select(
        [completed & had_it, completed],
        ["renewed after the day", "completed after the day"],
        "made after the day",
    )
    return pd.Series(why, records.index, TEXT)


def with_states(
    context: Context, expected: pd.DataFrame, actual: pd.DataFrame, beside: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Returns the awards of both sides with their states as of the day.

    Args:
        context: the inquiry and its data.
        expected: the awards that the target should hold.
        actual: the awards that it holds.
        beside: other rows of the target that may belong to the same groups (holder and award) as
            the expected ones, and so decide which award is superseded.
    """
    columns = [context.key, *context.spec.columns()]
    unknown = pd.Series(pd.NA, expected.index, TEXT)
    without_states = expected.assign(state=unknown, superseded_by=unknown)
    all_states = _states(context, concat([without_states[columns], beside[columns]]))
    ours = all_states.head(len(expected)).set_axis(expected.index)
    expected = expected.assign(state=ours["state"], superseded_by=ours["superseded_by"])
    if not context.past:
        return expected, actual
    # The target stores the states of today only. Those of another day follow from its dates.
    theirs = _states(context, actual)
    return expected, actual.assign(state=theirs["state"], superseded_by=theirs["superseded_by"])


def _states(context: Context, rows: pd.DataFrame) -> pd.DataFrame:
    """Computes ``awards.states`` as of the day; null where a row came after the day."""
    until_day = rows[~_after(context, rows)] if context.past else rows
    rule = context.spec.rule(AwardStates) or AwardStates()
    day, soon = context.inquiry.as_of, rule.expiring_within_days
    return states(until_day, context.key, day, soon).reindex(rows.index)


def changed_at(context: Context, source_keys: pd.Series[Any]) -> pd.Series[Any]:
    """Returns the moment of each record's last change; null where the source does not give it."""
    data, updated = context.matched.records.data, context.spec.updated
    if updated is None or updated not in data:
        return pd.Series(pd.NA, source_keys.index, MOMENT)
    return looked_up(source_keys, data[[context.spec.key, updated]], context.spec.key)[updated]
