"""Which rows of the two sides may be the same: pairs of positions that the match rules find.

A pair is a row of a frame with ``source`` and ``target`` (positions in the two
sides' frames, int64) and, where it matters, ``rule`` (the position of the rule in
``ProcessSpec.match``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from .frame import fold
from .identifiers import identifiers
from .spec import MatchRule, ProcessSpec
from .tables import folded, same

Mask: TypeAlias = "pd.Series[Any]"
"""True or false for each row of a frame, with its index."""


def at(values: pd.Series[Any], places: pd.Series[Any]) -> pd.Series[Any]:
    """The values at ``places``, with the index of ``places``."""
    return values.take(places.to_numpy()).set_axis(places.index)


def rows_at(places: pd.Series[Any], rows: pd.DataFrame) -> Mask:
    """Which of ``rows`` stand at ``places``."""
    return pd.Series(np.isin(np.arange(len(rows)), places), index=rows.index)


def pairs(ours: pd.Series[Any], theirs: pd.Series[Any], rule: int) -> pd.DataFrame:
    """Every pair of positions whose values are the same. A null matches nothing."""
    left, right = (
        pd.DataFrame({"value": values.array, side: np.arange(len(values))}).dropna(subset="value")
        for side, values in (("source", ours), ("target", theirs))
    )
    return left.merge(right, on="value")[["source", "target"]].assign(rule=rule)


def candidates(
    spec: ProcessSpec, data: pd.DataFrame, target: pd.DataFrame, undecided: Mask
) -> pd.DataFrame:
    """Every pair that a rule finds and that no stronger identifier contradicts."""
    found = []
    for number, rule in enumerate(spec.match):
        if rule.source:
            ours = identifiers(data[rule.source]).where(undecided)
            each = pairs(ours, identifiers(target[rule.target]), number)
            if rule.weak:
                each = each[~contradictions(spec, data, target, each, own=False)]
            found.append(each)
    every = pd.concat(found, ignore_index=True)
    return every[~_of_somebody_else(spec, data, target, every)].reset_index(drop=True)


def contradictions(
    spec: ProcessSpec, data: pd.DataFrame, target: pd.DataFrame, found: pd.DataFrame, *, own: bool
) -> Mask:
    """Which of the pairs ``found`` have an identifier, such as the employee number, on both sides
    and not the same.

    own: accessplanit's own ID counts as well. That another user stands in the row does not make two
    people of one. Strong rules that share accessplanit's column are one identifier: it may stand in
    any of HR's columns. Where HR has a column for it beside its own key, that column alone tells
    whether two are different.
    """
    clash = pd.Series(False, index=found.index)
    to_hr = spec.direction == "to_hr"
    strong = [rule for rule in spec.match if rule.source and not rule.weak]
    accessplanit_key = spec.key if to_hr else spec.entity_key
    hr_key = spec.entity_key if to_hr else spec.key
    columns = dict.fromkeys(rule.source if to_hr else rule.target for rule in strong)
    for column in (name for name in columns if own or name != accessplanit_key):
        group = [rule for rule in strong if (rule.source if to_hr else rule.target) == column]
        named = [rule for rule in group if (rule.target if to_hr else rule.source) != hr_key]
        equal, both = (pd.Series(False, index=found.index) for _ in range(2))
        for rule in named or group:
            ours = at(identifiers(data[rule.source]), found["source"])
            theirs = at(identifiers(target[rule.target]), found["target"])
            both |= ours.notna() & theirs.notna()
            equal |= ours.notna() & same(ours, theirs)
        clash |= both & ~equal
    return clash


def _of_somebody_else(
    spec: ProcessSpec, data: pd.DataFrame, target: pd.DataFrame, found: pd.DataFrame
) -> Mask:
    """Which pairs only say that somebody else has the same mailbox.

    The row names another user, whose record is here too. Either a strong rule has found a row for
    the source row, or this process has made the row for that user. So users who share a mailbox are
    as many people after an interrupted run as after an undisturbed one.
    """
    weak = found["rule"].isin([number for number, rule in enumerate(spec.match) if rule.weak])
    better = found["source"].isin(found.loc[~weak, "source"])
    made = at(_made_for_a_user(spec, target), found["target"])
    here = at(_names_one_of(spec, data, target), found["target"])
    doubtful = weak & here & (better | made)
    if not doubtful.any():
        return doubtful
    return doubtful & contradictions(spec, data, target, found, own=True)


def own_ids(spec: ProcessSpec) -> list[str]:
    """HR's columns for accessplanit's own ID, beside HR's key."""
    if spec.direction != "to_hr":
        return []
    return [r.target for r in spec.match if r.source == spec.key and r.target != spec.entity_key]


def _made_for_a_user(spec: ProcessSpec, target: pd.DataFrame) -> Mask:
    """Which rows have the key that this process gives to a user without a natural key."""
    made = pd.Series(False, index=target.index)
    for name in own_ids(spec):
        given = spec.new_key + target[name]
        made |= given.notna() & same(target[spec.entity_key], given)
    return made


def _names_one_of(spec: ProcessSpec, data: pd.DataFrame, target: pd.DataFrame) -> Mask:
    """Which rows name a user whose record is among ``data``: that user is surely still there."""
    named = pd.Series(False, index=target.index)
    for name in own_ids(spec):
        named |= identifiers(target[name]).isin(identifiers(data[spec.key]))
    return named


