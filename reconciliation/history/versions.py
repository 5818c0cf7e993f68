"""The ledger in two times: what was true when, and what was known when.

Every row that the ledger knows of has versions. The ledger knows a version from ``known_from`` on.
The version is true from ``valid_from`` on, and replaces all that was known before of the time
after; without ``valid_from`` it is true of all time. Rows that say themselves when they hold (an
award by its dates, an assignment by from and to) have no ``valid_from``. What comes later never
changes what was known: it is a further version.
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
"""What a version has before the columns of its entity. how: ``written`` or ``closed`` by a run,
``seen`` as somebody else has made it, or ``removed``: it was found to be no longer there. A frame
of versions is in the order in which they were learnt."""
DATED = frozenset({"awards", "assignments", "UserAward", "UserUserType"})
"""Entities, of either side, whose rows say themselves when they hold."""
CHANGED = ("source_updated_at", "updated_at")
"""Columns with the moment from which on a row's values are true."""


def valid_from(entity: str, rows: pd.DataFrame) -> pd.Series[Any]:
    """From when on rows of an entity are true, as far as they tell."""
    named = [name for name in CHANGED if name in rows and entity not in DATED]
    if not named:
        return pd.Series(pd.NA, rows.index, MOMENT)
    return rows[named[0]].astype(MOMENT)


def latest(versions: pd.DataFrame) -> pd.DataFrame:
    """The last version of each key; rows that were removed are left out."""
    last = versions.drop_duplicates("key", keep="last")
    return last[last["how"] != "removed"].reset_index(drop=True)


def last_written(versions: pd.DataFrame) -> pd.DataFrame:
    """The last version of each key that a run wrote."""
    return latest(versions[versions["how"].isin(["written", "closed"])])


def known(versions: pd.DataFrame, at: datetime | None) -> pd.DataFrame:
    """The versions that were known at a moment (with an offset); all if none is named."""
    if at is None:
        return versions
    return versions[versions["known_from"] <= at.astimezone(UTC)].reset_index(drop=True)


def held(versions: pd.DataFrame, until: datetime) -> pd.DataFrame:
    """The versions that begin to be true before a moment (with an offset)."""
    began = (versions["valid_from"] < until.astimezone(UTC)).fillna(True)
    return versions[began].reset_index(drop=True)


def shown(versions: pd.DataFrame, at: datetime | None) -> pd.DataFrame:
    """What the target showed at a moment, as far as the ledger knew then: one row per key."""
    return latest(known(versions, at))


def true_on(versions: pd.DataFrame, until: datetime, at: datetime | None) -> pd.DataFrame:
    """What was true just before ``until``, as it was known at ``at``: one row per key."""
    return latest(held(known(versions, at), until))


def news(versions: pd.DataFrame, rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """What the last versions do not say already of the rows that were seen (``rows``: ``key`` and
    ``columns``), as versions without moments; keys that were no longer seen are ``removed``."""
    last = latest(versions)
    # An older mapping has written fewer columns.
    lacking = {name: None for name in columns if name not in last}
    dtypes = rows[columns].dtypes.to_dict()
    last = last.assign(**lacking)[["key", *columns]].astype(dtypes)
    found = align(rows, last, "key", columns)
    fresh = found.alone.copy()
    fresh[found.ours[found.touched]] = True
    seen = rows.loc[fresh, ["key", *columns]].assign(how="seen")
    gone = last.loc[~last["key"].isin(rows["key"]), ["key"]].assign(how="removed")
    removed = gone.assign(**dict.fromkeys(columns, None)).astype(dtypes)[list(seen)]
    return concat([seen.reset_index(drop=True), removed]).astype({"how": TEXT})


def surviving(versions: pd.DataFrame, edge: datetime) -> pd.DataFrame:
    """``versions`` without those that were known, and replaced by later ones, before a moment."""
    old = versions["known_from"] <= edge.astimezone(UTC)
    replaced = old & versions["key"].where(old).duplicated(keep="last")
    return versions[~replaced].reset_index(drop=True)
