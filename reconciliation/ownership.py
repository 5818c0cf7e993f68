"""Which side's value counts where both may change it.

The two directions of a pair share what both sides last agreed on: for each record the values of the
fields that both may change, in accessplanit's terms. A value that differs from it was changed
since; our own write coming back does not.

=========  =========================================================================================
owner      what the process that reads side S and writes side T does with a field that differs
=========  =========================================================================================
source     S owns it: written, whatever T has; but no value erases nothing
target     T owns it: left alone unless T has no value; the other direction carries it back
newest     only S has changed since the agreement: written; only T: left alone; both: a conflict
=========  =========================================================================================

Where nothing was agreed yet, a value fills the place where the other side has none, and of two
values that of the side counts that ``first`` names; but whether somebody has left is HR's to say. A
conflict is decided by the later change (``conflict="newest"``) or held with both values for a
person, as it is where one of the moments is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .frame import arrow, concat, empty, fold, folded, frame, pick, strings, true
from .match import HELD, held
from .spec import FieldMap, ProcessSpec
from .values import CUSTOM, shown

AGREED = {"key": "text", "field": "text", "value": "text"}
"""What both sides last agreed on: of an accessplanit record (``key``) a ``field`` by accessplanit's
name."""
CONFLICT = "was changed on both sides"


@dataclass(frozen=True)
class Decided:
    """wanted: the rows as they are to be, a value of the target kept where it counts. held:
    conflicts that a person must settle. agreed: columns of :data:`AGREED` and ``row`` (key of the
    target row), what is agreed once the rows are so; only what is new.
    """

    wanted: pd.DataFrame
    held: pd.DataFrame
    agreed: pd.DataFrame


def name_of(spec: ProcessSpec, field: FieldMap) -> str:
    """accessplanit's name of a field."""
    return field.source if spec.direction == "to_hr" else field.target


def shared(spec: ProcessSpec) -> list[FieldMap]:
    """The fields whose value both sides may change."""
    return [f for f in spec.fields if f.compare and f.owner == "newest"]


def text(values: pa.Array) -> pa.Array:
    """Values of any kind as text, to be kept and compared."""
    return values if pa.types.is_string(values.type) else values.cast(pa.string())


