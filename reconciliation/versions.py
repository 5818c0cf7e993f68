"""The ledger in two times: what was true when, and what was known when.

Every row that the ledger knows of has versions. ``known_from`` is the moment from which on the
ledger knows one; ``valid_from`` the moment from which on it is true, in which it takes the place of
all that was known before of the time after; none: of all time. Rows that say themselves when they
hold (an award by its dates, an assignment by from and to) have none. What comes later never changes
what was known: it is a further version.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .aligned import align
from .frame import ARROW, arrow, concat, frame, pick, true

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


def valid_from(entity: str, rows: pd.DataFrame) -> pa.Array:
    """From when on rows of an entity are true, as far as they tell."""
    named = [name for name in CHANGED if name in rows and entity not in DATED]
    return (
        arrow(rows[named[0]]).cast(ARROW["moment"])
        if named
        else pa.nulls(len(rows), ARROW["moment"])
    )


def latest(versions: pd.DataFrame) -> pd.DataFrame:
    """The last version of each key; rows that were removed are not there."""
    last = pick(versions, ~versions["key"].duplicated(keep="last").to_numpy(dtype=bool))
    return pick(last, ~true(pc.equal(arrow(last["how"]), "removed")))


def known(versions: pd.DataFrame, at: datetime | None) -> pd.DataFrame:
    """The versions that were known at a moment (with an offset); all if none is named."""
    if at is None:
        return versions
    return pick(
        versions, true(pc.less_equal(arrow(versions["known_from"]), pa.scalar(at, ARROW["moment"])))
    )


def held(versions: pd.DataFrame, until: datetime) -> pd.DataFrame:
    """The versions that begin to be true before a moment (with an offset)."""
    began = arrow(versions["valid_from"])
    return pick(
        versions,
        true(pc.less(began, pa.scalar(until, ARROW["moment"]))) | np.asarray(pc.is_null(began)),
    )


def shown(versions: pd.DataFrame, at: datetime | None) -> pd.DataFrame:
    """What the target showed at a moment, as far as the ledger knew then: one row per key."""
    return latest(known(versions, at))


def true_on(versions: pd.DataFrame, until: datetime, at: datetime | None) -> pd.DataFrame:
    """What was true just before ``until``, as it was known at ``at``: one row per key."""
    return latest(held(known(versions, at), until))


def news(versions: pd.DataFrame, rows: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Of what was seen now (``rows``: ``key`` and ``columns``) all that the last versions do not
    say already, as versions without moments; and the keys that were not seen any more, as
    ``removed``."""
    last = latest(versions)
    # An older mapping has written fewer columns.
    last = frame(
        {
            "key": arrow(last["key"]),
            **{name: _as(last, name, arrow(rows[name]).type) for name in columns},
        }
    )
    found = align(rows, last, "key", columns)
    fresh = found.alone.copy()
    fresh[found.ours[found.touched]] = True
    seen = pick(rows, fresh)
    lost = arrow(last["key"]).filter(
        pa.array(~true(pc.is_in(arrow(last["key"]), value_set=arrow(rows["key"]))))
    )
    gone = frame(
        {"key": lost, **{name: pa.nulls(len(lost), arrow(rows[name]).type) for name in columns}}
    )
    whole = concat([seen[["key", *columns]], gone])
    how = ["seen"] * len(seen) + ["removed"] * len(gone)
    return whole.assign(how=frame({"how": pa.array(how, pa.string())})["how"])


def surviving(versions: pd.DataFrame, edge: datetime) -> pd.DataFrame:
    """``versions`` without those that were known, and replaced by later ones, before a moment."""
    old = known(versions, edge)
    keep = np.ones(len(versions), dtype=bool)
    keep[: len(old)] = ~old["key"].duplicated(keep="last").to_numpy(dtype=bool)
    return pick(versions, keep)


def _as(rows: pd.DataFrame, name: str, kind: pa.DataType) -> pa.Array:
    return arrow(rows[name]).cast(kind) if name in rows else pa.nulls(len(rows), kind)
