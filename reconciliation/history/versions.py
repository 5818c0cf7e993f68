"""Queries the ledger's versions of rows by two times: when a version was known, and when it was
true.

Every row in the ledger has one or more versions. The ledger knows a version from ``known_from`` on.
The version is true from ``valid_from`` on, and replaces what was known before about the time after
that; without ``valid_from`` it is true for all time. Rows that contain their own dates (the dates
of an award, from and to of an assignment) have no ``valid_from``. Versions are never changed: later
knowledge is a further version.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from ..aligned import align
from ..frame import concat
from ..tables import MOMENT, TEXT

VERSIONS = {
    "key": "text",
    "person": "text",
    "how": "text",
    "known_from": "moment",
    "valid_from": "moment",
    "process": "text",
    "run": "text",
}
"""The first columns of a version; the columns of its entity follow. ``how`` is ``written`` or
``closed`` (by a run), ``seen`` (somebody else changed the row) or ``removed`` (the row was found to
be missing). A frame of versions is in the order in which the ledger learnt them."""
DATED = frozenset({"awards", "assignments", "UserAward", "UserUserType"})
"""Entities, of either side, whose rows contain the dates on which they are valid."""
CHANGED = ("source_updated_at", "updated_at")
"""Columns with the moment from which a row's values are true; the first that exists counts."""


def valid_from(entity: str, rows: pd.DataFrame) -> pd.Series[Any]:
    """Returns the moment from which each row of an entity is true; null where the row does not say
    it."""
    named = [name for name in CHANGED if name in rows and entity not in DATED]
    if not named:
        return pd.Series(pd.NA, rows.index, MOMENT)
    return rows[named[0]].astype(MOMENT)


def latest(versions: pd.DataFrame) -> pd.DataFrame:
    """Returns the last version of each key, without rows whose last version is ``removed``."""
    last = versions.drop_duplicates("key", keep="last")
    return last[last["how"] != "removed"].reset_index(drop=True)


def last_written(versions: pd.DataFrame) -> pd.DataFrame:
    """Returns the last version of each key that a run wrote."""
    return latest(versions[versions["how"].isin(["written", "closed"])])


def known(versions: pd.DataFrame, at: datetime | None) -> pd.DataFrame:
    """Returns the versions that were known at a moment (with an offset); all if it is ``None``."""
    if at is None:
        return versions
    return versions[versions["known_from"] <= at.astimezone(UTC)].reset_index(drop=True)


def held(versions: pd.DataFrame, until: datetime) -> pd.DataFrame:
    """Returns the versions that became true before a moment (with an offset), or are true for all
    time."""
    true_before = (versions["valid_from"] < until.astimezone(UTC)).fillna(True)
    return versions[true_before].reset_index(drop=True)


def shown(versions: pd.DataFrame, at: datetime | None) -> pd.DataFrame:
    """Returns the target's rows as the ledger knew them at a moment: one row per key."""
    return latest(known(versions, at))


def true_on(versions: pd.DataFrame, until: datetime, at: datetime | None) -> pd.DataFrame:
    """Returns the rows that were true just before ``until``, as known at ``at``: one row per
    key."""
    return latest(held(known(versions, at), until))


def news(versions: pd.DataFrame, rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Returns new versions, without moments, for the rows that differ from their last version. Keys
    that have a version but no row are ``removed``.

    Args:
        versions: the versions that the ledger has.
        rows: all rows of the target, with ``key`` and ``columns``.
        columns: the managed columns.
    """
    last = latest(versions)
    # Versions from an older mapping may lack columns.
    lacking = {name: None for name in columns if name not in last}
    dtypes = rows[columns].dtypes.to_dict()
    last = last.assign(**lacking)[["key", *columns]].astype(dtypes)
    aligned = align(rows, last, "key", columns)
    new_or_changed = aligned.alone.copy()
    new_or_changed[aligned.ours[aligned.touched]] = True
    seen = rows.loc[new_or_changed, ["key", *columns]].assign(how="seen")
    gone = last.loc[~last["key"].isin(rows["key"]), ["key"]].assign(how="removed")
    removed = gone.assign(**dict.fromkeys(columns, None)).astype(dtypes)[list(seen)]
    return concat([seen.reset_index(drop=True), removed]).astype({"how": TEXT})


def surviving(versions: pd.DataFrame, edge: datetime) -> pd.DataFrame:
    """Drops the versions that were known before a moment and also replaced before it by a later
    version."""
    old = versions["known_from"] <= edge.astimezone(UTC)
    replaced = old & versions["key"].where(old).duplicated(keep="last")
    return versions[~replaced].reset_index(drop=True)
