"""Which row is which person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .frame import arrow, empty, fold, folded, frame, pick, true
from .identifiers import identifiers
from .spec import MatchRule, ProcessSpec

HELD = {"key": "text", "field": "text", "reason": "text", "waits_for": "text", "raw": "text"}
"""A held row: nothing is wrong with it, but loading it now would be a guess. raw: for whoever
decides, such as the rows that it may be, as JSON (field -> keys): personal data, for the store
only."""
PROVISIONAL = "new:"
"""What the key of a row begins with that the target will give a key of its own
(``ProcessSpec.new_key``)."""
LINKS = {"source_key": "text", "target_key": "text"}


@dataclass(frozen=True)
class Matched:
    """Which target row each source row is."""

    keys: pa.Array
    """The target key of each source row, null where it is held."""
    links: pd.DataFrame
    """:data:`LINKS` that were found or proposed now."""
    held: pd.DataFrame
    """:data:`HELD`: the rows that were not decided."""
    contested: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    """Keys of target rows that a held row may be: somebody has a claim to them."""


def held(
    keys: pa.Array,
    field: str,
    reason: str,
    waits_for: pa.Array | None = None,
    raw: pa.Array | None = None,
) -> pd.DataFrame:
    """Rows of :data:`HELD` that share a reason."""
    count = len(keys)
    return frame(
        {
            "key": keys,
            "field": pa.array([field] * count, pa.string()),
            "reason": pa.array([reason] * count, pa.string()),
            "waits_for": waits_for if waits_for is not None else pa.nulls(count, pa.string()),
            "raw": raw if raw is not None else pa.nulls(count, pa.string()),
        }
    )


def linked(source_keys: pa.Array, links: pd.DataFrame) -> pa.Array:
    """The target keys that ``links`` (:data:`LINKS`) gives to source keys, null where there is
    none."""
    place = pc.index_in(source_keys, value_set=arrow(links["source_key"]))
    return arrow(links["target_key"]).take(place)


def by_identity(data: pd.DataFrame, key: str) -> Matched:
    """Rows whose source key is the target's key as well."""
    return Matched(arrow(data[key]), empty(LINKS), empty(HELD))


def proposed(data: pd.DataFrame, spec: ProcessSpec) -> pa.Array:
    """The key of a row that the target does not have yet: its natural key, else the source's key
    after ``new_key``.

    It depends on the record alone, so that a create that is repeated after a crash meets itself.
    """
    own = pc.binary_join_element_wise(pa.scalar(spec.new_key), arrow(data[spec.key]), "")
    return pc.coalesce(arrow(data[spec.natural_key]), own) if spec.natural_key else own


def _one_to_many(values: pa.Array) -> np.ndarray[Any, Any]:
    """True where a value stands more than once."""
    twice = pd.Series(pd.arrays.ArrowExtensionArray(values)).duplicated(keep=False)
    return np.asarray(twice.to_numpy() & ~np.asarray(pc.is_null(values)))


def pairs(ours: pa.Array, theirs: pa.Array, rule: int) -> pd.DataFrame:
    """Every pair of positions whose values are the same; a null matches nothing. Columns as in
    :class:`Candidates`."""
    left = frame({"value": ours, "source": pa.array(np.arange(len(ours)))}).dropna(subset="value")
    right = frame({"value": theirs, "target": pa.array(np.arange(len(theirs)))}).dropna(
        subset="value"
    )
    found = left.merge(right, on="value")[["source", "target"]].astype("int64")
    return found.assign(rule=rule)


def contradictions(
    spec: ProcessSpec, data: pd.DataFrame, target: pd.DataFrame, found: pd.DataFrame, *, own: bool
) -> np.ndarray[Any, Any]:
    """Which of the pairs ``found`` have an identifier, such as the employee number, on both sides
    and not the same.

    own: accessplanit's own ID counts as well. That another user stands in the row does not make two
    people of one. Strong rules that share accessplanit's column are one identifier: it may stand in
    any of HR's columns. Where HR has a column for it beside its own key, that column alone tells
    whether two are different.
    """
    clash = np.zeros(len(found), dtype=bool)
    source, there = found["source"].to_numpy(), found["target"].to_numpy()
    to_hr = spec.direction == "to_hr"
    strong = [rule for rule in spec.match if rule.source and not rule.weak]
    accessplanit_key = spec.key if to_hr else spec.entity_key
    columns = dict.fromkeys(rule.source if to_hr else rule.target for rule in strong)
    for column in (name for name in columns if own or name != accessplanit_key):
        group = [rule for rule in strong if (rule.source if to_hr else rule.target) == column]
        hr_key = spec.entity_key if to_hr else spec.key
        named = [rule for rule in group if (rule.target if to_hr else rule.source) != hr_key]
        same, told = np.zeros(len(found), dtype=bool), np.zeros(len(found), dtype=bool)
        for rule in named or group:
            ours = identifiers(arrow(data[rule.source])).take(pa.array(source))
            theirs = identifiers(arrow(target[rule.target])).take(pa.array(there))
            same |= true(pc.equal(ours, theirs))
            told |= np.asarray(pc.is_valid(ours)) & np.asarray(pc.is_valid(theirs))
        clash |= told & ~same
    return clash


