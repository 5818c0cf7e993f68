"""Matches source rows to target rows: by links first, then by the match rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from .candidates import (
    Mask,
    agreed_by_all,
    at,
    candidates,
    contradictions,
    ended,
    named,
    only_strong,
    own_ids,
    rows_at,
    twins,
    without_ids,
)
from .frame import concat, empty
from .identifiers import identifiers
from .spec import MatchRule, ProcessSpec
from .tables import DTYPES, looked_up, texts

HELD = {"key": "text", "field": "text", "reason": "text", "waits_for": "text", "raw": "text"}
"""A held row: nothing is wrong with it, but loading it now would be a guess. ``waits_for`` is the
key of the person that it waits for. ``raw`` helps the person who decides; for example, it has the
rows that it may be, as JSON (field -> keys). It is personal data and only for the store."""
PROVISIONAL = "new:"
"""Prefix of a provisional key: the target will give the new row a key of its own
(``ProcessSpec.new_key``)."""
LINKS = {"source_key": "text", "target_key": "text"}


@dataclass(frozen=True)
class Matched:
    """The target row of each source row."""

    keys: pd.Series[Any]
    """The target key of each source row; null if the row is held."""
    links: pd.DataFrame
    """New :data:`LINKS`, found by the rules or proposed for new rows."""
    held: pd.DataFrame
    """:data:`HELD`: the rows that could not be decided."""
    contested: pd.Series[Any] = field(default_factory=texts)
    """Keys of target rows that a held row may be."""


def held(
    keys: pd.Series[Any],
    field: str,
    reason: str,
    waits_for: pd.Series[Any] | None = None,
    raw: pd.Series[Any] | None = None,
) -> pd.DataFrame:
    """Builds rows of :data:`HELD` that share a reason. ``waits_for`` and ``raw`` have the index of
    ``keys``."""
    if not len(keys):
        return empty(HELD)
    rows = keys.to_frame("key").assign(field=field, reason=reason, waits_for=waits_for, raw=raw)
    return rows.astype(dict.fromkeys(HELD, DTYPES["text"])).reset_index(drop=True)


def linked(source_keys: pd.Series[Any], links: pd.DataFrame) -> pd.Series[Any]:
    """Looks up the target keys of source keys in ``links`` (:data:`LINKS`); null if not linked."""
    return looked_up(source_keys, links, "source_key")["target_key"]


def by_identity(data: pd.DataFrame, key: str) -> Matched:
    """Matches rows whose source key is also the target's key."""
    return Matched(data[key], empty(LINKS), empty(HELD))


def proposed(data: pd.DataFrame, spec: ProcessSpec) -> pd.Series[Any]:
    """Returns the key for a new row: its natural key, or else ``new_key`` and the source's key.

    The key depends only on the record, so that a create repeated after a crash has the same key.
    """
    made_up = spec.new_key + data[spec.key]
    return data[spec.natural_key].fillna(made_up) if spec.natural_key else made_up


def by_rules(
    spec: ProcessSpec,
    data: pd.DataFrame,
    wanted: pd.DataFrame,
    target: pd.DataFrame,
    links: pd.DataFrame,
    gone: pd.Series[Any] | None = None,
    lost: pd.DataFrame | None = None,
) -> Matched:
    """Matches rows by their links, and unlinked rows by all rules together. A row is held if its
    rules find different rows; the order of the rules does not matter.

    A weak rule (the e-mail address) never overrules a strong one that contradicts it, because that
    is another person. Rows that match by several columns together (two targets of one award) are
    paired in the order of their keys; rows that are alike come first.

    Args:
        spec: the process, with its match rules.
        data: the source's records.
        wanted: the entity's columns for each row of ``data``, in the same order.
        target: at least every target row that shares a rule's value with a source row or has a
            proposed key.
        links: at least the links of the source rows, of these target rows and of the proposed
            keys.
        gone: source keys of records that are verified to be gone; their rows may be matched again.
        lost: links whose rows the target no longer has. A source row keeps such a key unless the
            rules find another row for it.
    """
    data, wanted, target = (part.reset_index(drop=True) for part in (data, wanted, target))
    matching = _Matching(spec, data, target, links, gone if gone is not None else texts())
    if any(rule.source for rule in spec.match):
        matching.by_values()
    for rule in (rule for rule in spec.match if rule.together):
        matching.by_columns(rule, wanted)
    if lost is not None:
        matching.decide(linked(data[spec.key], lost))
    matching.propose()
    matching.hold_shared_keys()
    return matching.result()


@dataclass(frozen=True)
class _Words:
    """Words for the rows of the source (``one``, ``ones``) and of the target (``other``,
    ``others``) in reasons."""

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