def decide(
    spec: ProcessSpec,
    data: pd.DataFrame,
    wanted: pd.DataFrame,
    target: pd.DataFrame,
    agreed: pd.DataFrame,
) -> Decided:
    """``wanted`` with the target's value wherever that counts.

    data: the source's records, with ``spec.updated`` if the feed has it. wanted: one row per record
    (``source_key``, the entity's key, its columns). target: the entity's rows, with
    ``spec.target_updated`` if that is known. agreed: of :data:`AGREED`. Pure; the order of rows
    does not matter.
    """
    none = empty({**AGREED, "row": "text"})
    if not len(wanted) or all(f.owner == "source" and f.erases for f in spec.fields):
        return Decided(wanted, empty(HELD), none)
    keys = arrow(wanted[spec.entity_key])
    place = pc.index_in(keys, value_set=arrow(target[spec.entity_key]))
    there = np.asarray(pc.is_valid(place))
    records = arrow(wanted["source_key"]) if spec.direction == "to_hr" else keys
    ours_newer, told = _newer(spec, data, wanted, target, place)
    problems: list[pd.DataFrame] = []
    fresh: list[pd.DataFrame] = []
    undecided = np.zeros(len(wanted), dtype=bool)
    columns: dict[str, pa.Array] = {}
    for f in spec.fields:
        if not f.compare or (f.owner == "source" and f.erases):
            continue
        ours, theirs = arrow(wanted[f.target]), arrow(target[f.target]).take(place)
        if f.owner != "newest":
            # Whoever owns it: no value is no statement.
            less = np.asarray(pc.is_valid(theirs) if f.owner == "target" else pc.is_null(ours))
            columns[f.target] = pc.if_else(pa.array(there & less), theirs, ours)
            continue
        known, before = _known(agreed, name_of(spec, f), records)
        before = _in_target_terms(spec, f, before)
        differ = there & ~_same(f, ours, theirs)
        we_moved = ~_same(f, ours, before)
        they_moved = ~_same(f, theirs, before)
        empty_here, empty_there = np.asarray(pc.is_null(ours)), np.asarray(pc.is_null(theirs))
        first = differ & ~known & ~empty_here & ~empty_there
        both = (differ & known & we_moved & they_moved) | (
            first & (spec.first in ("newest", "hold"))
        )
        settled = both & told & np.where(known, spec.conflict == "newest", spec.first == "newest")
        keep = (
            (differ & np.where(known, ~we_moved, empty_here))
            | (settled & ~ours_newer)
            | (first & (spec.first == "target"))
        )
        if not f.erases:
            keep |= there & empty_here
        first_closed = first & _ended(spec, f, ours, theirs)
        both, keep = (
            both & ~first_closed,
            (keep & ~first_closed) | (first_closed & (spec.direction == "to_hr")),
        )
        open_ = both & ~settled & ~keep
        if open_.any():
            of_these = open_ & ~undecided
            problems.append(
                held(
                    arrow(wanted["source_key"]).filter(pa.array(of_these)),
                    name_of(spec, f),
                    CONFLICT,
                )
            )
            undecided |= open_
        # What says the same is left as the target writes it.
        columns[f.target] = pc.if_else(pa.array(keep | open_ | (there & ~differ)), theirs, ours)
        # What is kept for the other direction to carry is not agreed yet; what both have, or we
        # write, is.
        will_agree = ~keep & ~open_
        value = _in_our_terms(spec, f, data, wanted)
        new = will_agree & ~(known & _equal(value, _known(agreed, name_of(spec, f), records)[1]))
        fresh.append(_rows(records, keys, name_of(spec, f), value, new))
    wanted = wanted.assign(
        **{name: frame({"value": values})["value"] for name, values in columns.items()}
    )
    free = ~undecided
    agreed_rows = concat(fresh) if fresh else none
    if undecided.any():
        agreed_rows = pick(
            agreed_rows,
            ~true(pc.is_in(arrow(agreed_rows["row"]), value_set=keys.filter(pa.array(undecided)))),
        )
    return Decided(pick(wanted, free), concat(problems) if problems else empty(HELD), agreed_rows)


def _ended(spec: ProcessSpec, field: FieldMap, ours: pa.Array, theirs: pa.Array) -> np.ndarray:
    """Where a field says on one side only that somebody has left. Whether a person is employed is
    HR's to say at first contact: an account that is still enabled brings no leaver back, and a
    disabled one keeps nobody out who has come back."""
    closed = dict(spec.scope.closed).get(field.target)
    if closed is None or not pa.types.is_string(ours.type):
        return np.zeros(len(ours), dtype=bool)
    value = canonical(field, pa.array([closed], pa.string()))[0]
    here, there = (
        true(pc.equal(folded(canonical(field, side)), fold(value.as_py())))
        for side in (ours, theirs)
    )
    return np.asarray(here != there)


def _newer(
    spec: ProcessSpec,
    data: pd.DataFrame,
    wanted: pd.DataFrame,
    target: pd.DataFrame,
    place: pa.Array,
) -> tuple[np.ndarray, np.ndarray]:
    """Where the source's record was changed after the target's row, and where both moments are
    known."""
    nothing = np.zeros(len(wanted), dtype=bool)
    if spec.updated not in data or spec.target_updated is None or spec.target_updated not in target:
        return nothing, nothing
    ours = arrow(data[spec.updated]).take(
        pc.index_in(arrow(wanted["source_key"]), value_set=arrow(data[spec.key]))
    )
    theirs = arrow(target[spec.target_updated]).take(place)
    told = np.asarray(pc.and_(pc.is_valid(ours), pc.is_valid(theirs)))
    return true(pc.greater(ours, theirs)), told


