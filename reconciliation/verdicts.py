"""Decides, for a field that both sides may change: write our value, keep theirs, or hold the row.

The first rule that applies to a row decides. "Agreed" means that both sides once had the same
value. "We" are the source, "they" are the target.

====  =============================================================  =====================
rule  when                                                           verdict
====  =============================================================  =====================
1     the target has no such row yet                                 write
2     we have no value, and an empty value does not clear the field  keep
3     both sides say the same                                        same
4     agreed, and we have not changed it since                       keep
5     agreed, we have changed it and they have not                   write
6     agreed, both have changed it                                   ``Policy.conflict``
7     never agreed, we have no value                                 keep
8     never agreed, they have no value                               write
9     never agreed, only one side says that the person has left      HR's value counts
10    never agreed, two values                                       ``Policy.first``
====  =============================================================  =====================

``newest`` in a policy means that the value that was changed later counts. If the moment of change
is unknown on either side, the row is held.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

Verdict = Literal["write", "keep", "hold", "same"]
FACTS = (
    "there",
    "same",
    "agreed",
    "we_changed",
    "they_changed",
    "empty_here",
    "empty_there",
    "left_differs",
    "dated",
    "ours_newer",
)
"""Boolean facts about a field in each row. ``there``: the target has the row. ``left_differs``:
only one side says that the person has left. ``dated``: both moments of change are known."""


@dataclass(frozen=True)
class Policy:
    """The settings of a process that decide where the facts alone do not."""

    clears: bool = True
    """Whether an empty source value clears the target."""
    conflict: Literal["newest", "hold"] = "newest"
    """Applies if both sides have changed the value since they agreed."""
    first: Literal["source", "target", "newest", "hold"] = "source"
    """Applies if nothing was agreed yet and the two sides have different values."""
    source_is_hr: bool = False
    """Whether the source is the side that decides whether a person has left."""


def verdicts(facts: pd.DataFrame, policy: Policy) -> pd.Series[Any]:
    """Returns the verdict for each row of ``facts`` (boolean columns :data:`FACTS`)."""
    newest = np.select(
        [facts["dated"] & facts["ours_newer"], facts["dated"]], ["write", "keep"], "hold"
    )
    choices: dict[str, Any] = {
        "source": "write",
        "target": "keep",
        "hold": "hold",
        "newest": newest,
    }
    agreed = facts["agreed"]
    rules: list[tuple[pd.Series[Any], Any]] = [
        (~facts["there"], "write"),
        (facts["empty_here"] & (not policy.clears), "keep"),
        (facts["same"], "same"),
        (agreed & ~facts["we_changed"], "keep"),
        (agreed & ~facts["they_changed"], "write"),
        (agreed, choices[policy.conflict]),
        (facts["empty_here"], "keep"),
        (facts["empty_there"], "write"),
        (facts["left_differs"], "write" if policy.source_is_hr else "keep"),
    ]
    conditions = [condition for condition, _ in rules]
    results = np.select(conditions, [verdict for _, verdict in rules], choices[policy.first])
    return pd.Series(results, index=facts.index)