def by_rules(
    spec: ProcessSpec,
    data: pd.DataFrame,
    wanted: pd.DataFrame,
    target: pd.DataFrame,
    links: pd.DataFrame,
    gone: pa.Array | None = None,
    lost: pd.DataFrame | None = None,
) -> Matched:
    """Links first, then all rules together: candidates that disagree are held, whatever the order
    of the rules.

    A weak rule (the e-mail address) never overrules a strong one that contradicts it: that is
    another person. Rows that match together (two targets of one award) are paired in the order of
    their keys, those that are alike first.

    ``wanted`` has the entity's columns for each row of ``data``. ``target`` holds at least every
    target row that shares a rule's value with a source row or has a proposed key; ``links`` at
    least those of the source rows, of these target rows and of the proposed keys. gone: source keys
    whose records are verified to be gone; their rows may be taken over. lost: links whose rows the
    target has no more; a source row keeps such a key unless the rules find another row for it.
    """
    source_keys = arrow(data[spec.key])
    target_keys = arrow(target[spec.entity_key])
    keys = linked(source_keys, links)
    undecided = np.asarray(pc.is_null(keys))
    free = _free(spec, target, links, gone)
    problems: list[pd.DataFrame] = []
    contested = pd.Series([], dtype="int64")
    candidates: dict[int, str] = {}

    def hold(mask: np.ndarray[Any, Any], field: str, reason: str) -> None:
        nonlocal undecided
        mask = mask & undecided
        if mask.any():
            raw = pa.array(
                [candidates.get(place) for place in np.flatnonzero(mask).tolist()], pa.string()
            )
            problems.append(held(source_keys.filter(pa.array(mask)), field, reason, raw=raw))
            undecided = undecided & ~mask

    words = _Words.of(spec)
    by_value = [rule for rule in spec.match if rule.source]
    if by_value and undecided.any():
        known = _without_gone(spec, target, gone)
        found = _candidates(spec, data, known, undecided)
        several, chosen = _agreed(spec, found, len(data))
        candidates = _named(spec, found, target_keys)
        hold(
            several,
            by_value[0].source,
            f"may be one of several {words.others}, by {_identifiers(spec)}",
        )
        # Somebody who comes back may have a new record: a number says so, a mailbox does not.
        returned = _without_ended(spec, known)
        clash = contradictions(spec, data, known, chosen, own=True) & (
            ~chosen["strong"].to_numpy() | contradictions(spec, data, returned, chosen, own=True)
        )
        hold(
            _at(chosen["source"][clash], len(data)),
            by_value[0].source,
            f"an identifier of the {words.other} found says otherwise",
        )
        there = chosen["target"].to_numpy()
        taken = ~free[there] & ~(chosen["strong"].to_numpy() & _ended(spec, target)[there])
        hold(
            _at(chosen["source"][taken], len(data)),
            by_value[0].source,
            f"the {words.other} found is linked to another {words.one}",
        )
        chosen = chosen[undecided[chosen["source"].to_numpy()]]
        shared = chosen[chosen["target"].duplicated(keep=False) & ~_only_strong(chosen)]
        hold(
            _at(shared["source"], len(data)),
            by_value[0].source,
            f"several {words.ones} lead to the same {words.other}",
        )
        chosen = chosen[undecided[chosen["source"].to_numpy()]]
        contested = found.loc[~found["source"].isin(chosen["source"]), "target"]
        keys = _taken_from(target_keys, chosen, keys)
        undecided = undecided & np.asarray(pc.is_null(keys))
    for rule in (rule for rule in spec.match if rule.together):
        chosen, ambiguous = _twins(spec, rule, wanted, target, undecided, free)
        hold(
            ambiguous,
            " and ".join(rule.together),
            f"several {words.others} have the same {' and '.join(rule.together)}",
        )
        keys = _taken_from(target_keys, chosen, keys)
        undecided = undecided & np.asarray(pc.is_null(keys))
    if lost is not None and len(lost):
        keys = pc.if_else(pa.array(undecided), pc.coalesce(keys, linked(source_keys, lost)), keys)
        undecided = undecided & np.asarray(pc.is_null(keys))
    suggestion = proposed(data, spec)
    known = identifiers(pa.concat_arrays([target_keys, arrow(links["target_key"])]))
    hold(
        true(pc.is_in(identifiers(suggestion), value_set=known)),
        spec.key,
        f"{spec.target_side} has this key for somebody else",
    )
    keys = pc.if_else(pa.array(undecided), suggestion, keys)
    twice = _one_to_many(identifiers(keys))
    if twice.any():
        problems.append(
            held(
                source_keys.filter(pa.array(twice)),
                spec.key,
                f"several {words.ones} lead to the same {words.other}",
            )
        )
        keys = pc.if_else(pa.array(twice), pa.scalar(None, pa.string()), keys)
    new = ~np.asarray(pc.is_null(keys)) & np.asarray(pc.is_null(linked(source_keys, links)))
    fresh = pick(frame({"source_key": source_keys, "target_key": keys}), new)
    claims = target_keys.take(pa.array(contested.to_numpy()))
    return Matched(
        keys, fresh, pd.concat(problems, ignore_index=True) if problems else empty(HELD), claims
    )


