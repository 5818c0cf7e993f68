"""Finds the people with unreadable rows, about whom nothing may be decided from their other
rows."""

from __future__ import annotations

import pandas as pd

from .identifiers import mentioned
from .ports import TargetReader
from .snapshot import Snapshot


def people_of_unreadable(
    hr: TargetReader, entity: str, read: Snapshot, everybody: pd.Series[str]
) -> pd.Series[str]:
    """Returns the employees among ``everybody`` with rejected rows of the entity, each once.

    If the employee of a row cannot be read, the row counts for every employee whom its raw text
    mentions. If it has no raw text, it counts for everybody.

    Args:
        hr: the system that ``read`` was read from.
        entity: an entity with ``employee_id``.
        read: the rows of the entity; the first column is its key.
        everybody: ``employee_id`` of the people in question.
    """
    if not len(read.rejected):
        return everybody[:0]
    key = str(read.frame.columns[0])
    rows = read.rejected.assign(employee_id=read.rejected["key"])
    if entity != "employees":
        keys = [str(k) for k in rows["key"].dropna()]
        holders = hr.read(entity, {"employee_id": "text"}, {key: keys}).frame.rename(
            columns={key: "key"}
        )
        rows = read.rejected.merge(holders, on="key", how="left")
    people = rows["employee_id"].dropna()
    without_person = rows[rows["employee_id"].isna()]
    if without_person["raw"].isna().any():
        people = everybody
    elif len(without_person):
        is_mentioned = mentioned(without_person["raw"].tolist())
        people = pd.concat([people, everybody[[is_mentioned(each) for each in everybody]]])
    return people[people.isin(everybody)].drop_duplicates()


def awards_of_unreadable(hr: TargetReader, entity: str, read: Snapshot) -> pd.Series[str] | None:
    """Returns ``award_id`` of the rejected rows of ``read`` (as in :func:`people_of_unreadable`);
    ``None`` if that of any row is unknown."""
    key = str(read.frame.columns[0])
    keys = read.rejected["key"]
    awards = hr.read(entity, {"award_id": "text"}, {key: [str(k) for k in keys.dropna()]}).frame
    awards = awards[awards[key].isin(keys)]
    all_known = len(awards) == len(keys) and awards["award_id"].notna().all()
    return awards["award_id"] if all_known else None
