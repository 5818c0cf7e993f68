"""Who lacks what of the awards that their job roles require, as of a day.

=============  =====================================================================================
held           the latest completion is valid on the day (the expiry date itself is the last valid
day) expiring       held, and expires within the next days (90 by default) expired        the latest
completion has expired before the day targeted       not held, but to be achieved missing
none of these not required   the role, the requirement or the person has gone since it was published
=============  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .awards import current
from .frame import arrow, concat, folded, frame, pick, true

REQUIREMENTS: Mapping[str, str] = {
    "award_id": "text",
    "award_label": "text",
    "user_type_id": "text",
    "user_type_label": "text",
}
ASSIGNMENTS: Mapping[str, str] = {
    "employee_id": "text",
    "accessplanit_user_id": "text",
    "job_role_id": "text",
    "valid_from": "day",
    "valid_to": "day",
}
AWARDS: Mapping[str, str] = {
    "employee_id": "text",
    "award_id": "text",
    "status": "text",
    "state": "text",
    "completed_on": "day",
    "expires_on": "day",
}
TARGETS: Mapping[str, str] = {
    "employee_id": "text",
    "award_id": "text",
    "status": "text",
    "target_date": "day",
}
COMPLIANCE: Mapping[str, str] = {
    "id": "text",
    "employee_id": "text",
    "user_id": "text",
    "job_role_id": "text",
    "job_role_label": "text",
    "award_id": "text",
    "award_label": "text",
    "state": "text",
    "expires_on": "day",
    "target_date": "day",
    "as_of": "day",
}
"""One row for each employee, job role and award that it requires; ``id`` names all three. user_id:
accessplanit's."""
COMPLIANT = ("held", "expiring")
NOT_REQUIRED, UNKNOWN = "not required", "unknown"
DOUBTED: Mapping[str, str] = {"employee_id": "text", "doubt": "text"}
"""A person whose compliance cannot be told, and why."""
WHY_DOUBTED: Mapping[str, str] = {
    "employees": "is of a person whose row in HR cannot be read",
    "assignments": "is of a person with an assignment in HR that cannot be read",
    "award_targets": "is of a person with an award target in HR that cannot be read",
    "awards": "is of a person with an award in HR that cannot be read",
}
"""Entity of HR -> why a person's compliance cannot be told when a row of theirs is unreadable."""


def assigned(assignments: pd.DataFrame, day: date) -> pd.DataFrame:
    """The assignments (:data:`ASSIGNMENTS`) that hold on a day: from ``valid_from`` on, and before
    ``valid_to``."""
    begun = ~true(pc.greater(arrow(assignments["valid_from"]), pa.scalar(day)))
    ended = true(pc.less_equal(arrow(assignments["valid_to"]), pa.scalar(day)))
    return pick(assignments, begun & ~ended)


