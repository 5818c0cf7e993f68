"""The state of an award as of a day.

======================  ============================================================================
targeted                status Target: to be achieved by the target date
in_progress, on_hold    as the status says; a completion that lies in the future is in_progress
until its day achieved                completed, and valid on the day (an award without expiry date
is valid for ever) expiring                achieved, and expires within the next days (90 by
default) expired                 the expiry date lies before the day; the last valid day is the
expiry date itself superseded              completed, and there is a later completion of the same
award by the same holder revoked                 taken away: the source says that the record is no
more
======================  ============================================================================

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
import pyarrow as pa
import pyarrow.compute as pc

from .frame import arrow, concat, folded, frame, of, pick, true
from .snapshot import REJECTED, Snapshot

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
_BY_STATUS = {"target": "targeted", "inprogress": "in_progress", "onhold": "on_hold"}


def states(
    rows: pd.DataFrame, key: str, today: date, expiring_within_days: int
) -> tuple[pa.Array, pa.Array]:
    """``state`` and ``superseded_by`` (the key of the next completion of the group) of each row.

    ``rows`` has ``key`` and the columns of :data:`FACTS`, and all rows of each group that it
    touches.
    """
    count = len(rows)
    status = folded(arrow(rows["status"]))
    revoked = true(pc.equal(arrow(rows["state"]), "revoked"))
    completed = counts(rows, today)
    expires = arrow(rows["expires_on"])
    expired = true(pc.less(expires, pa.scalar(today)))
    expiring = true(pc.less_equal(expires, pa.scalar(today + timedelta(days=expiring_within_days))))
    successor = _successors(rows, key, completed)
    choices = np.full(count, "in_progress", dtype=object)
    for name, state in _BY_STATUS.items():
        choices[true(pc.equal(status, name))] = state
    choices[completed] = "achieved"
    choices[completed & expiring] = "expiring"
    choices[completed & expired] = "expired"
    choices[completed & (successor >= 0)] = "superseded"
    choices[revoked] = "revoked"
    keys = arrow(rows[key])
    superseded_by = (
        keys.take(pa.array(successor, mask=successor < 0)) if count else pa.array([], pa.string())
    )
    return pa.array(choices, pa.string()), superseded_by


def counts(rows: pd.DataFrame, day: date) -> np.ndarray[Any, Any]:
    """Which award rows (:data:`FACTS`) are completions that count on a day: not revoked, and not of
    a later day."""
    completed = true(pc.equal(folded(arrow(rows["status"])), "completed"))
    revoked = true(pc.equal(arrow(rows["state"]), "revoked"))
    future = true(pc.greater(arrow(rows["completed_on"]), pa.scalar(day)))
    counting: np.ndarray[Any, Any] = completed & ~revoked & ~future
    return counting


def current(rows: pd.DataFrame, day: date) -> pd.DataFrame:
    """The completion of each person and award that counts on a day: the latest; of several of one
    day, the one that is valid longest."""
    held = pick(rows, counts(rows, day))
    until = held["expires_on"].fillna(date.max)
    ordered = held.assign(until=until).sort_values(["completed_on", "until"], na_position="first")
    return ordered.drop_duplicates(
        ["employee_id", "award_id"], keep="last", ignore_index=True
    ).drop(columns="until")


def _successors(
    rows: pd.DataFrame, key: str, completed: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """For each row the position of the next completion in its group, -1 where there is none."""
    never = np.iinfo(np.int32).max
    successor = np.full(len(rows), -1, dtype=np.int64)
    places = np.flatnonzero(completed)
    if not len(places):
        return successor
    holder = (
        arrow(rows["employee_id"])
        .dictionary_encode()
        .indices.fill_null(-1)
        .to_numpy(zero_copy_only=False)[places]
        .astype(np.int64)
    )
    award = (
        arrow(rows["award_id"])
        .dictionary_encode()
        .indices.fill_null(-1)
        .to_numpy(zero_copy_only=False)[places]
        .astype(np.int64)
    )
    group = holder * (int(award.max()) + 2) + award
    passed = arrow(rows["completed_on"]).cast(pa.int32()).fill_null(0).to_numpy()[places]
    until = arrow(rows["expires_on"]).cast(pa.int32()).fill_null(never).to_numpy()[places]
    # Groups that have one completion need no ordering; in most organisations that is nearly all of
    # them.
    _, inverse, sizes = np.unique(group, return_inverse=True, return_counts=True)
    several = np.flatnonzero(sizes[inverse] > 1)
    if not len(several):
        return successor
    keys = (
        arrow(rows[key]).take(pa.array(places[several])).to_numpy(zero_copy_only=False).astype(str)
    )
    order = several[np.lexsort((keys, until[several], passed[several], group[several]))]
    follows = group[order][:-1] == group[order][1:]
    successor[places[order[:-1][follows]]] = places[order[1:][follows]]
    return successor


def without_contradictions(key: str, read: Snapshot) -> Snapshot:
    """``read`` with the records that contradict themselves moved to the rejected ones: they are not
    guessed at."""
    data = read.frame
    completed = true(pc.equal(folded(arrow(data["status"])), "completed"))
    passed, until = arrow(data["completed_on"]), arrow(data["expires_on"])
    undated = completed & np.asarray(pc.is_null(passed))
    backwards = true(pc.less(until, passed))
    rejected = [read.rejected]
    for mask, field, reason in (
        (undated, "completed_on", "is missing though the award is Completed"),
        (backwards, "expires_on", "lies before the day of completion"),
    ):
        bad = data.loc[mask]
        rejected.append(
            of(
                REJECTED,
                [(k, field, reason, None, h) for k, h in zip(bad[key], bad["hash"], strict=True)],
            )
        )
    return replace(read, frame=pick(data, ~(undated | backwards)), rejected=concat(rejected))


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
        found |= rows[column].between(low, high, inclusive="left").fillna(False).astype(bool)
    return found


def siblings(
    desired: pd.DataFrame, touched: pd.DataFrame, target: pd.DataFrame, key: str
) -> pd.DataFrame:
    """Target rows of the groups of ``desired`` and ``touched`` that are not in ``desired``
    themselves."""
    groups = concat(
        [rows[["employee_id", "award_id"]] for rows in (desired, touched)]
    ).drop_duplicates()
    looked_at = target[[key, "employee_id", "award_id"]].merge(
        groups.dropna(), on=["employee_id", "award_id"]
    )[key]
    return target[target[key].isin(looked_at) & ~target[key].isin(desired[key])].reset_index(
        drop=True
    )


def with_states(
    desired: pd.DataFrame, key: str, today: date, expiring_within_days: int
) -> pd.DataFrame:
    """``desired`` with ``state`` and ``superseded_by`` as of ``today``."""
    state, superseded_by = states(desired, key, today, expiring_within_days)
    fresh = frame({"state": state, "superseded_by": superseded_by})
    return desired.assign(state=fresh["state"], superseded_by=fresh["superseded_by"])
