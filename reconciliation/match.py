"""Which row is which person."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .frame import arrow, empty, fold, folded, frame, pick, true
from .spec import MatchRule, ProcessSpec

HELD = {"key": "text", "field": "text", "reason": "text", "waits_for": "text"}
"""A held row: nothing is wrong with it, but loading it now would be a guess."""
PROVISIONAL = "new:"
"""What the key of a row begins with that the target will give a key of its own (``ProcessSpec.new_key``)."""
LINKS = {"source_key": "text", "target_key": "text"}


@dataclass(frozen=True)
class Matched:
    """keys: the target key of each source row, null where held. links: those found or proposed now. held: the rest."""

    keys: pa.Array
    links: pd.DataFrame
    held: pd.DataFrame


def held(keys: pa.Array, field: str, reason: str, waits_for: pa.Array | None = None) -> pd.DataFrame:
    """Rows of :data:`HELD` that share a reason."""
    count = len(keys)
    return frame(
        {
            "key": keys,
            "field": pa.array([field] * count, pa.string()),
            "reason": pa.array([reason] * count, pa.string()),
            "waits_for": waits_for if waits_for is not None else pa.nulls(count, pa.string()),
        }
    )


def normalised(values: pa.Array) -> pa.Array:
    """Values of matching rules: no surrounding space, no case."""
    return pc.utf8_lower(pc.utf8_trim_whitespace(values))


def linked(source_keys: pa.Array, links: pd.DataFrame) -> pa.Array:
    """The target keys that ``links`` (:data:`LINKS`) gives to source keys, null where there is none."""
    place = pc.index_in(source_keys, value_set=arrow(links["source_key"]))
    return arrow(links["target_key"]).take(place)


def by_identity(data: pd.DataFrame, key: str) -> Matched:
    """Rows whose source key is the target's key as well."""
    return Matched(arrow(data[key]), empty(LINKS), empty(HELD))


def proposed(data: pd.DataFrame, spec: ProcessSpec) -> pa.Array:
    """The key of a row that the target does not have yet: its natural key, else the source's key after ``new_key``.

    It depends on the record alone, so that a create that is repeated after a crash meets itself.
    """
    own = pc.binary_join_element_wise(pa.scalar(spec.new_key), arrow(data[spec.key]), "")
    return pc.coalesce(arrow(data[spec.natural_key]), own) if spec.natural_key else own


def _one_to_many(values: pa.Array) -> np.ndarray[Any, Any]:
    """True where a value stands more than once."""
    twice = pd.Series(pd.arrays.ArrowExtensionArray(values)).duplicated(keep=False)
    return np.asarray(twice.to_numpy() & ~np.asarray(pc.is_null(values)))


def side_by_side(rule: MatchRule, data: pd.DataFrame, wanted: pd.DataFrame, target: pd.DataFrame) -> tuple[str, pa.Array, pa.Array]:
    """What a rule compares: its name for people, the value of each source row and that of each target row."""
    if not rule.together:
        return rule.source, normalised(arrow(data[rule.source])), normalised(arrow(target[rule.target]))
    ours, theirs = (pc.binary_join_element_wise(*(arrow(side[name]) for name in rule.together), "\0") for side in (wanted, target))
    for name, value in rule.only:
        theirs = pc.if_else(pc.fill_null(pc.equal(folded(arrow(target[name])), fold(value)), False), theirs, None)
    return " and ".join(rule.together), ours, theirs


def by_rules(spec: ProcessSpec, data: pd.DataFrame, wanted: pd.DataFrame, target: pd.DataFrame, links: pd.DataFrame) -> Matched:
    """Links first, then the rules in order; an ambiguity is held, never decided.

    ``wanted`` has the entity's columns for each row of ``data``. ``target`` holds at least every target row that shares a
    rule's value with a source row or has a proposed key; ``links`` at least those of the source rows, of these target rows
    and of the proposed keys.
    """
    key, target_key = spec.key, spec.entity_key
    source, other = ("users", "employees") if spec.links == "employees" and spec.direction == "to_hr" else ("records", "rows")
    source_keys = arrow(data[key])
    keys = linked(source_keys, links)
    taken = true(pc.is_in(arrow(target[target_key]), value_set=arrow(links["target_key"])))
    problems: list[pd.DataFrame] = []
    undecided = np.asarray(pc.is_null(keys))
    for rule in spec.match:
        if not undecided.any():
            break
        name, ours, offered = side_by_side(rule, data, wanted, target)
        if rule.together:
            # What is linked already is another of its kind, not a clash: somebody may have the same thing twice.
            offered = pc.if_else(pa.array(taken), None, offered)
        many_here = _one_to_many(pc.if_else(pa.array(undecided), ours, pa.scalar(None, pa.string())))
        place = pc.index_in(ours, value_set=pc.fill_null(offered, "\0"))
        found = undecided & ~np.asarray(pc.is_null(place)) & ~np.asarray(pc.is_null(ours))
        many_there = _at(_one_to_many(offered), place)
        elsewhere = _at(taken, place)
        column = rule.target or name
        clashes = [
            (undecided & many_here, f"several {source} have the same {name}"),
            (found & many_there, f"several {other} have the same {column}"),
            (found & elsewhere, f"the {other[:-1]} with this {column} is linked to another {source[:-1]}"),
        ]
        for clash, reason in clashes:
            mask = clash & undecided
            if mask.any():
                problems.append(held(source_keys.filter(pa.array(mask)), name, reason))
                undecided &= ~mask
        found &= undecided
        keys = pc.if_else(pa.array(found), arrow(target[target_key]).take(place), keys)
        undecided &= ~found
    suggestion = proposed(data, spec)
    occupied = undecided & true(pc.is_in(suggestion, value_set=pa.concat_arrays([arrow(target[target_key]), arrow(links["target_key"])])))
    if occupied.any():
        problems.append(held(source_keys.filter(pa.array(occupied)), key, f"{spec.target_side} has this key for somebody else"))
        undecided &= ~occupied
    keys = pc.if_else(pa.array(undecided), suggestion, keys)
    twice = _one_to_many(keys)
    if twice.any():
        problems.append(held(source_keys.filter(pa.array(twice)), key, f"several {source} lead to the same {other[:-1]}"))
        keys = pc.if_else(pa.array(twice), pa.scalar(None, pa.string()), keys)
    new = ~np.asarray(pc.is_null(keys)) & np.asarray(pc.is_null(linked(source_keys, links)))
    fresh = pick(frame({"source_key": source_keys, "target_key": keys}), new)
    return Matched(keys, fresh, pd.concat(problems, ignore_index=True) if problems else empty(HELD))


def _at(flags: np.ndarray[Any, Any], place: pa.Array) -> np.ndarray[Any, Any]:
    """``flags`` at the places found, false where none was."""
    if not len(flags):
        return np.zeros(len(place), dtype=bool)
    return np.asarray(flags[pc.fill_null(place, 0).to_numpy()] & ~np.asarray(pc.is_null(place)))
