"""Whether a plan is small enough to be carried out unseen."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .spec import Guard

FEW = 3
"""Closes of fewer rows are no sign of a feed that lies, however few rows there are."""
SOME = 10
"""A column that is emptied in fewer rows may have been emptied one by one."""

ALL = 5
"""As many rows that lose the value of one column, and none that keeps one, are no chance."""


def breaches(
    counts: Mapping[str, int],
    population: int,
    guard: Guard,
    *,
    answered_for: int | None = None,
    vanished: int = 0,
    loaded: int = 0,
    emptied: Mapping[str, tuple[int, int]] | None = None,
    silent: Collection[str] = (),
    side: str,
) -> list[str]:
    """Why the plan is too large; empty if it is not.

    A share of few rows says little about updates. Closing half of the rows is too much however few
    they are, from :data:`FEW` closes on. A source that has stopped sending a column would empty
    half of our values, from :data:`SOME` on, or all that a small run reads, from :data:`ALL` on.

    Args:
        counts: kind of change -> rows.
        population: rows of the entity; creates are measured against it. Below
            ``guard.population`` they are unlimited: a first load.
        answered_for: rows that the process answers for; updates and closes are measured against
            them. ``None``: all.
        vanished: records that a sweep has not found.
        loaded: records that were loaded before the sweep.
        emptied: column -> (rows in which the plan empties it, updated rows that have a value
            afterwards).
        silent: columns in which the source has no value for anybody; the plan may not empty them
            unseen.
        side: name of the side that is written, for people.
    """
    ours = population if answered_for is None else answered_for
    found = []
    for kind, limit, whole in (
        ("create", guard.create, population),
        ("update", guard.update, ours),
        ("close", guard.close, ours),
    ):
        rows = counts.get(kind, 0)
        if limit is None or not rows:
            continue
        if kind == "close" and rows >= FEW and rows * 2 >= whole:
            found.append(f"{rows:,} of {whole:,} rows to close in {side}: half or more of them")
        elif rows > limit.absolute and _too_large(
            kind, rows, whole, limit.percent, guard.population
        ):
            share = f"more than {limit.percent:g} % and " if whole >= guard.population else ""
            found.append(
                f"{rows:,} of {whole:,} rows to {kind} in {side}: {share}more than {limit.absolute}"
            )
    if guard.close is not None and counts.get("close", 0) and _lost(vanished, loaded):
        found.append(
            f"{vanished:,} of the {loaded:,} records that were loaded are missing from the source"
        )
    for column, (rows, left) in (emptied or {}).items():
        if column in silent:
            found.append(
                f"{column} would be emptied in {rows:,} of {ours:,} rows in {side}: the source has "
                "no value of anybody any more"
            )
        elif (rows >= SOME and rows * 2 >= ours) or (rows >= ALL and not left):
            found.append(f"{column} would be emptied in {rows:,} of {ours:,} rows in {side}")
    return found


def _lost(vanished: int, loaded: int) -> bool:
    """Whether the source has lost all that was loaded, or half of more than a few."""
    return 0 < vanished == loaded or (vanished >= FEW and vanished * 2 >= loaded)


def _too_large(kind: str, rows: int, whole: int, percent: float, enough: int) -> bool:
    return kind != "create" if whole < enough else rows * 100 > percent * whole
