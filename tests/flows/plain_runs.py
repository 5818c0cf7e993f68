"""Runs of flows without Prefect, for tests that are about what a run does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from flows.catalogue import PROCESSES
from tests.sides import Side


def run(
    side: Side,
    flow: str,
    filters: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Counter[str]:
    """Runs the processes of a flow with these fields of its form. Returns how many rows had each
    outcome."""
    outcomes: Counter[str] = Counter()
    for chosen in (each for each in PROCESSES.values() if each.flow.name == flow):
        form = chosen.filters.of(filters or {})
        order = chosen.options.of(options or {}).order()
        through = partial(chosen.through, filters=form)
        outcomes.update(side.run(chosen.narrowed(form), order, through=through).outcomes)
    return outcomes
