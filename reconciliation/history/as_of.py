"""Both sides as they stood on a day: what was true then, and what came later."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ..awards import is_completed, states
from ..frame import concat, empty
from ..spec import AwardStates
from ..tables import MOMENT, TEXT, looked_up
from .causes import EXPLAINED, without_comparing
from .classes import OUTSIDE
from .context import Context


def as_it_was(
    context: Context, expected: pd.DataFrame, actual: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both sides, with what was true on the day of records that have changed since, where the
    ledger knows it."""
    data, updated, then = context.matched.records.data, context.spec.updated, context.back.then
    if then is None or updated not in data:
        return expected, actual
    changed = data.loc[(data[updated] >= context.end).fillna(False), context.spec.key]
    keys = expected.loc[expected["source_key"].isin(changed), context.key]
    then = then[then["key"].isin(keys)]
    was = _replaced(context, actual, then) if context.inquiry.known_at is None else actual
    return _replaced(context, expected, then), was


def _replaced(context: Context, rows: pd.DataFrame, then: pd.DataFrame) -> pd.DataFrame:
    """``rows`` with the columns that ``then`` has of the same key."""
    names = [name for name in context.spec.columns() if name in then and name in rows]
    old = rows[context.key].isin(then["key"])
    found = looked_up(rows[context.key], then[["key", *names]], "key")
    return rows.assign(
        **{name: found[name].astype(rows[name].dtype).where(old, rows[name]) for name in names}
    )


def later(context: Context, expected: pd.DataFrame, actual: pd.DataFrame) -> pd.DataFrame:
    """``causes.EXPLAINED`` of what was not yet so on the day."""
    if not context.past:
        return empty(EXPLAINED)
    key, ours, theirs = context.key, _after(context, expected), _after(context, actual)
    row_too = expected[key].isin(actual.loc[theirs, key]) | ~expected[key].isin(actual[key])
    records = expected[ours & row_too]
    why = _why_later(context, records, expected[~ours])
    known = pd.concat([expected[key], context.known["key"]])
    rows = actual.loc[theirs & ~actual[key].isin(known), key]
    return concat(
        [
            without_comparing(records["source_key"], records[key], OUTSIDE, why, "nothing"),
            without_comparing(None, rows, OUTSIDE, "after the day", "nothing"),
        ]
    )


def _after(context: Context, rows: pd.DataFrame) -> pd.Series[bool]:
    """Which rows are of a time after the day: completed, or made, later."""
    made = pd.Series(False, rows.index)
    if "source_created_at" in rows:
        made = (rows["source_created_at"] >= context.end).fillna(False)
    if not context.spec.rule(AwardStates):
        return made
    completed = (rows["completed_on"] > context.inquiry.as_of).fillna(False)
    return made.where(~is_completed(rows), completed)


def _why_later(
    context: Context, records: pd.DataFrame, before: pd.DataFrame
) -> pd.Series[Any] | str:
    """Why each of ``records`` is later than the day; ``before``: those that are not."""
    if not context.spec.rule(AwardStates):
        return "made after the day"
    group = [context.spec.holder, "award_id"]
    held = before.loc[is_completed(before), group].drop_duplicates().assign(held=True)
    again = records[group].merge(held, on=group, how="left")["held"].notna().to_numpy()
    completed = is_completed(records)
    why = np.select(
        [completed & again, completed],
        ["renewed after the day", "completed after the day"],
        "made after the day",
    )
    return pd.Series(why, records.index, TEXT)


def with_states(
    context: Context, expected: pd.DataFrame, actual: pd.DataFrame, beside: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Awards of both sides with their states as of the day.

    beside: rows of the target that stand beside the expected ones in their groups.
    """
    columns = [context.key, *context.spec.columns()]
    unknown = pd.Series(pd.NA, expected.index, TEXT)
    fresh = expected.assign(state=unknown, superseded_by=unknown)
    whole = _states(context, concat([fresh[columns], beside[columns]]))
    ours = whole.head(len(expected)).set_axis(expected.index)
    expected = expected.assign(state=ours["state"], superseded_by=ours["superseded_by"])
    if not context.past:
        return expected, actual
    # The target itself can tell a state of today only; that of another day follows from its dates.
    theirs = _states(context, actual)
    return expected, actual.assign(state=theirs["state"], superseded_by=theirs["superseded_by"])


def _states(context: Context, rows: pd.DataFrame) -> pd.DataFrame:
    """``awards.states`` as of the day; null where a row is later."""
    begun = rows[~_after(context, rows)] if context.past else rows
    rule = context.spec.rule(AwardStates) or AwardStates()
    day, soon = context.inquiry.as_of, rule.expiring_within_days
    return states(begun, context.key, day, soon).reindex(rows.index)


def changed_at(context: Context, source_keys: pd.Series[Any]) -> pd.Series[Any]:
    """When each record was last changed, as far as the source tells."""
    data, updated = context.matched.records.data, context.spec.updated
    if updated is None or updated not in data:
        return pd.Series(pd.NA, source_keys.index, MOMENT)
    return looked_up(source_keys, data[[context.spec.key, updated]], context.spec.key)[updated]
