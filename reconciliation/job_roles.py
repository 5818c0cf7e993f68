"""Computes role compliance: whether people hold the awards that their job roles require, as of a
day.

============  ====================================================================================
held          the latest completion is valid on the day; the expiry date itself is the last valid
              day
expiring      held, and expires within the next days (90 by default)
expired       the latest completion has expired before the day
targeted      not held, but there is an open target
missing       none of these
not required  the role, the requirement or the person has ended since the row was published
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
"""One row per employee, job role and award that the role requires. ``id`` contains the IDs of all
three; ``user_id`` is accessplanit's ID of the employee."""
COMPLIANT = ("held", "expiring")
NOT_REQUIRED, UNKNOWN = "not required", "unknown"
IN_ORDER = ("held", "expiring", "targeted", "expired", "missing", UNKNOWN)
"""The states in the order in which :func:`counts_by_role` lists them."""
DOUBTED: Mapping[str, str] = {"employee_id": "text", "doubt": "text"}
"""A person whose compliance cannot be computed, and the reason."""
WHY_DOUBTED: Mapping[str, str] = {
    "employees": "is of a person whose row in HR cannot be read",
    "assignments": "is of a person with an assignment in HR that cannot be read",
    "award_targets": "is of a person with an award target in HR that cannot be read",
    "awards": "is of a person with an award in HR that cannot be read",
}
"""Entity of HR -> the reason why compliance cannot be computed if a row there is unreadable."""


def assigned(assignments: pd.DataFrame, day: date) -> pd.DataFrame:
    """Returns the assignments (:data:`ASSIGNMENTS`) that are valid on a day: from ``valid_from``
    until the day before ``valid_to``."""
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
    """Computes :data:`COMPLIANCE` as of ``day``. The frames have the columns declared above;
    ``assignments`` may contain ended and future ones."""
    needed = requirements.drop_duplicates(["user_type_id", "award_id"])
    roles = assigned(assignments, day).drop_duplicates(["employee_id", "job_role_id"])
    held = current(awards, day)[[*GROUP, "expires_on"]].assign(held=True)
    open_ = targets[folded(targets["status"]).isin(["target"])]
    aims = open_.groupby(GROUP, as_index=False)["target_date"].min().assign(aimed=True)
    rows = (
        roles.merge(needed, left_on="job_role_id", right_on="user_type_id")
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
    with_states = rows.assign(
        id=rows["employee_id"] + "~" + rows["job_role_id"] + "~" + rows["award_id"],
        state=state,
        as_of=day,
    ).rename(columns={"accessplanit_user_id": "user_id", "user_type_label": "job_role_label"})
    return typed(with_states, COMPLIANCE)


def as_published(
    found: pd.DataFrame, published: pd.DataFrame, doubted: pd.DataFrame
) -> pd.DataFrame:
    """Replaces the rows of people in doubt (:data:`DOUBTED`) by the published ones, and adds the
    column ``doubt``.

    Rows of these people that were not published yet get the state "unknown". ``doubt`` is null for
    everybody else. ``found`` is :data:`COMPLIANCE` as computed, ``published`` as HR has it.
    """
    why = doubted.drop_duplicates("employee_id")
    in_doubt = found["employee_id"].isin(why["employee_id"])
    certain = found[~in_doubt]
    new = found[in_doubt & ~found["id"].isin(published["id"])].assign(state=UNKNOWN)
    # A published row in state "not required" is left out and so stays in that state, unless it is
    # required again.
    stays = published["id"].isin(found["id"]) | (published["state"] != NOT_REQUIRED).fillna(True)
    kept = published[published["employee_id"].isin(why["employee_id"]) & stays]
    rows = concat([typed(each, COMPLIANCE) for each in (certain, new, kept)])
    return rows.merge(why, on="employee_id", how="left")


def role_names(found: pd.DataFrame) -> pd.Series[str]:
    """Returns the name of each row's job role: its label, or its ID if the label is unknown."""
    return found["job_role_label"].fillna(found["job_role_id"]).rename("job role")


def counts_by_role(found: pd.DataFrame) -> list[dict[str, object]]:
    """Counts the rows of each job role by state, one dict per role. Holds no personal data."""
    table = found.groupby([role_names(found), "state"]).size().unstack(fill_value=0)
    shown = [state for state in IN_ORDER if state in table]
    good = table[[state for state in COMPLIANT if state in table]].sum(axis="columns")
    share = (100 * good / table.sum(axis="columns")).map("{:.0f} %".format)
    rows = table[shown].assign(compliant=share).reset_index().to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
