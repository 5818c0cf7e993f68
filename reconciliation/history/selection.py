"""Selects the rows and records that an inquiry is about."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd

from ..errors import WrongInput
from ..frame import concat
from ..job_roles import assigned
from ..ports import HrSystem
from ..snapshot import Snapshot
from ..spec import ProcessSpec
from ..tables import DAY, looked_up
from .context import Context
from .inquiry import Inquiry, business_day


def holder_of(spec: ProcessSpec) -> str:
    """Returns the name of the target's column with the person of a row."""
    return spec.holder if spec.person else spec.entity_key


def award_of(spec: ProcessSpec) -> tuple[str, str] | None:
    """Returns the names of the columns with the ID of the award: in the feed, and in the target.
    ``None`` if the process is not about awards."""
    return next(
        ((f.source, f.target) for f in spec.fields if "award_id" in (f.source, f.target)), None
    )


def asked_about(
    spec: ProcessSpec, inquiry: Inquiry, rows: pd.DataFrame, chosen: pd.Series[str] | None
) -> pd.Series[bool]:
    """Returns the mask of the target's rows whose person is ``chosen`` and whose award the inquiry
    names. If ``chosen`` is ``None``, it holds for every person."""
    mask, award = pd.Series(True, rows.index), award_of(spec)
    if chosen is not None:
        mask &= rows[holder_of(spec)].isin(chosen)
    if inquiry.awards and award:
        _, award_column = award
        mask &= rows[award_column].isin(inquiry.awards)
    return mask


def in_period(inquiry: Inquiry, days: pd.Series[Any]) -> pd.Series[bool]:
    """Returns the mask of days (or moments) that lie in the period. A missing day does not."""
    first, last = inquiry.first or date.min, inquiry.last or date.max
    return days.astype(DAY).between(first, last).fillna(False)


