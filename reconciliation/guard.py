"""Whether a plan is small enough to be carried out unseen."""

from __future__ import annotations

from collections.abc import Mapping

from .errors import UnsafePlan
from .spec import Guard


def breaches(counts: Mapping[str, int], population: int, guard: Guard) -> list[str]:
    """Why the plan is too large; empty if it is not. ``counts`` is kind of change -> rows."""
    if population < guard.population:
        return []
    found = []
    for kind, limit in (("create", guard.create), ("update", guard.update), ("close", guard.close)):
        rows = counts.get(kind, 0)
        if limit and rows > limit.absolute and rows * 100 > limit.percent * population:
            found.append(f"{rows} rows to {kind} of {population} in HR: more than {limit.percent:g} % and more than {limit.absolute}")
    return found


def check(counts: Mapping[str, int], population: int, guard: Guard, digest: str, approved: str | None) -> None:
    """Raises:
    UnsafePlan: a limit is passed and ``approved`` is not the digest of this very plan.
    """
    found = breaches(counts, population, guard)
    if found and approved != digest:
        raise UnsafePlan(
            f"The plan {digest} was stopped by its guard: {'; '.join(found)}",
            "Nothing was written. Whoever answers for the HR data must look at the plan"
            f" ('hrsync plan'); if it is right, run again with approve={digest}",
            digest,
        )
