"""Which rows are ours."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .frame import arrow, fold, folded, strings, true
from .spec import Clause, Scope
from .values import CUSTOM, shown

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def meets(data: pd.DataFrame, clause: Clause, today: date, now: datetime) -> Mask:
    """True for the rows that meet one clause."""
    column = arrow(data[clause.column])
    if clause.op in ("in", "not_in"):
        if clause.column.startswith(CUSTOM):
            column = pa.array([shown(text) for text in strings(column)], pa.string())
        met = true(
            pc.is_in(folded(column), pa.array([fold(v) for v in clause.values], pa.string()))
        )
        met = met if clause.op == "in" else ~met
    elif clause.op == "present":
        met = np.asarray(pc.is_valid(column))
    elif clause.op == "future":
        met = true(pc.greater(column, pa.scalar(now, column.type)))
    else:
        met = true(pc.greater(column.cast(pa.date32()), pa.scalar(today)))
    return met if clause.when is None else met | ~meets(data, clause.when, today, now)


def in_scope(data: pd.DataFrame, scope: Scope, today: date, now: datetime) -> Mask:
    """True for the rows that meet every clause; a row without a value meets no clause on it but
    ``not_in``.

    today: the tenant's day. now: the moment of the run, with an offset.
    """
    mask: Mask = np.ones(len(data), dtype=bool)
    for clause in scope.clauses:
        mask &= meets(data, clause, today, now)
    return mask


def pushdown(scope: Scope, first: bool) -> tuple[Clause, ...]:
    """The clauses that the source may apply itself.

    None where a row that has left the scope matters, unless nothing was loaded yet (``first``):
    what is not there cannot leave. Conditional clauses and negations stay here. The whole scope is
    applied to the frame all the same: pushing down saves rows, it decides nothing.
    """
    if scope.leaves != "ignore" and not first:
        return ()
    return tuple(
        clause
        for clause in scope.clauses
        if clause.op in ("in", "after", "future") and clause.when is None
    )
