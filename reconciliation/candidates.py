"""Finds candidates: pairs of a source row and a target row that may be the same, by the match
rules.

A frame of pairs has ``source`` and ``target`` (positions in the frames of the two sides, int64)
and, where it matters, ``rule`` (the position of the rule in ``ProcessSpec.match``).
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
"""Boolean mask with the index of the frame that it belongs to."""


def at(values: pd.Series[Any], places: pd.Series[Any]) -> pd.Series[Any]:
    """Returns the values at the positions ``places``, with the index of ``places``."""
    return values.take(places.to_numpy()).set_axis(places.index)


def rows_at(places: pd.Series[Any], rows: pd.DataFrame) -> Mask:
    """Returns the mask of ``rows`` at the positions ``places``."""
    return pd.Series(np.isin(np.arange(len(rows)), places), index=rows.index)


def pairs(ours: pd.Series[Any], theirs: pd.Series[Any], rule: int) -> pd.DataFrame:
    """Returns every pair of positions with equal values. A null matches nothing."""
    left, right = (
        pd.DataFrame({"value": values.array, side: np.arange(len(values))}).dropna(subset="value")
        for side, values in (("source", ours), ("target", theirs))
    )
    return left.merge(right, on="value")[["source", "target"]].assign(rule=rule)


def candidates(
    spec: ProcessSpec, data: pd.DataFrame, target: pd.DataFrame, undecided: Mask
) -> pd.DataFrame:
    """Returns every pair that a rule finds and that no stronger identifier contradicts."""
    by_rule = []
    for number, rule in enumerate(spec.match):
        if rule.source:
            ours = identifiers(data[rule.source]).where(undecided)
            each = pairs(ours, identifiers(target[rule.target]), number)
            if rule.weak:
                each = each[~contradictions(spec, data, target, each, own=False)]
            by_rule.append(each)
    every = pd.concat(by_rule, ignore_index=True)
    return every[~_of_somebody_else(spec, data, target, every)].reset_index(drop=True)


def contradictions(
    spec: ProcessSpec, data: pd.DataFrame, target: pd.DataFrame, found: pd.DataFrame, *, own: bool
) -> Mask:
    """Returns the mask of the pairs ``found`` in which an identifier, such as the employee number,
    differs between the sides.

    Strong rules with the same accessplanit column are one identifier, which may be in any of HR's
    columns. If HR has a column for it besides its own key, only that column is compared.

    Args:
        spec: the process.
        data: the source's records.
        target: the target's rows.
        found: pairs of positions.
        own: whether accessplanit's own ID counts too. Different IDs alone do not prove two people:
            a person may have a new user record while the row still has the ID of the old one.
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
    """Returns the mask of pairs that only show that somebody else has the same mailbox.

    In such a pair the target row names another user, whose record is in ``data`` too. In addition,
    either a strong rule has found a row for the source row, or this process has made the target row
    for that other user. With this rule, users who share a mailbox become the same number of people
    whether or not a run was interrupted.
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
    """Returns HR's columns for accessplanit's own ID, without HR's key."""
    if spec.direction != "to_hr":
        return []
    return [r.target for r in spec.match if r.source == spec.key and r.target != spec.entity_key]


def _made_for_a_user(spec: ProcessSpec, target: pd.DataFrame) -> Mask:
    """Returns the mask of rows with a key that this process gives to users without a natural
    key."""
    made = pd.Series(False, index=target.index)
    for name in own_ids(spec):
        given = spec.new_key + target[name]
        made |= given.notna() & same(target[spec.entity_key], given)
    return made


def _names_one_of(spec: ProcessSpec, data: pd.DataFrame, target: pd.DataFrame) -> Mask:
    """Returns the mask of rows that name a user whose record is in ``data``, so that the user
    certainly still exists."""
    named = pd.Series(False, index=target.index)
    for name in own_ids(spec):
        named |= identifiers(target[name]).isin(identifiers(data[spec.key]))
    return named


def agreed_by_all(
    spec: ProcessSpec, found: pd.DataFrame, data: pd.DataFrame
) -> tuple[Mask, pd.DataFrame]:
    """Splits the rows of ``data`` that have candidates.

    Returns:
        The mask of rows without a single candidate that all their rules agree on; and the pairs of
        the other rows, with ``strong``: whether a strong rule has found the pair.
    """
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
    """Returns the mask of pairs that are their target's only pair by a strong rule. A person with
    the same mailbox does not compete with the person who has the number."""
    return chosen["strong"] & (chosen.groupby("target")["strong"].transform("sum") == 1)


