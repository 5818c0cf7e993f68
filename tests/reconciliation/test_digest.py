"""A digest names exactly one plan."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pyarrow as pa
from hypothesis import assume, given
from hypothesis import strategies as st

from reconciliation.digest import digest
from reconciliation.frame import arrow
from reconciliation.plan import reconcile
from tests.examples import examples

from .rows import COLUMNS, ROWS, TABLE, side, table


def test_a_digest_tells_null_from_blank_and_one_value_from_another() -> None:
    digests = {
        reconcile(
            side({"k": (name, None, None, None)}), side({}), "key", COLUMNS, list(COLUMNS)
        ).digest
        for name in (None, "", "a", "b")
    }
    assert len(digests) == 4


@examples(100)
@given(source=ROWS, target=ROWS, data=st.data())
def test_law_8_a_digest_names_exactly_one_plan(
    source: dict[str, tuple[object, ...]],
    target: dict[str, tuple[object, ...]],
    data: st.DataObject,
) -> None:
    """One cell changed anywhere, after or before, is another digest; the reasons alone are not."""
    plan = reconcile(table(source), table(target), "key", TABLE, list(TABLE))
    assume(len(plan.changes))
    assert digest(plan.changes.assign(reason="told otherwise"), plan.before) == plan.digest
    frames = {"changes": plan.changes, "before": plan.before}
    name = data.draw(st.sampled_from([n for n in frames if len(frames[n])]))
    part = frames[name].drop(columns="reason", errors="ignore")
    column = data.draw(st.sampled_from(list(part.columns)))
    place = data.draw(st.integers(0, len(part) - 1))
    values = arrow(part[column]).to_pylist()
    others: dict[str, list[Any]] = {
        "day": [None, date(2026, 1, 1), date(2026, 1, 3)],
        "flag": [None, True, False],
    }
    other = data.draw(
        st.sampled_from([v for v in others.get(column, ["", "z", None]) if v != values[place]])
    )
    values[place] = other
    tampered = frames[name].assign(
        **{column: pd.arrays.ArrowExtensionArray(pa.array(values, arrow(part[column]).type))}
    )
    frames[name] = tampered
    assert digest(**frames) != plan.digest
