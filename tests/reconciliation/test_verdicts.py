"""Whose value counts: every combination of facts and policies, against the table as it reads."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pandas as pd
import pytest

from reconciliation.verdicts import FACTS, Policy, Verdict, verdicts

NEWEST, HOLD = "newest", "hold"
POLICIES = [
    Policy(clears, conflict, first, source_is_hr)
    for clears, conflict, first, source_is_hr in product(
        (True, False), (NEWEST, HOLD), ("source", "target", NEWEST, HOLD), (True, False)
    )
]


def by_the_table(row: dict[str, bool], policy: Policy) -> Verdict:
    """The docstring of ``verdicts``, rule by rule, for one row."""
    later: Verdict = "hold" if not row["dated"] else "write" if row["ours_newer"] else "keep"
    by_time: dict[str, Verdict] = {"source": "write", "target": "keep", NEWEST: later, HOLD: "hold"}
    if not row["there"]:
        return "write"
    if row["empty_here"] and not policy.clears:
        return "keep"
    if row["same"]:
        return "same"
    if row["agreed"]:
        if not row["we_changed"]:
            return "keep"
        return by_time[policy.conflict] if row["they_changed"] else "write"
    if row["empty_here"]:
        return "keep"
    if row["empty_there"]:
        return "write"
    if row["left_differs"]:
        return "write" if policy.source_is_hr else "keep"
    return by_time[policy.first]


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_law_4_every_combination_of_facts_has_the_verdict_of_the_table(policy: Policy) -> None:
    rows = [dict(zip(FACTS, row, strict=True)) for row in product((True, False), repeat=len(FACTS))]
    found = verdicts(pd.DataFrame(rows), policy)
    assert found.tolist() == [by_the_table(row, policy) for row in rows]
    assert set(found) <= set(get_args(Verdict))


def test_a_verdict_depends_on_its_own_row_alone() -> None:
    rows = pd.DataFrame([dict.fromkeys(FACTS, False), dict.fromkeys(FACTS, True)], index=[7, 3])
    both = verdicts(rows, Policy())
    assert both.to_dict() == {
        index: verdicts(rows.loc[[index]], Policy())[index] for index in rows.index
    }