@dataclass(frozen=True)
class _Words:
    """What the two sides' rows are called in reasons."""

    one: str
    ones: str
    other: str
    others: str

    @classmethod
    def of(cls, spec: ProcessSpec) -> _Words:
        if spec.links != "employees":
            return cls("record", "records", "row", "rows")
        user, employee = ("user", "users"), ("employee", "employees")
        return cls(*user, *employee) if spec.direction == "to_hr" else cls(*employee, *user)


def _identifiers(spec: ProcessSpec) -> str:
    *names, last = dict.fromkeys(rule.source for rule in spec.match if rule.source)
    return f"{', '.join(names)} or {last}" if names else last


def _free(
    spec: ProcessSpec, target: pd.DataFrame, links: pd.DataFrame, gone: pa.Array | None
) -> np.ndarray[Any, Any]:
    """The target rows that a source row may be matched with: not linked, or linked to a record that
    is gone."""
    holding = (
        links
        if gone is None
        else pick(links, ~true(pc.is_in(arrow(links["source_key"]), value_set=gone)))
    )
    taken = true(pc.is_in(arrow(target[spec.entity_key]), value_set=arrow(holding["target_key"])))
    return np.asarray(~taken)


def _ended(spec: ProcessSpec, target: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Which rows of people are closed: somebody who comes back may have a new record."""
    closed = dict(spec.scope.closed)
    if spec.links != "employees" or not closed or any(name not in target for name in closed):
        return np.zeros(len(target), dtype=bool)
    done = np.ones(len(target), dtype=bool)
    fields = {field.target: field for field in spec.fields}
    for name, value in closed.items():
        alike = (
            [value, *(other for other, meant in fields[name].alike if fold(meant) == fold(value))]
            if name in fields
            else [value]
        )
        done &= true(
            pc.is_in(
                folded(arrow(target[name])), pa.array([fold(each) for each in alike], pa.string())
            )
        )
    return done


def _without_gone(spec: ProcessSpec, target: pd.DataFrame, gone: pa.Array | None) -> pd.DataFrame:
    """``target`` without what HR's column for accessplanit's ID says of users who are gone."""
    return (
        target
        if gone is None
        else _without_ids(
            target, {name: target[name].isin(gone.to_pylist()) for name in _own_ids(spec)}
        )
    )


def _without_ended(spec: ProcessSpec, target: pd.DataFrame) -> pd.DataFrame:
    """``target`` without what HR's column for accessplanit's ID says of people who have left."""
    return _without_ids(
        target, {name: pd.Series(_ended(spec, target), target.index) for name in _own_ids(spec)}
    )


def _without_ids(target: pd.DataFrame, past: Mapping[str, pd.Series]) -> pd.DataFrame:
    return target.assign(
        **{name: target[name].mask(rows.astype(bool)) for name, rows in past.items()}
    )


def _own_ids(spec: ProcessSpec) -> list[str]:
    """HR's columns for accessplanit's own ID, beside HR's key."""
    if spec.direction != "to_hr":
        return []
    return [
        rule.target
        for rule in spec.match
        if rule.source == spec.key and rule.target != spec.entity_key
    ]


def _only_strong(chosen: pd.DataFrame) -> pd.Series:
    """Which pairs alone have a strong rule among those of their target: a shared mailbox takes
    nobody's number away."""
    return chosen["strong"] & (chosen.groupby("target")["strong"].transform("sum") == 1)


def _candidates(
    spec: ProcessSpec, data: pd.DataFrame, target: pd.DataFrame, undecided: np.ndarray[Any, Any]
) -> pd.DataFrame:
    """Every pair that a rule finds and that no stronger identifier contradicts: ``source``,
    ``target``, ``rule``."""
    none = pa.scalar(None, pa.string())
    found = []
    for number, rule in enumerate(spec.match):
        if rule.source:
            ours = pc.if_else(pa.array(undecided), identifiers(arrow(data[rule.source])), none)
            each = pairs(ours, identifiers(arrow(target[rule.target])), number)
            found.append(
                each[~contradictions(spec, data, target, each, own=False)] if rule.weak else each
            )
    pairs_found = pd.concat(found, ignore_index=True)
    return pairs_found[~_of_somebody_else(spec, data, target, pairs_found)].reset_index(drop=True)


def _of_somebody_else(
    spec: ProcessSpec, data: pd.DataFrame, target: pd.DataFrame, found: pd.DataFrame
) -> np.ndarray[Any, Any]:
    """Which pairs only say that somebody else has the same mailbox: the row names another user,
    whose record is here too, and a strong rule has found a row for the source row, or this process
    has made the row for that user.

    So users who share a mailbox are as many people after an interrupted run as after an undisturbed
    one.
    """
    weak = found["rule"].isin([number for number, rule in enumerate(spec.match) if rule.weak])
    better = found["source"].isin(found.loc[~weak, "source"])
    made = pd.Series(_made_for_a_user(spec, target)[found["target"].to_numpy()], found.index)
    here = pd.Series(_names_one_of(spec, data, target)[found["target"].to_numpy()], found.index)
    doubtful = (weak & here & (better | made)).to_numpy(dtype=bool)
    return (
        doubtful & contradictions(spec, data, target, found, own=True)
        if doubtful.any()
        else doubtful
    )


def _made_for_a_user(spec: ProcessSpec, target: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Which rows have the key that this process gives to a user without a natural key."""
    made = np.zeros(len(target), dtype=bool)
    for name in _own_ids(spec):
        given = pc.binary_join_element_wise(pa.scalar(spec.new_key), arrow(target[name]), "")
        made |= true(pc.equal(arrow(target[spec.entity_key]), given))
    return made


def _names_one_of(
    spec: ProcessSpec, data: pd.DataFrame, target: pd.DataFrame
) -> np.ndarray[Any, Any]:
    """Which rows name a user whose record is among ``data``: that user is surely still there."""
    named = np.zeros(len(target), dtype=bool)
    for name in _own_ids(spec):
        named |= true(
            pc.is_in(identifiers(arrow(target[name])), value_set=identifiers(arrow(data[spec.key])))
        )
    return named


def _agreed(
    spec: ProcessSpec, found: pd.DataFrame, rows: int
) -> tuple[np.ndarray[Any, Any], pd.DataFrame]:
    """Which source rows have candidates of which not exactly one is found by all rules that find
    any; and the one of each other row (``source``, ``target``, and ``strong``: whether a strong
    rule has found it)."""
    weak = [number for number, rule in enumerate(spec.match) if rule.weak]
    strong = (
        found.loc[~found["rule"].isin(weak), ["source", "target"]]
        .drop_duplicates()
        .assign(strong=True)
    )
    votes = found.groupby(["source", "target"])["rule"].nunique().rename("votes").reset_index()
    voters = found.groupby("source")["rule"].nunique().rename("voters").reset_index()
    counted = votes.merge(voters, on="source")
    unanimous = counted[counted["votes"] == counted["voters"]]
    single = unanimous[~unanimous["source"].duplicated(keep=False)][["source", "target"]]
    several = _at(found["source"], rows) & ~_at(single["source"], rows)
    single = single.merge(strong, on=["source", "target"], how="left")
    return several, single.assign(strong=single["strong"].notna())


def _named(spec: ProcessSpec, found: pd.DataFrame, target_keys: pa.Array) -> dict[int, str]:
    """Position of a source row -> the keys of the rows that it may be, by the field that says so,
    as JSON."""
    doubtful = found[
        found["source"].duplicated(keep=False) | found["target"].duplicated(keep=False)
    ]
    named: dict[int, dict[str, list[str]]] = {}
    for source, target, rule in doubtful[["source", "target", "rule"]].itertuples(index=False):
        keys = named.setdefault(source, {}).setdefault(spec.match[rule].source, [])
        if target_keys[target].as_py() not in keys:
            keys.append(target_keys[target].as_py())
    return {source: json.dumps(by_field) for source, by_field in named.items()}


def _twins(
    spec: ProcessSpec,
    rule: MatchRule,
    wanted: pd.DataFrame,
    target: pd.DataFrame,
    undecided: np.ndarray[Any, Any],
    free: np.ndarray[Any, Any],
) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Pairs (``source``, ``target``) of rows that have the same values in the rule's columns, and
    rows that cannot be told apart.

    What is linked already is another of its kind, not a clash: somebody may have the same thing
    twice. Rows that are alike in every compared column belong together; of the rest the first of
    the source is the first of the target, as if they had come one after the other.
    """
    none = pa.scalar(None, pa.string())
    ours, theirs = (
        pc.binary_join_element_wise(*(arrow(side[name]) for name in rule.together), "\0")
        for side in (wanted, target)
    )
    for name, value in rule.only:
        theirs = pc.if_else(
            pc.fill_null(pc.equal(folded(arrow(target[name])), fold(value)), False), theirs, None
        )
    found = pairs(
        pc.if_else(pa.array(undecided), ours, none), pc.if_else(pa.array(free), theirs, none), 0
    )
    nothing = np.zeros(len(wanted), dtype=bool)
    if not len(found):
        return found[["source", "target"]], nothing
    source_key, target_key = (
        wanted["source_key"].to_numpy(dtype=object),
        target[spec.entity_key].to_numpy(dtype=object),
    )
    alike = _alike(spec, wanted, target, found)
    ordered = found.assign(
        alike=alike,
        first=source_key[found["source"].to_numpy()],
        second=target_key[found["target"].to_numpy()],
        group=_group(ours, found),
    ).sort_values(["alike", "first", "second"], ascending=[False, True, True], kind="stable")
    chosen: dict[int, int] = {}
    used: set[int] = set()
    sources, targets = (
        ordered.groupby("group")["source"].nunique(),
        ordered.groupby("group")["target"].nunique(),
    )
    ambiguous = nothing.copy()
    for source, there, same, group in ordered[["source", "target", "alike", "group"]].itertuples(
        index=False
    ):
        if source in chosen or there in used:
            continue
        if not same and targets[group] > sources[group]:
            ambiguous[source] = True
            continue
        chosen[source] = there
        used.add(there)
    return pd.DataFrame(
        {"source": list(chosen), "target": list(chosen.values())}, dtype="int64"
    ), ambiguous


def _group(values: pa.Array, found: pd.DataFrame) -> np.ndarray[Any, Any]:
    return np.asarray(
        values.dictionary_encode()
        .indices.fill_null(-1)
        .take(pa.array(found["source"].to_numpy()))
        .to_numpy()
    )


def _alike(
    spec: ProcessSpec, wanted: pd.DataFrame, target: pd.DataFrame, found: pd.DataFrame
) -> np.ndarray[Any, Any]:
    """Which pairs have the same values in every compared column that both sides show."""
    same = np.ones(len(found), dtype=bool)
    for name in (n for n in spec.compared() if n in wanted and n in target):
        ours, theirs = (
            arrow(wanted[name]).take(pa.array(found["source"])),
            arrow(target[name]).take(pa.array(found["target"])),
        )
        same &= true(pc.equal(ours, theirs)) | (
            np.asarray(pc.is_null(ours)) & np.asarray(pc.is_null(theirs))
        )
    return same


def _taken_from(target_keys: pa.Array, chosen: pd.DataFrame, keys: pa.Array) -> pa.Array:
    """``keys`` with those of the chosen pairs in their places."""
    if not len(chosen):
        return keys
    place = np.full(len(keys), -1, dtype=np.int64)
    place[chosen["source"].to_numpy()] = chosen["target"].to_numpy()
    return pc.coalesce(keys, target_keys.take(pa.array(place, mask=place < 0)))


def _at(places: pd.Series[int], rows: int) -> np.ndarray[Any, Any]:
    """A mask of ``rows`` with true at ``places``."""
    mask = np.zeros(rows, dtype=bool)
    mask[places.to_numpy()] = True
    return mask
