"""What expires when, who is compliant as of a day, and who will no longer be if nothing happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .frame import arrow, frame, is_among, pick, true, with_columns
from .job_roles import ASSIGNMENTS, COMPLIANT, assigned, compliance, role_names

BACK, AHEAD = 12, 12
"""Months before and after the day of which compliance is told."""
HORIZONS = (30, 60, 90)
"""Days from the day that is asked about."""
NONE = "(none)"


@dataclass(frozen=True)
class Forecast:
    """As of a ``day``: :func:`expiring` by company, award and job role; compliance
    :func:`over_time`; who lapses next (:func:`next_lapses`, with ``name``)."""

    day: date
    by_company: pd.DataFrame
    by_award: pd.DataFrame
    by_role: pd.DataFrame
    compliance: pd.DataFrame
    lapses: pd.DataFrame


def forecast(
    awards: pd.DataFrame,
    requirements: pd.DataFrame,
    assignments: pd.DataFrame,
    targets: pd.DataFrame,
    people: pd.DataFrame,
    labels: pd.DataFrame,
    day: date,
) -> Forecast:
    """All of it, of ``people`` alone: those who have not left and were asked about.

    awards: as the source has them, ``job_roles.AWARDS`` and ``award_label``. people:
    ``employee_id`` · ``company_name`` · ``forenames`` · ``surname``. labels: ``job_role_id`` ·
    ``label``. The others are those of ``job_roles.compliance``.
    """
    awards = pick(awards, is_among(awards["employee_id"], people["employee_id"]))
    assignments = pick(assignments, is_among(assignments["employee_id"], people["employee_id"]))
    companies = frame(
        {"employee_id": arrow(people["employee_id"]), "name": arrow(people["company_name"])}
    )
    kinds = frame(
        {"award_id": arrow(awards["award_id"]), "name": arrow(awards["award_label"])}
    ).drop_duplicates("award_id")
    lapses = next_lapses(compliance(requirements, assignments, awards, targets, day, HORIZONS[-1]))
    names = pc.binary_join_element_wise(
        arrow(people["forenames"]), arrow(people["surname"]), " ", null_handling="skip"
    )
    place = pc.index_in(arrow(lapses["employee_id"]), value_set=arrow(people["employee_id"]))
    return Forecast(
        day,
        expiring(awards, companies, day),
        expiring(awards, kinds, day),
        expiring(awards, roles_of(assignments, labels, day), day),
        over_time(requirements, assignments, awards, targets, months(day, BACK, AHEAD)),
        with_columns(lapses, {"name": names.take(place)}),
    )


def valid(awards: pd.DataFrame) -> pd.DataFrame:
    """The awards that count: neither expired nor superseded by their ``state``."""
    return pick(
        awards, true(pc.is_in(arrow(awards["state"]), value_set=pa.array(["achieved", "expiring"])))
    )


def expiring(awards: pd.DataFrame, by: pd.DataFrame, day: date) -> pd.DataFrame:
    """How many valid awards expire within 30, 60 and 90 days of ``day``, which counts itself.

    awards: ``employee_id`` · ``award_id`` · ``expires_on`` · ``state`` as of the day. by:
    ``employee_id`` or ``award_id``, and ``name`` (of the company, award or job role); a person of
    two roles counts in both. Returns ``name`` and a number for each horizon, most first.
    """
    soon = valid(awards)
    key = by.columns[0]
    soon = pick(
        soon,
        true(
            pc.less_equal(arrow(soon["expires_on"]), pa.scalar(day + timedelta(days=HORIZONS[-1])))
        ),
    )
    rows = soon[list(dict.fromkeys([key, "expires_on"]))].merge(by, on=key, how="left")
    names = pc.fill_null(pa.array(rows["name"].array).cast(pa.string()), NONE)
    left = (
        pa.array(rows["expires_on"].array)
        .cast(pa.date32())
        .cast(pa.int32())
        .to_numpy(zero_copy_only=False)
        - (day - date(1970, 1, 1)).days
    )
    table = pd.DataFrame(
        {
            "name": np.asarray(names.to_pylist(), dtype=object),
            **{str(days): left <= days for days in HORIZONS},
        }
    )
    found = table.groupby("name").sum().astype("int64").reset_index()
    found = found.sort_values([str(HORIZONS[-1]), "name"], ascending=[False, True])
    return frame(
        {
            "name": pa.array(found["name"].tolist(), pa.string()),
            **{str(d): pa.array(found[str(d)].tolist(), pa.int64()) for d in HORIZONS},
        }
    )


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
    rows: list[tuple[date, str, int, int]] = []
    for day in days:
        found = compliance(requirements, assignments, awards, targets, day, HORIZONS[-1])
        good = true(pc.is_in(arrow(found["state"]), value_set=pa.array(COMPLIANT)))
        for role, group in pd.Series(good).groupby(role_names(found).to_numpy(dtype=object)):
            rows.append((day, str(role), len(group), int(group.sum())))
    columns = list(zip(*rows, strict=True)) or [()] * 4
    kinds = (pa.date32(), pa.string(), pa.int64(), pa.int64())
    return frame(
        {
            n: pa.array(c, k)
            for n, c, k in zip(
                ("day", "role", "required", "compliant"), columns, kinds, strict=True
            )
        }
    )


def next_lapses(found: pd.DataFrame) -> pd.DataFrame:
    """Of ``job_roles.COMPLIANCE`` those that hold what they need and will not for ever, the next to
    lapse first."""
    held = pick(
        found,
        true(pc.is_in(arrow(found["state"]), value_set=pa.array(COMPLIANT)))
        & np.asarray(pc.is_valid(arrow(found["expires_on"]))),
    )
    return held.sort_values(["expires_on", "id"]).reset_index(drop=True)


def months(day: date, back: int, ahead: int) -> list[date]:
    """The same day of ``back`` months before and ``ahead`` months after, and the day itself; the
    last of a short month."""
    first = pd.Timestamp(day)
    return [(first + pd.DateOffset(months=number)).date() for number in range(-back, ahead + 1)]


def roles_of(assignments: pd.DataFrame, labels: pd.DataFrame, day: date) -> pd.DataFrame:
    """``employee_id`` · ``name`` of the job roles that people have on a day."""
    who = assigned(assignments[list(ASSIGNMENTS)], day).drop_duplicates(
        ["employee_id", "job_role_id"]
    )
    place = pc.index_in(arrow(who["job_role_id"]), value_set=arrow(labels["job_role_id"]))
    names = pc.coalesce(arrow(labels["label"]).take(place), arrow(who["job_role_id"]))
    return frame({"employee_id": arrow(who["employee_id"]), "name": names})
