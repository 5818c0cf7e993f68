"""Who lacks what of the awards that their job roles require, as of a day.

============  ====================================================================================
held          the latest completion is valid on the day; the expiry date itself is the last valid
              day
expiring      held, and expires within the next days (90 by default)
expired       the latest completion has expired before the day
targeted      not held, but to be achieved
missing       none of these
not required  the role, the requirement or the person has ended since it was published
============  ====================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import pandas as pd

from .awards import GROUP, current
from .frame import concat
from .tables import folded, typed

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
IN_ORDER = ("held", "expiring", "targeted", "expired", "missing", UNKNOWN)
"""The states in the order in which they are counted."""
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
    not_begun = (assignments["valid_from"] > day).fillna(False)
    ended = (assignments["valid_to"] <= day).fillna(False)
    return assignments[~not_begun & ~ended].reset_index(drop=True)


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
    held = current(awards, day)[[*GROUP, "expires_on"]].assign(held=True)
    open_ = targets[folded(targets["status"]).isin(["target"])]
    aims = open_.groupby(GROUP, as_index=False)["target_date"].min().assign(aimed=True)
    rows = (
        who.merge(needed, left_on="job_role_id", right_on="user_type_id")
        .merge(held, on=GROUP, how="left")
        .merge(aims, on=GROUP, how="left")
    )
    has, aimed = rows["held"].notna(), rows["aimed"].notna()
    over = (rows["expires_on"] < day).fillna(False)
    soon = (rows["expires_on"] <= day + timedelta(days=expiring_within_days)).fillna(False)
    state = np.select(
        [has & ~over & soon, has & ~over, aimed, has],
        ["expiring", "held", "targeted", "expired"],
        "missing",
    )
    found = rows.assign(
        id=rows["employee_id"] + "~" + rows["job_role_id"] + "~" + rows["award_id"],
        state=state,
        as_of=day,
    ).rename(columns={"accessplanit_user_id": "user_id", "user_type_label": "job_role_label"})
    return typed(found, COMPLIANCE)


def as_published(
    found: pd.DataFrame, published: pd.DataFrame, doubted: pd.DataFrame
) -> pd.DataFrame:
    """``found`` (:data:`COMPLIANCE`) with the rows of people in doubt (:data:`DOUBTED`) as they
    were published, and ``doubt``.

    What was not published of them yet is in state "unknown"; ``doubt`` is null for everybody else.
    """
    why = doubted.drop_duplicates("employee_id")
    in_doubt = found["employee_id"].isin(why["employee_id"])
    certain = found[~in_doubt]
    new = found[in_doubt & ~found["id"].isin(published["id"])].assign(state=UNKNOWN)
    # A row that is no longer required stays so, unless it is required again.
    stands = published["id"].isin(found["id"]) | (published["state"] != NOT_REQUIRED).fillna(True)
    kept = published[published["employee_id"].isin(why["employee_id"]) & stands]
    rows = concat([typed(each, COMPLIANCE) for each in (certain, new, kept)])
    return rows.merge(why, on="employee_id", how="left")


def role_names(found: pd.DataFrame) -> pd.Series[str]:
    """What each row's job role is called: its label, or its ID where nothing knows a label."""
    return found["job_role_label"].fillna(found["job_role_id"]).rename("job role")


def counted(found: pd.DataFrame) -> list[dict[str, object]]:
    """Job role -> how many stand in which state; no personal data."""
    table = found.groupby([role_names(found), "state"]).size().unstack(fill_value=0)
    shown = [state for state in IN_ORDER if state in table]
    good = table[[state for state in COMPLIANT if state in table]].sum(axis="columns")
    share = (100 * good / table.sum(axis="columns")).map("{:.0f} %".format)
    rows = table[shown].assign(compliant=share).reset_index().to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