def agreed_by_all(
    spec: ProcessSpec, found: pd.DataFrame, data: pd.DataFrame
) -> tuple[Mask, pd.DataFrame]:
    """Which rows of ``data`` have candidates but not exactly one that all their rules find; and the
    pair of each other row, with ``strong``: whether a strong rule has found it."""
    weak = [number for number, rule in enumerate(spec.match) if rule.weak]
    strong = found.loc[~found["rule"].isin(weak), ["source", "target"]].drop_duplicates()
    votes = found.groupby(["source", "target"])["rule"].nunique().rename("votes").reset_index()
    voters = found.groupby("source")["rule"].nunique().rename("voters").reset_index()
    counted = votes.merge(voters, on="source")
    unanimous = counted[counted["votes"] == counted["voters"]]
    single = unanimous[~unanimous["source"].duplicated(keep=False)][["source", "target"]]
    several = rows_at(found["source"], data) & ~rows_at(single["source"], data)
    single = single.merge(strong.assign(strong=True), on=["source", "target"], how="left")
    return several, single.assign(strong=single["strong"].notna())


def only_strong(chosen: pd.DataFrame) -> Mask:
    """Which pairs are their target's only pair by a strong rule. Somebody with the same mailbox
    does not compete with the person who has the number."""
    return chosen["strong"] & (chosen.groupby("target")["strong"].transform("sum") == 1)


def named(spec: ProcessSpec, found: pd.DataFrame, target_keys: pd.Series[Any]) -> dict[int, str]:
    """Position of a source row -> the keys of the rows that it may be, by the field that says so,
    as JSON. Only rows in doubt are listed."""
    doubtful = found[
        found["source"].duplicated(keep=False) | found["target"].duplicated(keep=False)
    ]
    by_row: dict[int, dict[str, list[str]]] = {}
    keys = at(target_keys, doubtful["target"])
    for source, rule, key in zip(doubtful["source"], doubtful["rule"], keys, strict=True):
        listed = by_row.setdefault(source, {}).setdefault(spec.match[rule].source, [])
        if key not in listed:
            listed.append(key)
    return {source: json.dumps(by_field) for source, by_field in by_row.items()}


def ended(spec: ProcessSpec, target: pd.DataFrame) -> Mask:
    """Which rows of people are closed: somebody who comes back may have a new record."""
    closed = dict(spec.scope.closed)
    if spec.links != "employees" or not closed or any(name not in target for name in closed):
        return pd.Series(False, index=target.index)
    done = pd.Series(True, index=target.index)
    fields = {field.target: field for field in spec.fields}
    for name, value in closed.items():
        alike = fields[name].alike if name in fields else ()
        values = [value, *(other for other, meant in alike if fold(meant) == fold(value))]
        done &= folded(target[name]).isin([fold(each) for each in values])
    return done


def without_ids(target: pd.DataFrame, past: Mapping[str, Mask]) -> pd.DataFrame:
    """``target`` without accessplanit's ID in the rows of which ``past`` says that it is outdated;
    column -> rows."""
    return target.assign(**{name: target[name].mask(rows) for name, rows in past.items()})


def twins(
    spec: ProcessSpec,
    rule: MatchRule,
    wanted: pd.DataFrame,
    target: pd.DataFrame,
    undecided: Mask,
    free: Mask,
) -> tuple[pd.DataFrame, Mask]:
    """Pairs of rows that have the same values in the rule's columns, and rows that cannot be told
    apart.

    What is linked already is another of its kind, not a clash: somebody may have the same thing
    twice. Rows that are alike in every compared column belong together. Of the rest the first of
    the source is the first of the target, as if they had come one after the other.
    """
    for name, value in rule.only:
        free = free & (folded(target[name]) == fold(value)).fillna(False).astype(bool)
    ours, theirs = (together(side, rule.together) for side in (wanted, target))
    found = pairs(ours.where(undecided), theirs.where(free), 0)
    found["group"] = at(ours, found["source"])
    found["alike"] = _alike(spec, wanted, target, found)
    found["first"] = at(wanted["source_key"], found["source"])
    found["second"] = at(target[spec.entity_key], found["target"])
    found = found.sort_values(
        ["alike", "first", "second"], ascending=[False, True, True], kind="stable"
    )
    sizes = found.groupby("group")[["source", "target"]].nunique()
    too_many = sizes.index[sizes["target"] > sizes["source"]]
    found["unclear"] = ~found["alike"] & found["group"].isin(too_many)
    chosen: dict[int, int] = {}
    ambiguous: set[int] = set()
    used: set[int] = set()
    for source, there, unclear in found[["source", "target", "unclear"]].itertuples(index=False):
        if source in chosen or there in used:
            continue
        if unclear:
            ambiguous.add(source)
            continue
        chosen[source] = there
        used.add(there)
    places = pd.Series(sorted(ambiguous), dtype="int64")
    pairs_ = pd.DataFrame(list(chosen.items()), columns=["source", "target"], dtype="int64")
    return pairs_, rows_at(places, wanted)


def together(side: pd.DataFrame, names: tuple[str, ...]) -> pd.Series[Any]:
    """Several text columns as one; null where one of them is."""
    first, *others = (side[name] for name in names)
    for other in others:
        first = first + "\0" + other
    return first


def _alike(
    spec: ProcessSpec, wanted: pd.DataFrame, target: pd.DataFrame, found: pd.DataFrame
) -> Mask:
    """Which pairs have the same values in every compared column that both sides show."""
    equal = pd.Series(True, index=found.index)
    for name in (n for n in spec.compared() if n in wanted and n in target):
        equal &= same(at(wanted[name], found["source"]), at(target[name], found["target"]))
    return equal
