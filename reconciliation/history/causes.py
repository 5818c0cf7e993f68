"""Why a record is not as it should be, and what puts it right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd

from ..aligned import align
from ..tables import TEXT, looked_up, typed
from .classes import CLASSIFIED, FAULTS, MISSING, ONLY, SUPERSEDED, is_derived

EXPLAINED = {
    **CLASSIFIED,
    "cause": "text",
    "remedy": "text",
    "changed_by": "text",
    "changed_at": "moment",
}
"""changed_by, changed_at: who wrote the target's row last, and when, according to the ledger."""

LATE, EDITED, REMOVED, MADE, GONE = (
    "late by watermark",
    "edited in the target",
    "removed in the target",
    "made in the target",
    "gone from the source",
)
UNNOTICED, NEVER, BOTH, UNLINKED = (
    "changed unnoticed",
    "never arrived",
    "changed on both sides",
    "person not linked",
)
THEIRS, BEFORE, SINCE, ARRIVED = (
    "the target's value counts",
    "older than the ledger",
    "time has passed",
    "arrived after that moment",
)
RELATED = "another record has changed"
REMEDIES: Mapping[str, str] = {
    LATE: "nothing: the next run brings it",
    EDITED: "repair writes the source's value; if the target is right, change the source",
    REMOVED: "repair makes it again; if it was right to remove it, end the record in the source",
    MADE: "repair closes it where the process closes what is gone; otherwise remove it, or enter "
    "it in the source",
    GONE: "repair closes it where the process closes what is gone; otherwise it is for a person "
    "to decide",
    UNNOTICED: "repair; find out what changes records without their moment of change, and sweep "
    "more often",
    NEVER: "repair; find out what happened to it: hrsync why KEY",
    BOTH: "settle it: hrsync conflicts list",
    UNLINKED: "load the person first, or link them: hrsync links list --held",
    THEIRS: "nothing: the process of the other direction takes it back",
    BEFORE: "repair writes the source's value",
    SINCE: "nothing: the next run looks at all that is due",
    ARRIVED: "nothing: it has arrived since",
    RELATED: "it is put right together with that record",
}
REPAIRED = frozenset({LATE, EDITED, REMOVED, MADE, GONE, UNNOTICED, NEVER, BEFORE, SINCE, RELATED})
"""Causes whose faults a repair takes in hand."""
BY_ITSELF = frozenset({LATE, SINCE, ARRIVED, THEIRS})
"""Causes that the next runs settle."""


def _no_keys() -> pd.Series[str]:
    return pd.Series(dtype=TEXT)


@dataclass(frozen=True)
class Evidence:
    """What is known of the faults beside their values."""

    mark: datetime | None
    """As far as the process has read (UTC)."""
    updated: pd.DataFrame
    """``source_key`` and ``moment`` of the records' last change."""
    written: pd.DataFrame
    """The last version of each key that a run wrote: ``versions.VERSIONS`` and the entity's
    columns."""
    began: datetime
    """When reading began. What a run has written since is on its way, whichever side was read
    first."""
    later: pd.Series[str] = field(default_factory=_no_keys)
    """Keys whose row has been right since a moment that was not asked about."""
    gone: pd.Series[str] = field(default_factory=_no_keys)
    """Keys of the target whose record no longer exists."""
    theirs: pd.Series[str] = field(default_factory=_no_keys)
    """Keys that differ where the target's value counts."""


def explain(
    found: pd.DataFrame,
    expected: pd.DataFrame,
    actual: pd.DataFrame,
    key: str,
    compared: Sequence[str],
    evidence: Evidence,
) -> pd.DataFrame:
    """:data:`EXPLAINED`: the faults among ``found`` (:data:`CLASSIFIED`) with their causes.

    ``expected`` and ``actual`` hold at least the rows of the faults. The last version that a run
    wrote explains a fault: what differs from it in the target was done there; what differs from it
    in the source is late, or was not noticed.
    """
    faults = found[found["class"].isin(FAULTS)].reset_index(drop=True)
    keys = faults["key"]
    written = evidence.written[evidence.written["key"].isin(keys)].reset_index(drop=True)
    author = written["process"] + " " + written["run"]
    last = looked_up(keys, written[["key", "known_from"]].assign(author=author), "key")
    moved = (last["known_from"] >= evidence.began).fillna(False)
    ever = keys.isin(written["key"])
    same_here = _agrees(faults, written, expected, key, compared)
    same_there = _agrees(faults, written, actual, key, compared)
    late = _is_late(faults["source_key"], evidence)
    derived = is_derived(faults["fields"].fillna(""))
    superseded = faults["class"] == SUPERSEDED
    missing, only = faults["class"] == MISSING, faults["class"] == ONLY
    both = ~missing & ~only
    # The first that holds is the cause.
    causes = [
        (ARRIVED, keys.isin(evidence.later)),
        (LATE, moved),
        (GONE, only & keys.isin(evidence.gone) & ever),
        (MADE, only & ~ever),
        (GONE, only),
        (REMOVED, missing & ever),
        (LATE, missing & late),
        (NEVER, missing),
        (THEIRS, keys.isin(evidence.theirs)),
        (EDITED, both & ever & same_here & ~same_there),
        (LATE, both & ever & same_there & late & ~derived),
        (RELATED, both & ever & same_there & superseded),
        (SINCE, both & ever & same_there & derived),
        (UNNOTICED, both & ever & same_there),
        (LATE, both & ~ever & late),
        (BEFORE, both & ~ever),
    ]
    holds = [where for _, where in causes]
    named = faults.assign(
        cause=np.select(holds, [cause for cause, _ in causes], EDITED),
        remedy=np.select(holds, [REMEDIES[cause] for cause, _ in causes], REMEDIES[EDITED]),
        changed_by=last["author"],
        changed_at=last["known_from"],
    )
    return typed(named, EXPLAINED)


def _is_late(source_keys: pd.Series[Any], evidence: Evidence) -> pd.Series[bool]:
    """Which records no run had to see yet: they changed at or after the mark, or nobody knows
    when."""
    if evidence.mark is None:
        return pd.Series(True, source_keys.index)
    changed = looked_up(source_keys, evidence.updated, "source_key")["moment"]
    return ~(changed < evidence.mark).fillna(False)


def _agrees(
    faults: pd.DataFrame,
    written: pd.DataFrame,
    rows: pd.DataFrame,
    key: str,
    compared: Sequence[str],
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which faults have in ``rows``, in the columns that they differ in, what was written last."""
    names = [name for name in compared if name in written]
    ours = rows[rows[key].isin(faults["key"])].rename(columns={key: "key"})
    found = align(ours, written, "key", names)
    changed = ours["key"].iloc[found.ours[found.touched]]
    fields = (set(text.split(",")) for text in found.fields(names))
    other = dict(zip(changed, fields, strict=True))
    pairs = zip(faults["key"], faults["fields"].fillna(""), strict=True)
    return np.array([other.get(k, set()).isdisjoint(text.split(",")) for k, text in pairs], bool)


def without_comparing(
    source_keys: pd.Series[Any] | None,
    keys: pd.Series[Any],
    name: Any,
    cause: pd.Series[Any] | str | None = None,
    remedy: str | None = None,
) -> pd.DataFrame:
    """:data:`EXPLAINED` of records whose class was decided before values were compared."""
    rows = {"source_key": source_keys, "key": keys, "class": name, "cause": cause, "remedy": remedy}
    return typed(pd.DataFrame(rows, keys.index), EXPLAINED)
