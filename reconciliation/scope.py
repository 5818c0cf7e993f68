"""Decides which rows are in the scope of a process."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pandas as pd

from .frame import fold
from .spec import Clause, Scope
from .tables import DTYPES, folded
from .translate import plain_custom
from .values import CUSTOM_PREFIX


def meets(data: pd.DataFrame, clause: Clause, today: date, now: datetime) -> pd.Series[Any]:
    """Returns the mask of rows that meet one clause."""
    column = data[clause.column]
    if clause.op in ("in", "not_in"):
        text = plain_custom(column) if clause.column.startswith(CUSTOM_PREFIX) else column
        met = folded(text).isin([fold(value) for value in clause.values])
        met = met if clause.op == "in" else ~met
    elif clause.op == "present":
        met = column.notna()
    elif clause.op == "future":
        met = (column > now).fillna(False).astype(bool)
    else:
        met = (column.astype(DTYPES["day"]) > today).fillna(False).astype(bool)
    return met if clause.when is None else met | ~meets(data, clause.when, today, now)


def in_scope(data: pd.DataFrame, scope: Scope, today: date, now: datetime) -> pd.Series[Any]:
    """Returns the mask of rows that meet every clause. A row without a value meets only ``not_in``.

    Args:
        data: the feed's columns.
        scope: the clauses.
        today: the tenant's day.
        now: the moment of the run (UTC).
    """
    met = pd.Series(True, index=data.index)
    for clause in scope.clauses:
        met &= meets(data, clause, today, now)
    return met


def pushdown(scope: Scope, first: bool) -> tuple[Clause, ...]:
    """Returns the clauses that the source itself may apply, to send fewer rows. The whole scope is
    applied to the frame afterwards in any case.

    If the process acts on records that leave the scope, no clause is returned, unless nothing was
    loaded yet (``first``). Conditional clauses and negations are never passed on.
    """
    if scope.leaves != "ignore" and not first:
        return ()
    return tuple(
        clause
        for clause in scope.clauses
        if clause.op in ("in", "after", "future") and clause.when is None
    )
