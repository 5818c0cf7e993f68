"""Decides which decisions on course requests can be carried out, and which have been already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from .frame import concat, empty, fold
from .match import HELD, held
from .tables import TEXT, folded, looked_up

OPEN, BOOKED, CANCELLED = "Provisional", "Booked", "Cancelled"
COURSE_DATES: Mapping[str, str] = {
    "id": "text",
    "starts_at": "moment",
    "status": "text",
    "spaces_left": "number",
}
"""The columns of course dates (feed CourseDate) that are needed to judge a decision."""
OFF = ("Cancelled", "Canceled", "Deleted", "Postponed")
"""Statuses of a course date that does not take place."""
AFTER_BOOKING = (
    BOOKED,
    "In Progress",
    "Completed",
    "Attended",
    "No Attend",
    "Failed",
    "Transferred",
)
"""Delegate statuses that follow an approval. They show that it has been carried out."""


def judged(
    wanted: pd.DataFrame,
    delegates: pd.DataFrame,
    course_dates: pd.DataFrame,
    key: str,
    now: datetime,
    unread: Sequence[str] = (),
) -> pd.DataFrame:
    """Judges which decisions have been carried out and which cannot be.

    Decisions are sorted by the moment at which they were taken, then by ``source_key``; one without
    a moment comes last. The places of a course go to them in that order.

    Args:
        wanted: ``source_key``, ``key``, ``status`` (the decision), ``decided_at`` (UTC) and
            ``settled`` (whether an earlier run has settled this exact decision).
        delegates: ``id``, ``status`` and ``course_date_id`` as accessplanit has them.
        course_dates: the columns :data:`COURSE_DATES`. A course date without ``spaces_left`` has
            room for everybody.
        key: the column of ``wanted`` with the delegate's ID.
        now: the moment of the run (UTC).
        unread: IDs of delegates whose decision cannot be read. It may have been taken earlier, so
            a place is kept for each of them.

    Returns:
        ``source_key``; ``done``: whether the decision has been carried out; ``problem``: the reason
        why it cannot be carried out, or null.
    """
    cases = _with_course(wanted, delegates, course_dates, key)
    is_open = _among(cases["is_now"], (OPEN,))
    done = _follows(cases["status"], cases["is_now"]) | (cases["settled"] & ~is_open)
    problem = _text(cases, None).case_when(
        [
            (cases["known"].isna(), _text(cases, "is not a course request in accessplanit")),
            (~is_open, "was decided in accessplanit already: " + cases["is_now"].fillna("Unknown")),
            (
                cases["dated"].isna(),
                _text(cases, "is for a course date that cannot be read in accessplanit"),
            ),
            (
                _among(cases["course_status"], OFF),
                _text(cases, "is for a course that is no longer held"),
            ),
            (
                (cases["starts_at"] <= now).fillna(False),
                _text(cases, "is for a course that has started"),
            ),
        ]
    )
    needs_place = problem.isna() & ~done & _among(cases["status"], (BOOKED,))
    turn = needs_place.astype("int64").groupby(cases["course"]).cumsum()
    kept = _kept(delegates[delegates["id"].isin(unread)], cases["course"])
    full = needs_place & (turn > cases["spaces_left"]).fillna(False)
    unsure = needs_place & (turn > cases["spaces_left"] - kept).fillna(False)
    problem = problem.mask(
        unsure, "waits for a decision on this course that cannot be read; correct it in HR"
    )
    problem = problem.mask(full, "is for a course that is full").mask(done, None)
    return pd.DataFrame({"source_key": cases["source_key"], "done": done, "problem": problem})


def undecidable(cases: pd.DataFrame) -> pd.DataFrame:
    """Returns :data:`reconciliation.match.HELD` for the cases of :func:`judged` with a problem."""
    with_problem = cases[cases["problem"].notna()].groupby("problem", sort=False)["source_key"]
    return concat([empty(HELD), *(held(keys, "decision", str(why)) for why, keys in with_problem)])


def _with_course(
    wanted: pd.DataFrame, delegates: pd.DataFrame, course_dates: pd.DataFrame, key: str
) -> pd.DataFrame:
    """Returns the decisions in the order in which they were taken, each with its delegate and
    course date."""
    theirs = (
        delegates[["id", "status", "course_date_id"]]
        .set_axis([key, "is_now", "course"], axis=1)
        .assign(known=True)
    )
    dates = course_dates.rename(columns={"id": "course", "status": "course_status"}).assign(
        dated=True
    )
    decisions = wanted[["source_key", key, "status", "decided_at", "settled"]]
    cases = decisions.merge(theirs, on=key, how="left").merge(dates, on="course", how="left")
    return cases.sort_values(["decided_at", "source_key"], na_position="last", ignore_index=True)


def _kept(delegates: pd.DataFrame, courses: pd.Series[Any]) -> pd.Series[Any]:
    """Returns, for each of ``courses``, the number of ``delegates`` that are still provisional."""
    waiting = delegates[_among(delegates["status"], (OPEN,))]
    number = waiting["course_date_id"].value_counts().rename_axis("course").reset_index()
    return looked_up(courses, number, "course")["count"].fillna(0).astype("int64")


def _follows(wish: pd.Series[Any], is_now: pd.Series[Any]) -> pd.Series[Any]:
    """Returns the mask of delegates that have the wished status, or one that follows from it."""
    booking = _among(wish, (BOOKED,))
    same = (folded(wish) == folded(is_now)).fillna(False)
    followed = _among(is_now, AFTER_BOOKING).where(booking, _among(is_now, (CANCELLED,)))
    return same | followed


def _among(values: pd.Series[Any], names: tuple[str, ...]) -> pd.Series[Any]:
    return folded(values).isin([fold(name) for name in names])


def _text(cases: pd.DataFrame, value: str | None) -> pd.Series[Any]:
    return pd.Series(value, cases.index, TEXT)
