"""Where each key stands when one side is held against the other: exactly one class, its likely
cause, the remedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .aligned import Alike, align
from .frame import ARROW, arrow, concat, frame, is_among, pick, true, with_columns
from .plan import DERIVED

EQUAL, DIFFERS, SUPERSEDED, EXPIRED = (
    "equal",
    "differs",
    "superseded",
    "expired in one, valid in the other",
)
MISSING, ONLY = "missing in the target", "only in the target"
AMBIGUOUS, QUARANTINED, OUTSIDE = "ambiguous", "quarantined", "out of scope"
CLASSES = (EQUAL, DIFFERS, EXPIRED, SUPERSEDED, MISSING, ONLY, AMBIGUOUS, QUARANTINED, OUTSIDE)
"""superseded: the sides agree on the record and disagree on whether a later one has taken its
place."""
FAULTS = (DIFFERS, EXPIRED, SUPERSEDED, MISSING, ONLY)
"""The classes in which the target does not hold what it should."""
CLASSIFIED = {"source_key": "text", "key": "text", "class": "text", "fields": "text"}
"""One row for each record or row: keys on either side, null where there is none; ``fields`` that
differ, comma-separated."""
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
    NEVER: "repair; look at its story: hrsync why KEY",
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
_VALID, _OVER, _REPLACED = (
    pa.array(["achieved", "expiring"]),
    pa.array(["expired"]),
    pa.array(["superseded"]),
)


def classify(
    truth: pd.DataFrame,
    there: pd.DataFrame,
    key: str,
    compared: Sequence[str],
    alike: Alike | None = None,
) -> pd.DataFrame:
    """:data:`CLASSIFIED`: each row of ``truth`` (what the target should hold, with ``source_key``)
    and of ``there`` (what it does), by ``key``; first truth in its order, then what is only there.
    Pure and total."""
    found = align(truth, there, key, compared, alike)
    keys = arrow(truth[key])
    touched = found.ours[found.touched]
    codes = np.zeros(len(truth), dtype=np.int8)
    codes[found.alone] = CLASSES.index(MISSING)
    names = found.fields(compared)
    if "state" in compared and len(touched):
        ours, theirs = (
            _at(truth, "state", touched),
            _at(there, "state", found.theirs[found.touched]),
        )
        over = (is_among(ours, _OVER) & is_among(theirs, _VALID)) | (
            is_among(ours, _VALID) & is_among(theirs, _OVER)
        )
        derived = np.array([set(text.split(",")) <= DERIVED for text in names], dtype=bool)
        replaced = derived & (is_among(ours, _REPLACED) | is_among(theirs, _REPLACED))
        codes[touched] = np.select(
            [over, replaced],
            [CLASSES.index(EXPIRED), CLASSES.index(SUPERSEDED)],
            CLASSES.index(DIFFERS),
        )
    else:
        codes[touched] = CLASSES.index(DIFFERS)
    fields = np.full(len(truth), None, dtype=object)
    fields[touched] = names
    rest = np.ones(len(there), dtype=bool)
    rest[found.theirs] = False
    alone = arrow(there[key]).filter(pa.array(rest))
    classes = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(CLASSES)).cast(pa.string())
    mine = frame(
        {
            "source_key": arrow(truth["source_key"]),
            "key": keys,
            "class": classes,
            "fields": pa.array(fields, pa.string()),
        }
    )
    return concat([mine, all_as(pa.nulls(len(alone), pa.string()), alone, ONLY)])


def all_as(source_keys: pa.Array, keys: pa.Array, name: str) -> pd.DataFrame:
    """:data:`CLASSIFIED` of one class."""
    count = len(keys)
    return frame(
        {
            "source_key": source_keys,
            "key": keys,
            "class": pa.array([name] * count, pa.string()),
            "fields": pa.nulls(count, pa.string()),
        }
    )


def _at(rows: pd.DataFrame, name: str, places: np.ndarray[Any, Any]) -> pa.Array:
    return arrow(rows[name]).take(pa.array(places))


@dataclass(frozen=True)
class Evidence:
    """What is known of the faults beside their values.

    mark: as far as the process has read (UTC). updated: ``source_key`` and ``moment`` of the
    records' last change. written: the last version that the ledger has of each key as a run wrote
    it (``versions.VERSIONS`` and the entity's columns). later: keys whose row has been right since
    a moment that was not asked about. began: when reading began; what a run has written since is on
    its way, whichever side was read first. gone: keys of the target whose record is no more.
    theirs: keys whose difference is one in which the target's value counts.
    """

    mark: datetime | None
    updated: pd.DataFrame
    written: pd.DataFrame
    began: datetime
    later: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    gone: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    theirs: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))


def explain(
    found: pd.DataFrame,
    truth: pd.DataFrame,
    there: pd.DataFrame,
    key: str,
    compared: Sequence[str],
    evidence: Evidence,
) -> pd.DataFrame:
    """:data:`EXPLAINED`: the faults among ``found`` (:data:`CLASSIFIED`) with their causes.

    ``truth`` and ``there`` hold at least the rows of the faults. A fault is explained by the last
    version that a run wrote: what the target has otherwise was done there; what the source has
    otherwise is late, or was not noticed.
    """
    faults = pick(found, is_among(found["class"], pa.array(FAULTS)))
    keys, classes = arrow(faults["key"]), arrow(faults["class"])
    written = evidence.written
    place = pc.index_in(keys, value_set=arrow(written["key"]))
    ever = np.asarray(pc.is_valid(place))
    moment = arrow(evidence.updated["moment"]).take(
        pc.index_in(arrow(faults["source_key"]), value_set=arrow(evidence.updated["source_key"]))
    )
    # What changed at or after the mark no run has been obliged to see.
    late = (
        ~true(pc.less(moment, pa.scalar(evidence.mark, ARROW["moment"])))
        if evidence.mark
        else np.ones(len(faults), dtype=bool)
    )
    same_there = _agrees(faults, written, there, key, compared)
    same_here = _agrees(faults, written, truth, key, compared)
    moved = true(
        pc.greater_equal(
            arrow(written["known_from"]).take(place), pa.scalar(evidence.began, ARROW["moment"])
        )
    )
    missing, only = true(pc.equal(classes, MISSING)), true(pc.equal(classes, ONLY))
    both = ~missing & ~only
    derived = np.array(
        [
            bool(text) and set(str(text).split(",")) <= DERIVED
            for text in faults["fields"].fillna("")
        ],
        dtype=bool,
    )
    chosen = np.select(
        [
            is_among(keys, evidence.later),
            moved,
            only & is_among(keys, evidence.gone) & ever,
            only & ~ever,
            only,
            missing & ever,
            missing & late,
            missing,
            is_among(keys, evidence.theirs),
            both & ever & same_here & ~same_there,
            both & ever & same_there & late & ~derived,
            both & ever & same_there & true(pc.equal(classes, SUPERSEDED)),
            both & ever & same_there & derived,
            both & ever & same_there,
            both & ~ever & late,
            both & ~ever,
        ],
        [
            ARRIVED,
            LATE,
            GONE,
            MADE,
            GONE,
            REMOVED,
            LATE,
            NEVER,
            THEIRS,
            EDITED,
            LATE,
            RELATED,
            SINCE,
            UNNOTICED,
            LATE,
            BEFORE,
        ],
        EDITED,
    )
    added = {
        "cause": pa.array(chosen, pa.string()),
        "remedy": pa.array([REMEDIES[cause] for cause in chosen], pa.string()),
        "changed_by": pc.binary_join_element_wise(
            arrow(written["process"]), arrow(written["run"]), " "
        ).take(place),
        "changed_at": arrow(written["known_from"]).take(place),
    }
    return with_columns(faults, added)


def _agrees(
    faults: pd.DataFrame,
    written: pd.DataFrame,
    rows: pd.DataFrame,
    key: str,
    compared: Sequence[str],
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which faults have in ``rows``, in the columns that they differ in, what was written last."""
    names = [name for name in compared if name in written]
    ours = pick(rows, is_among(arrow(rows[key]), arrow(faults["key"])))
    found = align(ours.rename(columns={key: "key"}), written, "key", names)
    other: dict[str, set[str]] = {}
    for at, text in zip(found.ours[found.touched].tolist(), found.fields(names), strict=True):
        other[str(ours[key].iloc[at])] = set(text.split(","))
    pairs = zip(faults["key"].tolist(), faults["fields"].fillna("").tolist(), strict=True)
    return np.array(
        [not (other.get(k, set()) & set(text.split(","))) for k, text in pairs], dtype=bool
    )


def told(text: str, source: str, target: str) -> str:
    """A class, cause or remedy with the sides by name."""
    return text.replace("the target", target).replace("the source", source)


def counts(found: pd.DataFrame) -> dict[str, int]:
    """Class -> rows; adds up to all rows."""
    number = found["class"].value_counts()
    return {name: int(number.get(name, 0)) for name in CLASSES}


def for_a_reason(
    source_keys: pa.Array, keys: pa.Array, name: str, causes: pa.Array, remedies: pa.Array
) -> pd.DataFrame:
    """:data:`EXPLAINED` of records whose class is a decision that was taken before values were
    compared."""
    rows = all_as(source_keys, keys, name)
    nulls = {
        "changed_by": pa.nulls(len(rows), pa.string()),
        "changed_at": pa.nulls(len(rows), ARROW["moment"]),
    }
    return with_columns(rows, {"cause": causes, "remedy": remedies, **nulls})
