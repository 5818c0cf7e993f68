"""Computes the state of awards as of a day.

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

accessplanit stores only the status (0 Completed, 1 In Progress, 2 Target, 3 On Hold), and a renewal
is a new record beside the old one (API notes, section (g)). The state therefore follows from the
dates, the day, and the other records of the group (holder and award). It can change without any
change of a record.
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
"""The columns of an award row from which its state is computed. ``state`` is one of them because a
revoked row stays revoked."""
GROUP = ["employee_id", "award_id"]
"""Within a group of the same holder and award, a later completion supersedes an earlier one."""


def states(rows: pd.DataFrame, key: str, today: date, expiring_within_days: int) -> pd.DataFrame:
    """Returns ``state`` and ``superseded_by`` (the key of the next completion of the group) for
    each row.

    ``rows`` has the column ``key`` and the columns :data:`FACTS`. It must hold every group in full.
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
    state = np.select([mask for _, mask in cases], [name for name, _ in cases], "in_progress")
    return pd.DataFrame(
        {"state": pd.Series(state, rows.index, TEXT), "superseded_by": superseded_by}
    )


def is_completed(rows: pd.DataFrame) -> pd.Series[bool]:
    """Returns the mask of award rows with the status Completed."""
    return folded(rows["status"]).isin(["completed"])


def counts(rows: pd.DataFrame, day: date) -> pd.Series[bool]:
    """Returns the mask of award rows (:data:`FACTS`) that count as completed on a day: not revoked,
    and not completed on a later day."""
    revoked = rows["state"].isin(["revoked"])
    future = (rows["completed_on"] > day).fillna(False)
    return is_completed(rows) & ~revoked & ~future


def current(rows: pd.DataFrame, day: date) -> pd.DataFrame:
    """Returns the completion that counts on a day for each person and award: the latest one, or of
    several on the same day the one that is valid longest."""
    completions = _in_order(rows[counts(rows, day)], [])
    return completions.drop_duplicates(GROUP, keep="last", ignore_index=True)


def _in_order(completions: pd.DataFrame, more: list[str]) -> pd.DataFrame:
    """Sorts completions by their day, then by expiry date (none counts as the latest), then by the
    columns ``more``."""
    until = completions["expires_on"].fillna(date.max)
    by = ["completed_on", "_until", *more]
    ordered = completions.assign(_until=until).sort_values(by, na_position="first")
    return ordered.drop(columns="_until")


def _successors(completions: pd.DataFrame, key: str) -> pd.Series[Any]:
    """Returns the key of the next completion in the group, for those of ``completions`` that have
    one."""
    # Usually nearly all groups have a single completion and need no sorting.
    several = completions[completions.duplicated(GROUP, keep=False)]
    groups = _in_order(several, [key]).groupby(GROUP, dropna=False, sort=False)
    return groups[key].shift(-1)


def without_contradictions(key: str, read: Snapshot) -> Snapshot:
    """Moves records that contradict themselves to the rejected ones: completed without a day, or
    expired before completion."""
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
    """Returns the ranges ``low <= expires_on < high`` whose awards have changed their state since
    ``previous`` because of the day alone."""
    if previous is None or previous >= today:
        return []
    soon = timedelta(days=expiring_within_days + 1)
    return [(previous, today), (previous + soon, today + soon)]


def begun(previous: date | None, today: date) -> list[tuple[date, date]]:
    """Returns the ranges ``low <= completed_on < high`` of completions whose day has come since
    ``previous``."""
    day = timedelta(days=1)
    return [] if previous is None or previous >= today else [(previous + day, today + day)]


def is_due(
    rows: pd.DataFrame, previous: date, today: date, expiring_within_days: int
) -> pd.Series[bool]:
    """Returns the mask of rows (``completed_on``, ``expires_on``) whose state may have changed
    since ``previous`` because of the day alone."""
    ranges = [("expires_on", *days) for days in due(previous, today, expiring_within_days)]
    ranges += [("completed_on", *days) for days in begun(previous, today)]
    mask = pd.Series(False, rows.index)
    for column, low, high in ranges:
        mask |= rows[column].between(low, high, inclusive="left").fillna(False)
    return mask


def siblings(
    desired: pd.DataFrame, touched: pd.DataFrame, target: pd.DataFrame, key: str
) -> pd.DataFrame:
    """Returns the target rows that are in a group of ``desired`` or ``touched`` but not in
    ``desired`` themselves."""
    groups = concat([desired[GROUP], touched[GROUP]]).drop_duplicates().dropna()
    of_groups = target[[key, *GROUP]].merge(groups, on=GROUP)[key]
    others = target[key].isin(of_groups) & ~target[key].isin(desired[key])
    return target[others].reset_index(drop=True)


def with_states(
    desired: pd.DataFrame, key: str, today: date, expiring_within_days: int
) -> pd.DataFrame:
    """Sets ``state`` and ``superseded_by`` in ``desired`` as of ``today``."""
    columns = states(desired, key, today, expiring_within_days)
    return desired.assign(state=columns["state"], superseded_by=columns["superseded_by"])