def named(spec: ProcessSpec, found: pd.DataFrame, target_keys: pd.Series[Any]) -> dict[int, str]:
    """Returns, for each source row in doubt, its position and the target keys that it may be, as
    JSON: field -> keys."""
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
    """Returns the mask of closed rows of people. A person who comes back may have a new record."""
    closed = dict(spec.scope.closed)
    if spec.links != "employees" or not closed or any(name not in target for name in closed):
        return pd.Series(False, index=target.index)
    is_closed = pd.Series(True, index=target.index)
    fields = {field.target: field for field in spec.fields}
    for name, value in closed.items():
        alike = fields[name].alike if name in fields else ()
        values = [value, *(other for other, meant in alike if fold(meant) == fold(value))]
        is_closed &= folded(target[name]).isin([fold(each) for each in values])
    return is_closed


def without_ids(target: pd.DataFrame, past: Mapping[str, Mask]) -> pd.DataFrame:
    """Blanks accessplanit's ID where it is outdated. ``past`` is column -> mask of these rows."""
    return target.assign(**{name: target[name].mask(rows) for name, rows in past.items()})


def twins(
    spec: ProcessSpec,
    rule: MatchRule,
    wanted: pd.DataFrame,
    target: pd.DataFrame,
    undecided: Mask,
    free: Mask,
) -> tuple[pd.DataFrame, Mask]:
    """Pairs rows that have the same values in the columns of a rule (``MatchRule.together``).

    A linked row is not a candidate, because a person may have the same thing twice. Rows that are
    alike in every compared column are paired first. The others are paired in the order of their
    keys, unless the target has more rows of such values than the source.

    Returns:
        The pairs, and the mask of source rows that remain ambiguous.
    """
    for name, value in rule.only:
        free = free & (folded(target[name]) == fold(value)).fillna(False).astype(bool)
    ours, theirs = (together(side, rule.together) for side in (wanted, target))
    candidate_pairs = pairs(ours.where(undecided), theirs.where(free), 0)
    candidate_pairs = candidate_pairs.assign(
        group=at(ours, candidate_pairs["source"]),
        alike=_alike(spec, wanted, target, candidate_pairs),
        source_key=at(wanted["source_key"], candidate_pairs["source"]),
        target_key=at(target[spec.entity_key], candidate_pairs["target"]),
    ).sort_values(
        ["alike", "source_key", "target_key"], ascending=[False, True, True], kind="stable"
    )
    sizes = candidate_pairs.groupby("group")[["source", "target"]].nunique()
    too_many = sizes.index[sizes["target"] > sizes["source"]]
    unclear = ~candidate_pairs["alike"] & candidate_pairs["group"].isin(too_many)
    chosen: dict[int, int] = {}
    ambiguous: set[int] = set()
    used: set[int] = set()
    # Take the pairs one after the other, unless one of their rows is taken.
    for source, match, is_unclear in zip(
        candidate_pairs["source"], candidate_pairs["target"], unclear, strict=True
    ):
        if source in chosen or match in used:
            continue
        if is_unclear:
            ambiguous.add(source)
            continue
        chosen[source] = match
        used.add(match)
    places = pd.Series(sorted(ambiguous), dtype="int64")
    chosen_pairs = pd.DataFrame(list(chosen.items()), columns=["source", "target"], dtype="int64")
    return chosen_pairs, rows_at(places, wanted)


def together(side: pd.DataFrame, names: tuple[str, ...]) -> pd.Series[Any]:
    """Joins several text columns into one; null if one of them is null."""
    first, *others = (side[name] for name in names)
    for other in others:
        first = first + "\0" + other
    return first


def _alike(
    spec: ProcessSpec, wanted: pd.DataFrame, target: pd.DataFrame, found: pd.DataFrame
) -> Mask:
    """Returns the mask of pairs with equal values in every compared column that both sides have."""
    equal = pd.Series(True, index=found.index)
    for name in (n for n in spec.compared() if n in wanted and n in target):
        equal &= same(at(wanted[name], found["source"]), at(target[name], found["target"]))
    return equal
