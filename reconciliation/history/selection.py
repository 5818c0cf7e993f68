"""Which rows and records an inquiry is about."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd

from ..errors import Misconfigured
from ..frame import concat
from ..job_roles import assigned
from ..ports import HrSystem
from ..snapshot import Snapshot
from ..spec import ProcessSpec
from ..tables import DAY, looked_up
from .context import Context
from .inquiry import Inquiry, business_day


def holder_of(spec: ProcessSpec) -> str:
    """The target's column with the person a row is about."""
    return spec.holder if spec.person else spec.entity_key


def award_of(spec: ProcessSpec) -> tuple[str, str] | None:
    """(column of the feed, column of the target) with the ID of the award, if the process is about
    awards."""
    return next(
        ((f.source, f.target) for f in spec.fields if "award_id" in (f.source, f.target)), None
    )


def asked_about(
    spec: ProcessSpec, inquiry: Inquiry, rows: pd.DataFrame, chosen: pd.Series[str] | None
) -> pd.Series[bool]:
    """Which rows of the target are of the people (``chosen``, all if ``None``) and awards that the
    inquiry is about."""
    asked, award = pd.Series(True, rows.index), award_of(spec)
    if chosen is not None:
        asked &= rows[holder_of(spec)].isin(chosen)
    if inquiry.awards and award:
        asked &= rows[award[1]].isin(inquiry.awards)
    return asked


def in_period(inquiry: Inquiry, days: pd.Series[Any]) -> pd.Series[bool]:
    """Which days, or days of moments, lie in the period; a missing day does not."""
    first, last = inquiry.first or date.min, inquiry.last or date.max
    return days.astype(DAY).between(first, last).fillna(False)


def only_asked_about(
    context: Context, expected: pd.DataFrame, actual: pd.DataFrame, settled: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """All three without the rows that the inquiry is not about. Where nobody can tell, a row
    stays."""
    spec, inquiry, chosen = context.spec, context.inquiry, context.back.chosen
    if chosen is None and not inquiry.awards and not inquiry.period:
        return expected, actual, settled
    ours = asked_about(spec, inquiry, expected, chosen)
    theirs = asked_about(spec, inquiry, actual, chosen)
    day = business_day(spec)
    if inquiry.period and day:
        # A record whose sides disagree about the very day is in the period if one of them is.
        keys = pd.concat(
            [side.loc[in_period(inquiry, side[day[1]]), context.key] for side in (expected, actual)]
        )
        ours &= expected[context.key].isin(keys)
        theirs &= actual[context.key].isin(keys)
    return (
        expected[ours].reset_index(drop=True),
        actual[theirs].reset_index(drop=True),
        settled[_settled_asked_about(context, settled)].reset_index(drop=True),
    )


def _settled_asked_about(context: Context, settled: pd.DataFrame) -> pd.Series[bool]:
    """Which of ``causes.EXPLAINED`` the inquiry is about, by the record or else by the row."""
    spec, inquiry, chosen = context.spec, context.inquiry, context.back.chosen
    data = concat([context.matched.records.everything, context.matched.records.outside])
    record = looked_up(settled["source_key"], data, spec.key)
    row = looked_up(settled["key"], context.rows, context.key)
    asked, award, day = pd.Series(True, settled.index), award_of(spec), business_day(spec)
    if chosen is not None:
        whose = row[holder_of(spec)]
        if spec.person:
            people = looked_up(record[spec.person], context.back.people, "source_key")
            whose = people["target_key"].fillna(whose)
        asked &= whose.isin(chosen) | whose.isna()
    if inquiry.awards and award:
        which = record[award[0]].fillna(row[award[1]])
        asked &= which.isin(inquiry.awards) | which.isna()
    if inquiry.period and day:
        when = record[day[0]].astype(DAY).fillna(row[day[1]].astype(DAY))
        unknown = record[spec.key].isna() & row[context.key].isna()
        asked &= in_period(inquiry, when) | unknown
    return asked


def doubted(
    spec: ProcessSpec,
    inquiry: Inquiry,
    read: Snapshot,
    rows: pd.DataFrame,
    origin: pd.DataFrame,
    chosen: pd.Series[str] | None,
) -> tuple[str, ...]:
    """Keys of the source's records that rows of the target come from, that the inquiry is about and
    that were not seen."""
    asked, day = asked_about(spec, inquiry, rows, chosen), business_day(spec)
    if inquiry.period and day:
        asked &= in_period(inquiry, rows[day[1]])
    keys = rows.loc[asked, spec.entity_key]
    records = looked_up(keys, origin, "key")["source_key"]
    # Without rules a record's key is the row's.
    records = records.dropna() if spec.match else records.fillna(keys)
    seen = pd.concat([read.frame[spec.key], read.rejected["key"]])
    return tuple(sorted(set(records[~records.isin(seen)])))


def chosen_people(
    spec: ProcessSpec, inquiry: Inquiry, hr: HrSystem, people: pd.DataFrame
) -> pd.Series[str] | None:
    """The people that the inquiry is about, as the target of the process names them; ``None``: all.
    people: links, from accessplanit's side.

    Raises:
        Misconfigured: the HR system does not hold what tells them.
    """
    found: list[pd.Series[str]] = []
    if inquiry.people:
        found.append(people.loc[people["source_key"].isin(inquiry.people), "target_key"])
    if inquiry.companies:
        rows = _hr_rows(hr, "employees", ("company_id",), "companies")
        found.append(rows.loc[rows["company_id"].isin(inquiry.companies), rows.columns[0]])
    if inquiry.roles:
        names = ("employee_id", "job_role_id", "valid_from", "valid_to")
        rows = assigned(_hr_rows(hr, "assignments", names, "job roles"), inquiry.as_of)
        found.append(rows.loc[rows["job_role_id"].isin(inquiry.roles), "employee_id"])
    if not found:
        return None
    employees = found[0]
    for others in found[1:]:
        employees = employees[employees.isin(others)]
    if spec.direction == "to_hr":
        return employees.dropna()
    return people.loc[people["target_key"].isin(employees.dropna()), "source_key"]


def _hr_rows(hr: HrSystem, entity: str, names: tuple[str, ...], what: str) -> pd.DataFrame:
    """All rows of an entity of HR, its key first."""
    holds = hr.capabilities.entities.get(entity)
    kinds = holds.kinds() if holds else {}
    if holds is None or not set(names) <= set(kinds):
        raise Misconfigured(
            f"{hr.capabilities.system} does not hold the {what} of people",
            "Leave that filter out, or name the people themselves.",
        )
    return hr.read(entity, {n: kinds[n] for n in names if n != holds.key}, None).frame
