"""Finds the records and rows whose class is decided before any value is compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ..desired import WAITS
from ..frame import concat, empty
from ..identifiers import identifiers
from ..ownership import CONFLICT
from ..plan import is_closed
from ..translate import alike_of
from .causes import BOTH, EXPLAINED, NO_ACTION, REMEDIES, UNLINKED, without_comparing
from .classes import AMBIGUOUS, DIFFERS, EQUAL, MISSING, OUTSIDE, QUARANTINED
from .context import Context

MEND = "correct the record in the source, then: hrsync quarantine replay"
MEND_THERE = "correct the row in the target"
LOOK = "review it: hrsync quarantine list"
DECIDE = "choose the row: hrsync links list --held, hrsync links set"


def waiting(context: Context) -> Iterator[pd.DataFrame]:
    """Yields ``causes.EXPLAINED`` of records and rows that wait for a person: unreadable,
    ambiguous, held, refused or discarded."""
    yield from _unreadable(context)
    yield from _held(context)
    yield from _decided_by_others(context)


def outside(context: Context) -> pd.DataFrame:
    """Returns the records out of the scope of the process, as ``causes.EXPLAINED``."""
    keys = context.matched.records.outside[context.spec.key]
    return _records(context, keys, OUTSIDE, "not in the scope of the process", NO_ACTION)


def candidates(context: Context) -> pd.DataFrame:
    """Returns the rows of the target that share an identifier with an ambiguous record."""
    data, rows = context.matched.records.data, context.rows
    ambiguous = data[data[context.spec.key].isin(context.matched.rows.matched.held["key"])]
    mask = pd.Series(False, rows.index)
    for rule in context.spec.match:
        if rule.source:
            values = identifiers(ambiguous[rule.source]).dropna()
            mask |= identifiers(rows[rule.target]).isin(values)
    keys = rows.loc[mask & ~rows[context.key].isin(context.known["key"]), context.key]
    return without_comparing(None, keys, AMBIGUOUS, "several records may be this row", DECIDE)


def closed(context: Context, expected: pd.DataFrame, actual: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows that are closed and have no record, which is right."""
    as_of, ends = context.inquiry.as_of, context.spec.scope.closed
    closing = {name: as_of if value == "today" else value for name, value in ends}
    without_record = ~actual[context.key].isin(expected[context.key])
    right = without_record & is_closed(actual, closing, alike_of(context.spec))
    return without_comparing(None, actual.loc[right, context.key], EQUAL)


def foreign(context: Context, expected: pd.DataFrame, actual: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of accessplanit that do not come from HR. They are no fault, because
    accessplanit has training data of its own."""
    if context.spec.direction == "to_hr":
        return empty(EXPLAINED)
    known = pd.concat([expected[context.key], context.known["key"]])
    keys = actual.loc[~actual[context.key].isin(known), context.key]
    return without_comparing(None, keys, OUTSIDE, "not from the source", NO_ACTION)


def _unreadable(context: Context) -> Iterator[pd.DataFrame]:
    rejected, lost = (
        context.matched.records.fresh.read.rejected,
        context.matched.rows.current.rejected,
    )
    yield _records(context, rejected["key"], QUARANTINED, _why(rejected), MEND)
    why = "unreadable in the target: " + _why(lost)
    yield without_comparing(None, lost["key"], QUARANTINED, why, MEND_THERE)


def _held(context: Context) -> Iterator[pd.DataFrame]:
    ambiguous, no_person = context.matched.rows.matched.held, WAITS[context.spec.direction]
    yield _records(context, ambiguous["key"], AMBIGUOUS, ambiguous["reason"], DECIDE)
    held = concat([context.matched.records.waiting, context.matched.decided.held]).drop_duplicates(
        "key"
    )
    keys = held.loc[held["reason"] == no_person, "key"]
    # A record that a run has already put into quarantine waits there, and is not missing. Nor is
    # one whose row the target has, because its person's link was removed afterwards.
    in_quarantine = keys.isin(context.back.open["key"])
    not_missing = in_quarantine | context.rows_of(keys).notna()
    classes = np.where(not_missing, QUARANTINED, MISSING)
    yield _records(context, keys, classes, UNLINKED, REMEDIES[UNLINKED])
    conflicts = held.loc[held["reason"] == CONFLICT, "key"]
    yield _records(context, conflicts, DIFFERS, BOTH, REMEDIES[BOTH])
    rest = held[~held["reason"].isin([no_person, CONFLICT])]
    yield _records(context, rest["key"], QUARANTINED, _why(rest), LOOK)


def _decided_by_others(context: Context) -> Iterator[pd.DataFrame]:
    """Yields records that the target has refused or a person has discarded, if they have not
    changed since."""
    now = context.matched.records.everything[[context.spec.key, "hash"]].set_axis(
        ["key", "hash"], axis=1
    )
    entries = context.back.open[context.back.open["stage"].isin(["failed", "discarded"])]
    same = entries.merge(now, on=["key", "hash"]).drop_duplicates("key")
    keys = same.loc[same["stage"] == "discarded", "key"]
    yield _records(context, keys, QUARANTINED, "discarded by a person", NO_ACTION)
    refused = same[same["stage"] == "failed"]
    why = "refused by the target: " + refused["reason"]
    yield _records(context, refused["key"], QUARANTINED, why, LOOK)


def _records(
    context: Context,
    keys: pd.Series[Any],
    name: Any,
    cause: pd.Series[Any] | str,
    remedy: str,
) -> pd.DataFrame:
    """Builds ``causes.EXPLAINED`` for records by their source keys, with the keys of their rows.
    The class is ``name``."""
    return without_comparing(keys, context.rows_of(keys), name, cause, remedy)


def _why(problems: pd.DataFrame) -> pd.Series[Any]:
    return problems["field"].fillna("") + " " + problems["reason"]