def only_asked_about(
    context: Context, expected: pd.DataFrame, actual: pd.DataFrame, settled: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Removes from all three frames the rows that the inquiry is not about.

    If the person or award of a row of ``settled`` is not known, the row is not removed because of
    it. The same is true of its day if neither side has readable values.
    """
    spec, inquiry, chosen = context.spec, context.inquiry, context.back.chosen
    if chosen is None and not inquiry.awards and not inquiry.period:
        return expected, actual, settled
    ours = asked_about(spec, inquiry, expected, chosen)
    theirs = asked_about(spec, inquiry, actual, chosen)
    day = business_day(spec)
    if inquiry.period and day:
        # The two sides may have different days. It is enough that one of them is in the period.
        _, day_column = day
        keys = pd.concat(
            [
                side.loc[in_period(inquiry, side[day_column]), context.key]
                for side in (expected, actual)
            ]
        )
        ours &= expected[context.key].isin(keys)
        theirs &= actual[context.key].isin(keys)
    return (
        expected[ours].reset_index(drop=True),
        actual[theirs].reset_index(drop=True),
        settled[_settled_asked_about(context, settled)].reset_index(drop=True),
    )


def _settled_asked_about(context: Context, settled: pd.DataFrame) -> pd.Series[bool]:
    """Returns the mask of the rows of ``settled`` (``causes.EXPLAINED``) that the inquiry is about.
    Person, award and day are taken from the source's record. If it has none, they are taken from
    the target's row."""
    spec, inquiry, chosen = context.spec, context.inquiry, context.back.chosen
    data = concat([context.matched.records.everything, context.matched.records.outside])
    record = looked_up(settled["source_key"], data, spec.key)
    row = looked_up(settled["key"], context.rows, context.key)
    mask, award, day = pd.Series(True, settled.index), award_of(spec), business_day(spec)
    if chosen is not None:
        person = row[holder_of(spec)]
        if spec.person:
            links = looked_up(record[spec.person], context.back.people, "source_key")
            person = links["target_key"].fillna(person)
        mask &= person.isin(chosen) | person.isna()
    if inquiry.awards and award:
        feed_column, target_column = award
        award_id = record[feed_column].fillna(row[target_column])
        mask &= award_id.isin(inquiry.awards) | award_id.isna()
    if inquiry.period and day:
        feed_column, target_column = day
        days = record[feed_column].astype(DAY).fillna(row[target_column].astype(DAY))
        # Nothing is known of a row without a record and without a row in the target. A known record
        # without a day is not in the period.
        unknown = record[spec.key].isna() & row[context.key].isna()
        mask &= in_period(inquiry, days) | unknown
    return mask


def missing_from_read(
    spec: ProcessSpec,
    inquiry: Inquiry,
    read: Snapshot,
    rows: pd.DataFrame,
    origin: pd.DataFrame,
    chosen: pd.Series[str] | None,
) -> tuple[str, ...]:
    """Finds the records that should exist, because the target has rows of them, and that were not
    read. Returns their source keys, sorted.

    Args:
        spec: the process.
        inquiry: selects the rows of the target.
        read: the source's records that were read; rejected ones count as returned.
        rows: the target's rows.
        origin: ``sweep.ORIGIN``: the source key behind each row of the target.
        chosen: the people, as in :func:`asked_about`.
    """
    mask, day = asked_about(spec, inquiry, rows, chosen), business_day(spec)
    if inquiry.period and day:
        _, day_column = day
        mask &= in_period(inquiry, rows[day_column])
    keys = rows.loc[mask, spec.entity_key]
    records = looked_up(keys, origin, "key")["source_key"]
    # Without match rules, the key of a record is also the key of its row.
    records = records.dropna() if spec.match else records.fillna(keys)
    seen = pd.concat([read.frame[spec.key], read.rejected["key"]])
    return tuple(sorted(set(records[~records.isin(seen)])))


def chosen_people(
    spec: ProcessSpec, inquiry: Inquiry, hr: HrSystem, people: pd.DataFrame
) -> pd.Series[str] | None:
    """Returns the keys that the target of the process uses for the people of the inquiry; ``None``
    if it is about everybody. People must meet every filter of the inquiry.

    Args:
        spec: the process.
        inquiry: the inquiry.
        hr: the HR system, which is read for companies and job roles.
        people: the links of all people: ``source_key`` is accessplanit's ID, ``target_key`` the
            employee ID.

    Raises:
        WrongInput: the HR system does not hold the columns that a filter needs.
    """
    by_filter: list[pd.Series[str]] = []
    if inquiry.people:
        by_filter.append(people.loc[people["source_key"].isin(inquiry.people), "target_key"])
    if inquiry.companies:
        rows = _hr_rows(hr, "employees", ("company_id",), "companies")
        by_filter.append(rows.loc[rows["company_id"].isin(inquiry.companies), rows.columns[0]])
    if inquiry.roles:
        names = ("employee_id", "job_role_id", "valid_from", "valid_to")
        rows = assigned(_hr_rows(hr, "assignments", names, "job roles"), inquiry.as_of)
        by_filter.append(rows.loc[rows["job_role_id"].isin(inquiry.roles), "employee_id"])
    if not by_filter:
        return None
    employees, *others = by_filter
    for other in others:
        employees = employees[employees.isin(other)]
    if spec.direction == "to_hr":
        return employees.dropna()
    return people.loc[people["target_key"].isin(employees.dropna()), "source_key"]


def _hr_rows(hr: HrSystem, entity: str, names: tuple[str, ...], what: str) -> pd.DataFrame:
    """Reads all rows of an HR entity: its key column, then the columns ``names``."""
    holds = hr.capabilities.entities.get(entity)
    kinds = holds.kinds() if holds else {}
    if holds is None or not set(names) <= set(kinds):
        raise WrongInput(
            f"{hr.capabilities.system} does not hold people's {what}",
            "Leave that filter out, or give the IDs of the people.",
        )
    return hr.read(entity, {n: kinds[n] for n in names if n != holds.key}, None).frame
