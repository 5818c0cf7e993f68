"""Finds the likely cause of each difference, and the remedy."""

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
"""A row of ``classes.CLASSIFIED`` with its cause and remedy. ``changed_by`` (process and run) and
``changed_at`` are the last write of the target's row in the ledger."""

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
NO_ACTION = "no action needed"
REMEDIES: Mapping[str, str] = {
    LATE: f"{NO_ACTION}: the next run brings it",
    EDITED: "repair writes the source's value; if the target is right, change the source",
    REMOVED: "repair makes it again; if it was right to remove it, end the record in the source",
    MADE: "repair closes it if the process closes rows without a record; otherwise remove it, or "
    "enter it in the source",
    GONE: "repair closes it if the process closes rows without a record; otherwise a person "
    "decides",
    UNNOTICED: "repair; find out what changes records without their moment of change, and sweep "
    "more often",
    NEVER: "repair; find out what happened to it: hrsync why KEY",
    BOTH: "settle it: hrsync conflicts list",
    UNLINKED: "load the person first, or link them: hrsync links list --held",
    THEIRS: f"{NO_ACTION}: the process of the other direction takes it back",
    BEFORE: "repair writes the source's value",
    SINCE: f"{NO_ACTION}: the next run looks at all that is due",
    ARRIVED: f"{NO_ACTION}: it has arrived since",
    RELATED: "it is put right together with that record",
}
REPAIRED = frozenset({LATE, EDITED, REMOVED, MADE, GONE, UNNOTICED, NEVER, BEFORE, SINCE, RELATED})
"""Causes of faults that a repair corrects."""
BY_ITSELF = frozenset({LATE, SINCE, ARRIVED, THEIRS})
"""Causes of faults that need no repair: the next runs correct them, or they are corrected
already."""


def _no_keys() -> pd.Series[str]:
    return pd.Series(dtype=TEXT)


@dataclass(frozen=True)
class Evidence:
    """The data that explains faults, apart from their values."""

    mark: datetime | None
    """The watermark: the moment (UTC) up to which the process has read."""
    updated: pd.DataFrame
    """``source_key`` and ``moment`` of each record's last change."""
    written: pd.DataFrame
    """The last version of each key that a run wrote: ``versions.VERSIONS`` and the entity's
    columns."""
    began: datetime
    """When reading began (UTC). A row that a run has written since then counts as late, because
    either side may have been read before that write."""
    later: pd.Series[str] = field(default_factory=_no_keys)
    """Keys whose row is right now, if the inquiry asks for an earlier moment of knowledge."""
    gone: pd.Series[str] = field(default_factory=_no_keys)
    """Keys of the target whose source record no longer exists."""
    theirs: pd.Series[str] = field(default_factory=_no_keys)
    """Keys that differ only in fields where the target's value counts."""


def explain(
    found: pd.DataFrame,
    expected: pd.DataFrame,
    actual: pd.DataFrame,
    key: str,
    compared: Sequence[str],
    evidence: Evidence,
) -> pd.DataFrame:
    """Returns the faults among ``found`` (:data:`CLASSIFIED`) with their causes, as
    :data:`EXPLAINED`.

    The last version that a run wrote explains a fault. If the target differs from it, somebody has
    edited the target. If the source differs from it, the change is late, or no run has noticed it.
    ``expected`` and ``actual`` hold at least the rows of the faults.
    """
    faults = found[found["class"].isin(FAULTS)].reset_index(drop=True)
    keys = faults["key"]
    written = evidence.written[evidence.written["key"].isin(keys)].reset_index(drop=True)
    author = written["process"] + " " + written["run"]
    last = looked_up(keys, written[["key", "known_from"]].assign(author=author), "key")
    written_since = (last["known_from"] >= evidence.began).fillna(False)
    ever = keys.isin(written["key"])  # A run has written the row at least once.
    same_here = _agrees(faults, written, expected, key, compared)
    same_there = _agrees(faults, written, actual, key, compared)
    late = _is_late(faults["source_key"], evidence)
    derived = is_derived(faults["fields"].fillna(""))
    superseded = faults["class"] == SUPERSEDED
    missing, only = faults["class"] == MISSING, faults["class"] == ONLY
    both = ~missing & ~only
    # The first condition that holds decides.
    causes = [
        (ARRIVED, keys.isin(evidence.later)),
        (LATE, written_since),
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
    """Returns the mask of records that no run had to read yet: their last change is not known to be
    before the watermark."""
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
    """Returns the mask of faults whose differing columns hold in ``rows`` the values that a run
    wrote last. ``written`` has those values."""
    names = [name for name in compared if name in written]
    ours = rows[rows[key].isin(faults["key"])].rename(columns={key: "key"})
    aligned = align(ours, written, "key", names)
    changed_keys = ours["key"].iloc[aligned.ours[aligned.touched]]
    fields = (set(text.split(",")) for text in aligned.fields(names))
    changed_fields = dict(zip(changed_keys, fields, strict=True))
    pairs = zip(faults["key"], faults["fields"].fillna(""), strict=True)
    return np.array(
        [changed_fields.get(key, set()).isdisjoint(text.split(",")) for key, text in pairs], bool
    )


def without_comparing(
    source_keys: pd.Series[Any] | None,
    keys: pd.Series[Any],
    name: Any,
    cause: pd.Series[Any] | str | None = None,
    remedy: str | None = None,
) -> pd.DataFrame:
    """Builds :data:`EXPLAINED` for records whose class was decided before values were compared. The
    class is ``name``."""
    rows = {"source_key": source_keys, "key": keys, "class": name, "cause": cause, "remedy": remedy}
    return typed(pd.DataFrame(rows, keys.index), EXPLAINED)
