"""What expires when, who is compliant as of a day, and who will no longer be if nothing happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from ..frame import concat, empty
from ..job_roles import COMPLIANT, assigned, compliance, role_names
from ..tables import looked_up, typed

BACK, AHEAD = 12, 12
"""Months before and after the day of which compliance is told."""
HORIZONS = (30, 60, 90)
"""Days from the day that is asked about."""
NONE = "(none)"
OVER_TIME = {"day": "day", "role": "text", "required": "number", "compliant": "number"}
"""How many awards a job role requires of its people on a day, and how many they hold."""


@dataclass(frozen=True)
class Forecast:
    """What lies ahead, as of a day."""

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
    """Expiry and compliance of ``people``.

    Args:
        awards: ``job_roles.AWARDS`` and ``award_label``, as the source has them.
        requirements: ``job_roles.REQUIREMENTS``.
        assignments: ``job_roles.ASSIGNMENTS``.
        targets: ``job_roles.TARGETS``.
        people: ``employee_id``, ``company_name``, ``forenames``, ``surname`` of those who have not
            left and were asked about.
        labels: ``job_role_id``, ``label``.
        day: the day that the forecast begins with.
    """
    awards = awards[awards["employee_id"].isin(people["employee_id"].dropna())]
    assignments = assignments[assignments["employee_id"].isin(people["employee_id"].dropna())]
    companies = people[["employee_id", "company_name"]].set_axis(["employee_id", "name"], axis=1)
    kinds = awards[["award_id", "award_label"]].set_axis(["award_id", "name"], axis=1)
    found = compliance(requirements, assignments, awards, targets, day, HORIZONS[-1])
    return Forecast(
        day,
        expiring(awards, companies, day),
        expiring(awards, kinds.drop_duplicates("award_id"), day),
        expiring(awards, roles_of(assignments, labels, day), day),
        over_time(requirements, assignments, awards, targets, months(day, BACK, AHEAD)),
        _with_names(next_lapses(found), people),
    )


def _with_names(rows: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """``rows`` with the ``name`` of each employee."""
    who = looked_up(rows["employee_id"], people, "employee_id")
    whole = who["forenames"] + " " + who["surname"]
    return rows.assign(name=whole.fillna(who["forenames"]).fillna(who["surname"]))


def valid(awards: pd.DataFrame) -> pd.DataFrame:
    """The awards that count: neither expired nor superseded by their ``state``."""
    return awards[awards["state"].isin(["achieved", "expiring"])]


def expiring(awards: pd.DataFrame, by: pd.DataFrame, day: date) -> pd.DataFrame:
    """How many valid awards expire within 30, 60 and 90 days of ``day``, which counts itself.

    awards: ``employee_id`` · ``award_id`` · ``expires_on`` · ``state`` as of the day. by:
    ``employee_id`` or ``award_id``, and ``name`` (of the company, award or job role); a person of
    two roles counts in both. Returns ``name`` and a number for each horizon, most first.
    """
    key, held = by.columns[0], valid(awards)
    soon = held[(held["expires_on"] <= day + timedelta(days=HORIZONS[-1])).fillna(False)]
    rows = soon[[key, "expires_on"]].merge(by, on=key, how="left")
    within = {str(d): rows["expires_on"] <= day + timedelta(days=d) for d in HORIZONS}
    table = pd.DataFrame({"name": rows["name"].fillna(NONE), **within})
    found = table.groupby("name").sum().reset_index()
    found = found.sort_values([str(HORIZONS[-1]), "name"], ascending=[False, True])
    return typed(found, {"name": "text"} | {str(days): "number" for days in HORIZONS})


def over_time(
    requirements: pd.DataFrame,
    assignments: pd.DataFrame,
    awards: pd.DataFrame,
    targets: pd.DataFrame,
    days: Sequence[date],
) -> pd.DataFrame:
    """``day`` · ``role`` · ``required`` · ``compliant``: pairs of person and required award, and
    how many are held, on each day; on days to come as if nothing happened. The frames are those of
    ``job_roles.compliance``."""
    parts = [empty(OVER_TIME)]
    for day in days:
        found = compliance(requirements, assignments, awards, targets, day, HORIZONS[-1])
        held = found.assign(role=role_names(found), held=found["state"].isin(COMPLIANT))
        counts = held.groupby("role")["held"].agg(required="size", compliant="sum").reset_index()
        parts.append(typed(counts.assign(day=day), OVER_TIME))
    return concat(parts)


def next_lapses(found: pd.DataFrame) -> pd.DataFrame:
    """Of ``job_roles.COMPLIANCE`` those that hold what they need and will not for ever, the next to
    lapse first."""
    held = found[found["state"].isin(COMPLIANT) & found["expires_on"].notna()]
    return held.sort_values(["expires_on", "id"], ignore_index=True)


def months(day: date, back: int, ahead: int) -> list[date]:
    """The same day of ``back`` months before and ``ahead`` months after, and the day itself; the
    last of a short month."""
    first = pd.Timestamp(day)
    return [(first + pd.DateOffset(months=number)).date() for number in range(-back, ahead + 1)]


def roles_of(assignments: pd.DataFrame, labels: pd.DataFrame, day: date) -> pd.DataFrame:
    """``employee_id`` · ``name`` of the job roles that people have on a day."""
    who = assigned(assignments, day).drop_duplicates(["employee_id", "job_role_id"])
    names = looked_up(who["job_role_id"], labels, "job_role_id")["label"]
    return who[["employee_id"]].assign(name=names.fillna(who["job_role_id"]))
