"""Whether a plan is small enough to be carried out unseen."""

from __future__ import annotations

from collections.abc import Mapping

from .spec import Guard


def breaches(counts: Mapping[str, int], population: int, guard: Guard) -> list[str]:
    """Why the plan is too large; empty if it is not. ``counts`` is kind of change -> rows.

    A share of a small population says little: below ``guard.population`` rows creates are unlimited (a first load),
    and for the others the absolute limit counts alone.
    """
    found = []
    small = population < guard.population
    for kind, limit in (("create", guard.create), ("update", guard.update), ("close", guard.close)):
        rows = counts.get(kind, 0)
        if limit is None or rows <= limit.absolute:
            continue
        if (kind != "create") if small else (rows * 100 > limit.percent * population):
            share = "" if small else f"more than {limit.percent:g} % and "
            found.append(f"{rows} rows to {kind} of {population} in HR: {share}more than {limit.absolute}")
    return found
