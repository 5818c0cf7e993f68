"""Whose rows HR holds and nobody can read: nothing is decided about these people from the rest of
their rows."""

from __future__ import annotations

import pandas as pd

from .identifiers import mentioned
from .ports import TargetReader
from .snapshot import Snapshot


def people_of_unreadable(
    hr: TargetReader, entity: str, read: Snapshot, everybody: pd.Series[str]
) -> pd.Series[str]:
    """The employees among ``everybody`` whose rows of the entity were rejected, each once.

    A row whose employee cannot be read either counts for everybody whom its text names, and for
    everybody if it has no text.

    Args:
        hr: the system that ``read`` was read from.
        entity: an entity with ``employee_id``.
        read: its rows, the first column of which is the key, and the rejected ones.
        everybody: ``employee_id`` of the people in question.
    """
    if not len(read.rejected):
        return everybody[:0]
    key = str(read.frame.columns[0])
    rows = read.rejected.assign(employee_id=read.rejected["key"])
    if entity != "employees":
        keys = [str(k) for k in rows["key"].dropna()]
        whose = hr.read(entity, {"employee_id": "text"}, {key: keys}).frame.rename(
            columns={key: "key"}
        )
        rows = read.rejected.merge(whose, on="key", how="left")
    names = rows["employee_id"].dropna()
    nameless = rows[rows["employee_id"].isna()]
    if nameless["raw"].isna().any():
        names = everybody
    elif len(nameless):
        is_named = mentioned(nameless["raw"].tolist())
        names = pd.concat([names, everybody[[is_named(name) for name in everybody]]])
    return names[names.isin(everybody)].drop_duplicates()


def awards_of_unreadable(hr: TargetReader, entity: str, read: Snapshot) -> pd.Series[str] | None:
    """``award_id`` of the rejected rows of ``read``, as :func:`people_of_unreadable` takes it;
    ``None`` if one cannot be told."""
    key = str(read.frame.columns[0])
    keys = read.rejected["key"]
    kinds = hr.read(entity, {"award_id": "text"}, {key: [str(k) for k in keys.dropna()]}).frame
    kinds = kinds[kinds[key].isin(keys)]
    return (
        kinds["award_id"] if len(kinds) == len(keys) and kinds["award_id"].notna().all() else None
    )
