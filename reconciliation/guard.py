"""Checks whether a plan is small enough to be carried out without a person's approval."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .spec import Guard

FEW = 3
"""Closing half of the rows, or losing half of the records, is suspicious from this many on."""
SOME = 10
"""A column that is emptied in fewer rows than this may have been emptied by hand."""
ALL = 5
"""If this many rows lose the value of a column and no row keeps one, that is suspicious."""


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
    """Returns the reasons why the plan is too large; empty if it is not.

    Percentages apply only from ``guard.population`` rows on, because a share of few rows says
    little. There are two exceptions for small numbers. Closing half of the rows is always too much
    (at least :data:`FEW` closes). So is emptying a column in half of the rows (at least
    :data:`SOME`) or in all updated rows (at least :data:`ALL`), because the source may have stopped
    sending it.

    Args:
        counts: kind of change -> number of rows.
        population: number of rows of the entity. Creates are measured against it; below
            ``guard.population`` they are unlimited, because that is a first load.
        answered_for: number of rows that the process is responsible for; updates and closes are
            measured against it. ``None``: all rows of the entity.
        vanished: number of records that a sweep has not found.
        loaded: number of records that were loaded before the sweep.
        emptied: column -> (rows in which the plan empties it, updated rows that have a value
            afterwards).
        silent: columns that are empty in every record of the source. Emptying them always needs an
            approval.
        side: name of the side that is written, in messages.
    """
    ours = population if answered_for is None else answered_for
    reasons = []
    for kind, limit, whole in (
        ("create", guard.create, population),
        ("update", guard.update, ours),
        ("close", guard.close, ours),
    ):
        rows = counts.get(kind, 0)
        if limit is None or not rows:
            continue
        if kind == "close" and rows >= FEW and rows * 2 >= whole:
            reasons.append(f"{rows:,} of {whole:,} rows to close in {side}: half or more of them")
        elif rows > limit.absolute and _too_large(
            kind, rows, whole, limit.percent, guard.population
        ):
            share = f"more than {limit.percent:g} % and " if whole >= guard.population else ""
            reasons.append(
                f"{rows:,} of {whole:,} rows to {kind} in {side}: {share}more than {limit.absolute}"
            )
    if guard.close is not None and counts.get("close", 0) and _lost(vanished, loaded):
        reasons.append(
            f"{vanished:,} of the {loaded:,} records that were loaded are missing from the source"
        )
    for column, (rows, left) in (emptied or {}).items():
        if column in silent:
            reasons.append(
                f"{column} would be emptied in {rows:,} of {ours:,} rows in {side}: the source has "
                "no value for anybody any more"
            )
        elif (rows >= SOME and rows * 2 >= ours) or (rows >= ALL and not left):
            reasons.append(f"{column} would be emptied in {rows:,} of {ours:,} rows in {side}")
    return reasons


def _lost(vanished: int, loaded: int) -> bool:
    """Whether all loaded records have vanished, or half of them and at least :data:`FEW`."""
    return 0 < vanished == loaded or (vanished >= FEW and vanished * 2 >= loaded)


def _too_large(kind: str, rows: int, whole: int, percent: float, enough: int) -> bool:
    """Whether ``rows`` are too large a share of ``whole``. Below ``enough`` rows the share does not
    count: a create is then never too large, any other kind always (by its absolute limit)."""
    if whole < enough:
        return kind != "create"
    return rows * 100 > percent * whole
