"""The state of an award as of a day.

===========  =====================================================================================
targeted     status Target: to be achieved by the target date
in_progress  as the status says; so is a completion that lies in the future, until its day
on_hold      as the status says
achieved     completed, and valid on the day; an award without an expiry date is valid for ever
expiring     achieved, and expires within the next days (90 by default)
expired      the expiry date lies before the day; the last valid day is the expiry date itself
superseded   completed, and the same holder has a later completion of the same award
revoked      taken away: the source no longer has the record
===========  =====================================================================================

accessplanit stores none of these but the status (0 Completed, 1 In Progress, 2 Target, 3 On Hold);
a renewal is a new record beside the old one (API notes, section (g)). So the state follows from the
dates, the other records of the group (holder, award) and the day: time alone changes it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd

from .frame import concat
from .snapshot import REJECTED, Snapshot
from .tables import TEXT, folded, typed

STATES = (
    "targeted",
    "in_progress",
    "on_hold",
    "achieved",
    "expiring",
    "expired",
    "superseded",
    "revoked",
)
FACTS = {
    "employee_id": "text",
    "award_id": "text",
    "status": "text",
    "completed_on": "day",
    "expires_on": "day",
    "state": "text",
}
"""The columns of an award row that its state depends on; ``state`` because a revoked row stays
revoked."""
GROUP = ["employee_id", "award_id"]
"""Completions of one holder and award take each other's place."""


def states(rows: pd.DataFrame, key: str, today: date, expiring_within_days: int) -> pd.DataFrame:
    """``state`` and ``superseded_by`` (the key of the next completion of the group) of each row.

    ``rows`` has ``key`` and the columns of :data:`FACTS`, and all rows of each group that it
    touches.
    """
    status = folded(rows["status"])
    revoked = rows["state"].isin(["revoked"])
    completed = counts(rows, today)
    expired = (rows["expires_on"] < today).fillna(False)
    soon = today + timedelta(days=expiring_within_days)
    expiring = (rows["expires_on"] <= soon).fillna(False)
    superseded_by = _successors(rows[completed], key).reindex(rows.index)
    cases = [
        ("revoked", revoked),
        ("superseded", superseded_by.notna()),
        ("expired", completed & expired),
        ("expiring", completed & expiring),
        ("achieved", completed),
        ("targeted", status.isin(["target"])),
        ("on_hold", status.isin(["onhold"])),
    ]
    state = np.select([where for _, where in cases], [name for name, _ in cases], "in_progress")
    found = {"state": pd.Series(state, rows.index, TEXT), "superseded_by": superseded_by}
    return pd.DataFrame(found)


def is_completed(rows: pd.DataFrame) -> pd.Series[bool]:
    """Which award rows have the status Completed."""
    return folded(rows["status"]).isin(["completed"])


def counts(rows: pd.DataFrame, day: date) -> pd.Series[bool]:
    """Which award rows (:data:`FACTS`) are completions that count on a day: not revoked, and not of
    a later day."""
    revoked = rows["state"].isin(["revoked"])
    future = (rows["completed_on"] > day).fillna(False)
    return is_completed(rows) & ~revoked & ~future


def current(rows: pd.DataFrame, day: date) -> pd.DataFrame:
    """The completion of each person and award that counts on a day: the latest; of several of one
    day, the one that is valid longest."""
    held = _in_order(rows[counts(rows, day)], [])
    return held.drop_duplicates(GROUP, keep="last", ignore_index=True)


def _in_order(completions: pd.DataFrame, more: list[str]) -> pd.DataFrame:
    """Completions by their day, then by how long they are valid, then by the columns ``more``; no
    expiry date is the latest of all."""
    until = completions["expires_on"].fillna(date.max)
    by = ["completed_on", "_until", *more]
    ordered = completions.assign(_until=until).sort_values(by, na_position="first")
    return ordered.drop(columns="_until")


def _successors(completions: pd.DataFrame, key: str) -> pd.Series[Any]:
    """The key of the next completion in its group, for those of ``completions`` that have one."""
    # In most organisations nearly all groups have one completion and need no ordering.
    several = completions[completions.duplicated(GROUP, keep=False)]
    groups = _in_order(several, [key]).groupby(GROUP, dropna=False, sort=False)
    return groups[key].shift(-1)


def without_contradictions(key: str, read: Snapshot) -> Snapshot:
    """``read`` with the records that contradict themselves moved to the rejected ones: they are not
    guessed at."""
    data = read.frame
    undated = is_completed(data) & data["completed_on"].isna()
    backwards = (data["expires_on"] < data["completed_on"]).fillna(False)
    rejected = [
        read.rejected,
        _rejected(data[undated], key, "completed_on", "is missing though the award is Completed"),
        _rejected(data[backwards], key, "expires_on", "lies before the day of completion"),
    ]
    good = data[~(undated | backwards)].reset_index(drop=True)
    return replace(read, frame=good, rejected=concat(rejected))


def _rejected(rows: pd.DataFrame, key: str, field: str, reason: str) -> pd.DataFrame:
    named = rows[[key, "hash"]].rename(columns={key: "key"})
    return typed(named.assign(field=field, reason=reason), REJECTED)


def due(previous: date | None, today: date, expiring_within_days: int) -> list[tuple[date, date]]:
    """The ranges ``low <= expires_on < high`` in which time alone has changed a state since
    ``previous``."""
    if previous is None or previous >= today:
        return []
    soon = timedelta(days=expiring_within_days + 1)
    return [(previous, today), (previous + soon, today + soon)]


def begun(previous: date | None, today: date) -> list[tuple[date, date]]:
    """The ranges ``low <= completed_on < high`` of completions whose day has come since
    ``previous``."""
    day = timedelta(days=1)
    return [] if previous is None or previous >= today else [(previous + day, today + day)]


def is_due(
    rows: pd.DataFrame, previous: date, today: date, expiring_within_days: int
) -> pd.Series[bool]:
    """Which rows (``completed_on``, ``expires_on``) the day alone may have given another state
    since ``previous``."""
    ranges = [("expires_on", *days) for days in due(previous, today, expiring_within_days)]
    ranges += [("completed_on", *days) for days in begun(previous, today)]
    found = pd.Series(False, rows.index)
    for column, low, high in ranges:
        found |= rows[column].between(low, high, inclusive="left").fillna(False)
    return found


def siblings(
    desired: pd.DataFrame, touched: pd.DataFrame, target: pd.DataFrame, key: str
) -> pd.DataFrame:
    """Target rows of the groups of ``desired`` and ``touched`` that are not in ``desired``
    themselves."""
    groups = concat([desired[GROUP], touched[GROUP]]).drop_duplicates().dropna()
    of_groups = target[[key, *GROUP]].merge(groups, on=GROUP)[key]
    others = target[key].isin(of_groups) & ~target[key].isin(desired[key])
    return target[others].reset_index(drop=True)


def with_states(
    desired: pd.DataFrame, key: str, today: date, expiring_within_days: int
) -> pd.DataFrame:
    """``desired`` with ``state`` and ``superseded_by`` as of ``today``."""
    found = states(desired, key, today, expiring_within_days)
    return desired.assign(state=found["state"], superseded_by=found["superseded_by"])
