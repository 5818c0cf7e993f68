"""Which rows are ours."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .frame import arrow, fold, folded, true
from .spec import Clause, Scope

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def _meets(data: pd.DataFrame, clause: Clause, today: date) -> Mask:
    column = arrow(data[clause.column])
    if clause.op == "in":
        meets = true(pc.is_in(folded(column), pa.array([fold(v) for v in clause.values], pa.string())))
    else:
        meets = true(pc.greater(column.cast(pa.date32()), pa.scalar(today)))
    return meets if clause.when is None else meets | ~_meets(data, clause.when, today)


def in_scope(data: pd.DataFrame, scope: Scope, today: date) -> Mask:
    """True for the rows that meet every clause; a row without a value meets no clause on it."""
    mask: Mask = np.ones(len(data), dtype=bool)
    for clause in scope.clauses:
        mask &= _meets(data, clause, today)
    return mask


def pushdown(scope: Scope) -> tuple[Clause, ...]:
    """The clauses that the source may apply itself.

    None where leaving the scope closes the HR row: then rows out of scope must be seen. Conditional and day clauses
    stay here. The whole scope is applied to the frame all the same: pushing down saves rows, it decides nothing.
    """
    if scope.leaves == "close":
        return ()
    return tuple(clause for clause in scope.clauses if clause.op == "in" and clause.when is None)