def compliance(
    requirements: pd.DataFrame,
    assignments: pd.DataFrame,
    awards: pd.DataFrame,
    targets: pd.DataFrame,
    day: date,
    expiring_within_days: int,
) -> pd.DataFrame:
    """:data:`COMPLIANCE` as of ``day``, from frames of the columns above (``assignments``: of all
    days)."""
    needed = requirements.drop_duplicates(["user_type_id", "award_id"])
    who = assigned(assignments, day).drop_duplicates(["employee_id", "job_role_id"])
    rows = who.merge(needed, left_on="job_role_id", right_on="user_type_id")
    # No expiry date is the latest of all.
    never = pa.scalar(date.max, pa.date32())
    held = current(awards, day)[["employee_id", "award_id", "expires_on"]]
    latest = held.assign(
        until=frame({"until": pc.coalesce(arrow(held["expires_on"]), never)})["until"]
    ).drop(columns="expires_on")
    open_ = pick(targets, true(pc.equal(folded(arrow(targets["status"])), "target")))
    aimed = (
        open_.assign(aimed=True)
        .groupby(["employee_id", "award_id"], as_index=False)
        .agg({"target_date": "min", "aimed": "first"})
    )
    rows = rows.merge(latest, on=["employee_id", "award_id"], how="left").merge(
        aimed, on=["employee_id", "award_id"], how="left"
    )
    until, is_aimed = pa.array(rows["until"].array), np.asarray(rows["aimed"].notna())
    until = until.combine_chunks() if isinstance(until, pa.ChunkedArray) else until
    until = until.cast(pa.date32())
    has = np.asarray(pc.is_valid(until))
    state = np.full(len(rows), "missing", dtype=object)
    state[is_aimed] = "targeted"
    state[has & true(pc.less(until, pa.scalar(day)))] = "expired"
    state[has & true(pc.less(until, pa.scalar(day))) & is_aimed] = "targeted"
    state[has & true(pc.greater_equal(until, pa.scalar(day)))] = "held"
    state[
        has
        & true(pc.greater_equal(until, pa.scalar(day)))
        & true(pc.less_equal(until, pa.scalar(_soon(day, expiring_within_days))))
    ] = "expiring"
    names = [arrow(rows[c]) for c in ("employee_id", "job_role_id", "award_id")]
    found = {
        "id": pc.binary_join_element_wise(*names, "~"),
        "employee_id": names[0],
        "user_id": arrow(rows["accessplanit_user_id"]),
        "job_role_id": names[1],
        "job_role_label": arrow(rows["user_type_label"]),
        "award_id": names[2],
        "award_label": arrow(rows["award_label"]),
        "state": pa.array(state, pa.string()),
        "expires_on": pc.if_else(pc.equal(until, never), pa.scalar(None, pa.date32()), until),
        "target_date": arrow(rows["target_date"]).cast(pa.date32()),
        "as_of": pa.array([day] * len(rows), pa.date32()),
    }
    return frame(found)


def as_published(
    found: pd.DataFrame, published: pd.DataFrame, doubted: pd.DataFrame
) -> pd.DataFrame:
    """``found`` (:data:`COMPLIANCE`) with the rows of people in doubt (:data:`DOUBTED`) as they
    were published, and ``doubt``.

    What was not published of them yet is in state "unknown"; ``doubt`` is null for everybody else.
    """
    why = doubted.drop_duplicates("employee_id")
    certain = found[~found["employee_id"].isin(why["employee_id"])]
    new = found[
        found["employee_id"].isin(why["employee_id"]) & ~found["id"].isin(published["id"])
    ].assign(state=UNKNOWN)
    open_ = published["id"].isin(found["id"]) | published["state"].ne(NOT_REQUIRED).fillna(True)
    kept = published[published["employee_id"].isin(why["employee_id"]) & open_]
    rows = concat([each[list(COMPLIANCE)] for each in (certain, new.astype(found.dtypes), kept)])
    return rows.merge(why, on="employee_id", how="left")


def _soon(day: date, days: int) -> date:
    return day + timedelta(days=days)


def role_names(found: pd.DataFrame) -> pd.Series[str]:
    """What each row's job role is called: its label, or its ID where nothing knows a label."""
    return found["job_role_label"].fillna(found["job_role_id"]).rename("job role")


def counted(found: pd.DataFrame) -> list[dict[str, object]]:
    """Job role -> how many stand in which state; no personal data."""
    table = found.groupby([role_names(found), "state"]).size().unstack(fill_value=0)
    states = [
        s
        for s in ("held", "expiring", "targeted", "expired", "missing", UNKNOWN)
        if s in table.columns
    ]
    rows: list[dict[str, object]] = []
    for role, row in table.iterrows():
        total, good = int(row.sum()), int(sum(row[s] for s in COMPLIANT if s in table.columns))
        rows.append(
            {
                "job role": role,
                **{s: int(row[s]) for s in states},
                "compliant": f"{100 * good / total:.0f} %",
            }
        )
    return rows
