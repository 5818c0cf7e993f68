"""Which decisions on course requests can still be carried out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .frame import arrow, concat, empty, fold, strings, true
from .match import HELD, held

OPEN, BOOKED = "Provisional", "Booked"
COURSE_DATES: Mapping[str, str] = {"id": "text", "starts_at": "moment", "status": "text", "spaces_left": "number"}
"""The columns of the course dates that a decision depends on (feed CourseDate)."""
OFF = ("Cancelled", "Canceled", "Deleted", "Postponed")
"""States of a course date that is not held."""


def undecidable(wanted: pd.DataFrame, delegates: pd.DataFrame, course_dates: pd.DataFrame, key: str, now: datetime) -> pd.DataFrame:
    """The decisions (rows of ``reconciliation.match.HELD``) that cannot be carried out, each with its reason.

    wanted: ``source_key``, ``key``, ``status`` (to be), ``decided_at`` (UTC). delegates: ``id``, ``status``, ``course_date_id``
    as accessplanit has them. course_dates: of :data:`COURSE_DATES`. A decision that accessplanit shows already is no
    problem. Places are given in the order of the decisions.
    """
    source, wish = strings(wanted["source_key"]), strings(wanted["status"])
    place = pc.index_in(arrow(wanted[key]), value_set=arrow(delegates["id"]))
    now_is = strings(arrow(delegates["status"]).take(place))
    course = arrow(delegates["course_date_id"]).take(place)
    at = pc.index_in(course, value_set=arrow(course_dates["id"]))
    started = true(pc.less_equal(arrow(course_dates["starts_at"]).take(at), pa.scalar(now, arrow(course_dates["starts_at"]).type)))
    off = true(pc.is_in(arrow(course_dates["status"]).take(at), pa.array(OFF)))
    left: dict[str | None, int | None] = dict(zip(strings(course_dates["id"]), arrow(course_dates["spaces_left"]).to_pylist(), strict=True))
    known, courses = np.asarray(pc.is_valid(place)), course.to_pylist()
    moments = arrow(wanted["decided_at"]).to_pylist()
    order = sorted(range(len(source)), key=lambda i: (moments[i] is None, moments[i] or now, str(source[i])))
    problems: dict[str, list[str | None]] = {}
    for i in order:
        why = None
        same = fold(now_is[i] or "") == fold(wish[i] or "")
        free = left.get(courses[i])
        if not known[i]:
            why = "is no course request in accessplanit"
        elif same:
            continue
        elif fold(now_is[i] or "") != fold(OPEN):
            why = f"was decided in accessplanit already: {now_is[i]}"
        elif off[i]:
            why = "is for a course that is not held any more"
        elif started[i]:
            why = "is for a course that has started"
        elif wish[i] == BOOKED and free is not None and free <= 0:
            why = "is for a course that is full"
        if why:
            problems.setdefault(why, []).append(source[i])
        elif wish[i] == BOOKED and free is not None:
            left[courses[i]] = free - 1
    return concat([empty(HELD), *(held(pa.array(keys, pa.string()), "decision", why) for why, keys in problems.items())])
