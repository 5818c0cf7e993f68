"""Forecasts expiry and role compliance as of a day, assuming that nothing else happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from ..frame import concat, empty
from ..job_roles import COMPLIANT, assigned, compliance, role_names
from ..tables import looked_up, typed

BACK, AHEAD = 12, 12
"""Number of months before and after the day for which compliance is computed."""
HORIZONS = (30, 60, 90)
"""Number of days ahead for which expiring awards are counted."""
NONE = "(none)"
OVER_TIME = {"day": "day", "role": "text", "required": "number", "compliant": "number"}
"""Number of awards that a job role requires of its people on a day, and number that they hold."""


@dataclass(frozen=True)
class Forecast:
    """The forecast as of a day."""

    day: date
    by_company: pd.DataFrame
    """:func:`expiring` by company."""
    by_award: pd.DataFrame
    """:func:`expiring` by award."""
    by_role: pd.DataFrame
    """:func:`expiring` by job role."""
    compliance: pd.DataFrame
    """:func:`over_time`."""
    lapses: pd.DataFrame
    """:func:`next_lapses`, with ``name``."""


def forecast(
    awards: pd.DataFrame,
    requirements: pd.DataFrame,
    assignments: pd.DataFrame,
    targets: pd.DataFrame,
    people: pd.DataFrame,
    labels: pd.DataFrame,
    day: date,
) -> Forecast:
    """Computes expiry and compliance of ``people``.

    Args:
        awards: ``job_roles.AWARDS`` and ``award_label``, as the source has them.
        requirements: ``job_roles.REQUIREMENTS``.
        assignments: ``job_roles.ASSIGNMENTS``.
        targets: ``job_roles.TARGETS``.
        people: ``employee_id``, ``company_name``, ``forenames``, ``surname`` of those who have not
            left and are in the inquiry.
        labels: ``job_role_id``, ``label``.
        day: the day on which the forecast begins.
    """
    awards = awards[awards["employee_id"].isin(people["employee_id"].dropna())]
    assignments = assignments[assignments["employee_id"].isin(people["employee_id"].dropna())]
    companies = people[["employee_id", "company_name"]].set_axis(["employee_id", "name"], axis=1)
    kinds = awards[["award_id", "award_label"]].set_axis(["award_id", "name"], axis=1)
    on_day = compliance(requirements, assignments, awards, targets, day, HORIZONS[-1])
    return Forecast(
        day,
        expiring(awards, companies, day),
        expiring(awards, kinds.drop_duplicates("award_id"), day),
        expiring(awards, roles_of(assignments, labels, day), day),
        over_time(requirements, assignments, awards, targets, months(day, BACK, AHEAD)),
        _with_names(next_lapses(on_day), people),
    )


def _with_names(rows: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """Adds the ``name`` of each employee; a missing part of the name is left out."""
    person = looked_up(rows["employee_id"], people, "employee_id")
    full_name = person["forenames"] + " " + person["surname"]
    return rows.assign(name=full_name.fillna(person["forenames"]).fillna(person["surname"]))


def valid(awards: pd.DataFrame) -> pd.DataFrame:
    """Returns the awards that count, by their ``state``: achieved or expiring."""
    return awards[awards["state"].isin(["achieved", "expiring"])]


def expiring(awards: pd.DataFrame, by: pd.DataFrame, day: date) -> pd.DataFrame:
    """Counts the valid awards that expire within 30, 60 and 90 days of ``day``, ``day`` included.

    Args:
        awards: ``employee_id``, ``award_id``, ``expires_on`` and ``state`` as of the day.
        by: the groups to count by: ``employee_id`` or ``award_id``, and ``name`` (of the company,
            award or job role). A person with two job roles counts in both.
        day: the first day that counts.

    Returns:
        ``name`` and a number for each horizon, the largest number first.
    """
    key, valid_awards = by.columns[0], valid(awards)
    last_day = day + timedelta(days=HORIZONS[-1])
    soon = valid_awards[(valid_awards["expires_on"] <= last_day).fillna(False)]
    rows = soon[[key, "expires_on"]].merge(by, on=key, how="left")
    within = {str(d): rows["expires_on"] <= day + timedelta(days=d) for d in HORIZONS}
    table = pd.DataFrame({"name": rows["name"].fillna(NONE), **within})
    counts = table.groupby("name").sum().reset_index()
    counts = counts.sort_values([str(HORIZONS[-1]), "name"], ascending=[False, True])
    return typed(counts, {"name": "text"} | {str(days): "number" for days in HORIZONS})


def over_time(
    requirements: pd.DataFrame,
    assignments: pd.DataFrame,
    awards: pd.DataFrame,
    targets: pd.DataFrame,
    days: Sequence[date],
) -> pd.DataFrame:
    """Counts, for each day and job role, the pairs of person and required award and how many of
    them are held (:data:`OVER_TIME`). Future days assume that nothing happens.

    The frames are those of ``job_roles.compliance``.
    """
    parts = [empty(OVER_TIME)]
    for day in days:
        on_day = compliance(requirements, assignments, awards, targets, day, HORIZONS[-1])
        by_role = on_day.assign(role=role_names(on_day), held=on_day["state"].isin(COMPLIANT))
        counts = by_role.groupby("role")["held"].agg(required="size", compliant="sum").reset_index()
        parts.append(typed(counts.assign(day=day), OVER_TIME))
    return concat(parts)


def next_lapses(found: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows of ``job_roles.COMPLIANCE`` that are compliant and have an expiry date, the
    earliest first."""
    lapsing = found[found["state"].isin(COMPLIANT) & found["expires_on"].notna()]
    return lapsing.sort_values(["expires_on", "id"], ignore_index=True)


def months(day: date, back: int, ahead: int) -> list[date]:
    """Returns the same day of the month from ``back`` months before to ``ahead`` months after; in a
    shorter month its last day."""
    start = pd.Timestamp(day)
    return [(start + pd.DateOffset(months=number)).date() for number in range(-back, ahead + 1)]


def roles_of(assignments: pd.DataFrame, labels: pd.DataFrame, day: date) -> pd.DataFrame:
    """Returns ``employee_id`` and ``name`` of each job role that a person has on a day."""
    roles = assigned(assignments, day).drop_duplicates(["employee_id", "job_role_id"])
    names = looked_up(roles["job_role_id"], labels, "job_role_id")["label"]
    return roles[["employee_id"]].assign(name=names.fillna(roles["job_role_id"]))