def _known(agreed: pd.DataFrame, name: str, records: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """Where something was agreed on a field, and what."""
    rows = pick(agreed, true(pc.equal(arrow(agreed["field"]), name)))
    place = pc.index_in(records, value_set=arrow(rows["key"]))
    return np.asarray(pc.is_valid(place)), arrow(rows["value"]).take(place)


def _equal(one: pa.Array, other: pa.Array) -> np.ndarray:
    nulls = np.asarray(pc.and_(pc.is_null(one), pc.is_null(other)))
    return np.asarray(true(pc.equal(text(one), text(other))) | nulls)


def _same(field: FieldMap, one: pa.Array, other: pa.Array) -> np.ndarray:
    """Where two values of the target say the same."""
    return _equal(canonical(field, one), canonical(field, other))


def canonical(field: FieldMap, values: pa.Array) -> pa.Array:
    """Values of the target with those that say the same made one (``FieldMap.alike``): of a custom
    field the number 12 is the text 12."""
    if field.target.startswith(CUSTOM):
        return pa.array([shown(value) for value in strings(values)], pa.string())
    if not field.alike or not pa.types.is_string(values.type):
        return values
    place = pc.index_in(
        folded(values), value_set=pa.array([fold(value) for value, _ in field.alike], pa.string())
    )
    return pc.coalesce(
        pa.array([meant for _, meant in field.alike], pa.string()).take(place), values
    )


def _in_target_terms(spec: ProcessSpec, field: FieldMap, agreed: pa.Array) -> pa.Array:
    """An agreed value, which is in accessplanit's terms, as the target would write it."""
    if spec.direction == "from_hr" or not field.values:
        return agreed
    place = pc.index_in(
        folded(agreed), value_set=pa.array([fold(value) for value, _ in field.values], pa.string())
    )
    return pc.coalesce(
        pa.array([value for _, value in field.values], pa.string()).take(place), agreed
    )


def _in_our_terms(
    spec: ProcessSpec, field: FieldMap, data: pd.DataFrame, wanted: pd.DataFrame
) -> pa.Array:
    """The source's value in accessplanit's terms."""
    if spec.direction == "from_hr":
        return text(arrow(wanted[field.target]))
    place = pc.index_in(arrow(wanted["source_key"]), value_set=arrow(data[spec.key]))
    return text(arrow(data[field.source]).take(place))


def _rows(
    records: pa.Array, keys: pa.Array, name: str, value: pa.Array, mask: np.ndarray
) -> pd.DataFrame:
    chosen = pa.array(mask)
    key = records.filter(chosen)
    return frame(
        {
            "key": key,
            "field": pa.array([name] * len(key), pa.string()),
            "value": value.filter(chosen),
            "row": keys.filter(chosen),
        }
    )


def closed_as(
    spec: ProcessSpec, outside: pd.DataFrame, links: pd.DataFrame, closed: Mapping[str, object]
) -> pd.DataFrame:
    """What is agreed (rows as ``Decided.agreed``) once the rows of ``links`` are closed because
    their records have left."""
    place = pc.index_in(arrow(links["source_key"]), value_set=arrow(outside[spec.key]))
    records = arrow(links["source_key" if spec.direction == "to_hr" else "target_key"])
    rows = [empty({**AGREED, "row": "text"})]
    for f in shared(spec):
        if f.target in closed:
            value = (
                text(arrow(outside[f.source]).take(place))
                if spec.direction == "to_hr"
                else pa.array([str(closed[f.target])] * len(links))
            )
            rows.append(
                _rows(
                    records,
                    arrow(links["target_key"]),
                    name_of(spec, f),
                    value,
                    np.ones(len(links), dtype=bool),
                )
            )
    return concat(rows)