class _Matching:
    """The state of one matching: the target keys found so far, and the rows that are held."""

    def __init__(
        self,
        spec: ProcessSpec,
        data: pd.DataFrame,
        target: pd.DataFrame,
        links: pd.DataFrame,
        gone: pd.Series[Any],
    ) -> None:
        self.spec, self.data, self.target, self.links, self.gone = spec, data, target, links, gone
        self.linked = linked(data[spec.key], links)
        self.keys = self.linked
        self.is_held = pd.Series(False, index=data.index)
        self.held = empty(HELD)
        self.contested = texts()
        self.free = self._free()
        self.words = _Words.of(spec)

    @property
    def undecided(self) -> Mask:
        """Mask of the rows that have no key yet and are not held."""
        return self.keys.isna() & ~self.is_held

    def hold(
        self, rows: Mask, field: str, reason: str, named: dict[int, str] | None = None
    ) -> None:
        """Holds the undecided ones of ``rows``. ``named`` has the rows that they may be, by
        position (:func:`candidates.named`)."""
        rows = rows & self.undecided
        if rows.any():
            raw = texts((named or {}).get(place) for place in np.flatnonzero(rows).tolist())
            keys = self.data.loc[rows, self.spec.key].reset_index(drop=True)
            self.held = concat([self.held, held(keys, field, reason, raw=raw)])
            self.is_held |= rows

    def decide(self, keys: pd.Series[Any]) -> None:
        """Sets the keys of undecided rows; decided rows keep theirs."""
        self.keys = self.keys.where(~self.undecided, keys)

    def take(self, chosen: pd.DataFrame) -> None:
        """Sets the keys of the source rows in these pairs."""
        keys = at(self.target[self.spec.entity_key], chosen["target"])
        self.decide(keys.set_axis(chosen["source"]).reindex(self.data.index))

    # -- the steps -------------------------------------------------------------------------------

    def by_values(self) -> None:
        """Applies all rules that compare one value of each side, together.

        A row that keeps exactly one candidate gets its key. It is held if it has several
        candidates, if an identifier contradicts its candidate, if the candidate is linked to
        another record, or if several rows have the same candidate.
        """
        if not self.undecided.any():
            return
        spec, data, words = self.spec, self.data, self.words
        field = next(rule.source for rule in spec.match if rule.source)
        known = self._without_gone()
        found = candidates(spec, data, known, self.undecided)
        several, chosen = agreed_by_all(spec, found, data)
        options = named(spec, found, self.target[spec.entity_key])
        why = f"may be one of several {words.others}, by {_identifiers(spec)}"
        self.hold(several, field, why, options)
        clash = rows_at(chosen["source"][self._contradicted(known, chosen)], data)
        why = f"an identifier contradicts the {words.other} found"
        self.hold(clash, field, why, options)
        taken = rows_at(chosen["source"][self._taken(chosen)], data)
        why = f"the {words.other} found is linked to another {words.one}"
        self.hold(taken, field, why, options)
        chosen = self._still_undecided(chosen)
        shared = chosen["target"].duplicated(keep=False) & ~only_strong(chosen)
        why = f"several {words.ones} lead to the same {words.other}"
        self.hold(rows_at(chosen["source"][shared], data), field, why, options)
        chosen = self._still_undecided(chosen)
        # Held rows may be these target rows.
        claimed = found.loc[~found["source"].isin(chosen["source"]), "target"]
        self.contested = at(self.target[spec.entity_key], claimed)
        self.take(chosen)

    def by_columns(self, rule: MatchRule, wanted: pd.DataFrame) -> None:
        """Applies one rule that compares several columns together."""
        chosen, ambiguous = twins(self.spec, rule, wanted, self.target, self.undecided, self.free)
        columns = " and ".join(rule.together)
        self.hold(ambiguous, columns, f"several {self.words.others} have the same {columns}")
        self.take(chosen)

    def propose(self) -> None:
        """Proposes a key for each row that is still undecided, because the target does not have it
        yet."""
        spec = self.spec
        suggestion = proposed(self.data, spec)
        existing = concat([self.target[spec.entity_key], self.links["target_key"]])
        used = identifiers(suggestion).isin(identifiers(existing.dropna()))
        self.hold(used, spec.key, f"{spec.target_side} has this key for somebody else")
        self.decide(suggestion)

    def hold_shared_keys(self) -> None:
        """Holds rows that were matched to the same key."""
        plain = identifiers(self.keys)
        twice = plain.notna() & plain.duplicated(keep=False)
        self.keys = self.keys.mask(twice)
        self.hold(
            twice,
            self.spec.key,
            f"several {self.words.ones} lead to the same {self.words.other}",
        )

    def result(self) -> Matched:
        """Returns the result of the matching."""
        new = self.keys.notna() & self.linked.isna()
        links = pd.DataFrame({"source_key": self.data[self.spec.key], "target_key": self.keys})
        return Matched(self.keys, links[new].reset_index(drop=True), self.held, self.contested)

    # -- conditions
    # ---------------------------------------------------------------------------------

    def _still_undecided(self, chosen: pd.DataFrame) -> pd.DataFrame:
        return chosen[at(self.undecided, chosen["source"])]

    def _free(self) -> Mask:
        """Mask of the target rows that may be matched: not linked, or linked to a gone record."""
        binding_links = self.links[~self.links["source_key"].isin(self.gone)]
        return ~self.target[self.spec.entity_key].isin(binding_links["target_key"])

    def _contradicted(self, known: pd.DataFrame, chosen: pd.DataFrame) -> Mask:
        """Mask of the pairs with contradicting identifiers. In a closed row, accessplanit's old ID
        does not count against a strong rule: a person who comes back may have a new record."""
        spec, data = self.spec, self.data
        past = ended(spec, known)
        returned = without_ids(known, dict.fromkeys(own_ids(spec), past))
        clash = contradictions(spec, data, known, chosen, own=True)
        return clash & (~chosen["strong"] | contradictions(spec, data, returned, chosen, own=True))

    def _taken(self, chosen: pd.DataFrame) -> Mask:
        """Mask of the pairs whose target row is linked to another record. A closed row that a
        strong rule has found is not taken."""
        back = chosen["strong"] & at(ended(self.spec, self.target), chosen["target"])
        return ~at(self.free, chosen["target"]) & ~back

    def _without_gone(self) -> pd.DataFrame:
        """Returns the target with accessplanit's ID blanked for users who are gone."""
        names = own_ids(self.spec)
        return without_ids(self.target, {n: self.target[n].isin(self.gone) for n in names})


def _identifiers(spec: ProcessSpec) -> str:
    *names, last = dict.fromkeys(rule.source for rule in spec.match if rule.source)
    return f"{', '.join(names)} or {last}" if names else last
