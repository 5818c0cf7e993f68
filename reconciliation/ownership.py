"""Decides whose value counts in fields that both sides may change.

The two directions of a pair share the values that both sides last agreed on, for each record and
field, written as in accessplanit. A value that differs from the agreed one was changed since then.
Our own write that is read back does not differ.

======  =========================================================================================
owner   how a field that differs is treated by the process that reads side S and writes side T
======  =========================================================================================
source  S owns it: written, whatever T has; an empty value does not clear it unless ``clears``
target  T owns it: left alone unless T has no value; the other direction carries it back
newest  both own it: :mod:`.verdicts` decides row by row
======  =========================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from .frame import concat, empty, fold
from .match import HELD, held
from .spec import FieldMap, ProcessSpec
from .tables import TEXT, folded, looked_up, same
from .translate import as_text, canonical, translated
from .verdicts import Policy, verdicts

AGREED = {"key": "text", "field": "text", "value": "text"}
"""The value that both sides last agreed on, for a ``field`` (accessplanit's name) of an
accessplanit record (``key``)."""
NEWLY_AGREED = {**AGREED, "row": "text"}
"""Agreements that become valid once the rows are written. ``row`` is the key of the target's
row."""
NO_VALUE = ""
"""Stands for an agreed value that is empty. No text is blank: blank text is null everywhere."""
CONFLICT = "was changed on both sides"


@dataclass(frozen=True)
class Decided:
    """The rows that the target should hold, after it is decided whose values count."""

    wanted: pd.DataFrame
    """The rows that the target should hold, with the target's value wherever it counts."""
    held: pd.DataFrame
    """:data:`reconciliation.match.HELD`: conflicts that a person must settle."""
    agreed: pd.DataFrame
    """:data:`NEWLY_AGREED`: only agreements that are new."""


def name_of(spec: ProcessSpec, field: FieldMap) -> str:
    """Returns accessplanit's name of a field."""
    return field.source if spec.direction == "to_hr" else field.target


def shared(spec: ProcessSpec) -> list[FieldMap]:
    """Returns the fields whose value both sides may change."""
    return [f for f in spec.fields if f.compare and f.owner == "newest"]


def decide(
    spec: ProcessSpec,
    data: pd.DataFrame,
    wanted: pd.DataFrame,
    target: pd.DataFrame,
    agreed: pd.DataFrame,
) -> Decided:
    """Decides whose values count, and puts the target's value into ``wanted`` wherever it counts.
    The order of rows does not matter.

    Args:
        spec: the process.
        data: the source's records, with ``spec.updated`` if the feed has it.
        wanted: one row per record: ``source_key``, the entity's key and its columns.
        target: the entity's rows, with ``spec.target_updated`` if that is known.
        agreed: :data:`AGREED` of these records.
    """
    owned = [f for f in spec.fields if f.compare and (f.owner != "source" or not f.clears)]
    if not len(wanted) or not owned:
        return Decided(wanted, empty(HELD), empty(NEWLY_AGREED))
    wanted = wanted.reset_index(drop=True)
    sides = _Sides.of(spec, data, wanted, target)
    earlier = _Earlier.of(agreed, sides.records)
    new_agreements, problems = [empty(NEWLY_AGREED)], [empty(HELD)]
    undecided = pd.Series(False, index=wanted.index)
    columns: dict[str, pd.Series[Any]] = {}
    for field in owned:
        ours, theirs = wanted[field.target], sides.theirs[field.target]
        if field.owner != "newest":
            # An empty value of the owner does not clear the other side's.
            keeps = theirs.notna() if field.owner == "target" else ours.isna()
            columns[field.target] = ours.mask(sides.there & keeps, theirs)
            continue
        verdict = sides.verdicts(field, earlier)
        stays = verdict != "write"
        # If both values mean the same, the target's spelling stays.
        columns[field.target] = theirs if stays.all() else ours.mask(stays, theirs)
        conflict = verdict == "hold"
        if conflict.any():
            # A record is held once, for its first conflict.
            conflicting = wanted.loc[conflict & ~undecided, "source_key"]
            problems.append(held(conflicting, name_of(spec, field), CONFLICT))
            undecided |= conflict
        # If the target's value is kept, nothing is agreed yet: the other direction carries it back.
        value = sides.in_our_terms(field)
        settled = (verdict == "write") | (verdict == "same")
        new = settled & ~earlier.is_agreed(name_of(spec, field), value)
        if new.any():
            new_agreements.append(
                _agreements(sides.records, sides.keys, name_of(spec, field), value)[new]
            )
    wanted = wanted.assign(**columns)
    agreements = concat(new_agreements)
    agreements = agreements[~agreements["row"].isin(sides.keys[undecided])]
    return Decided(
        wanted[~undecided].reset_index(drop=True),
        concat(problems),
        agreements.reset_index(drop=True),
    )


@dataclass(frozen=True)
class _Earlier:
    """Earlier agreements, aligned with the rows."""

    values: pd.DataFrame
    """One column per field: the agreed value, :data:`NO_VALUE` if both sides agreed on none, null
    without an agreement."""

    @classmethod
    def of(cls, agreed: pd.DataFrame, records: pd.Series[Any]) -> _Earlier:
        once = agreed.drop_duplicates(["key", "field"]).fillna({"value": NO_VALUE})
        by_key = once.pivot(index="key", columns="field", values="value").reset_index()
        return cls(looked_up(records, by_key, "key"))

    def value(self, field: str) -> pd.Series[Any]:
        """Returns the agreed value as accessplanit writes it. It is null without an agreement."""
        values = self._column(field)
        return values.mask(values == NO_VALUE)

    def is_agreed(self, field: str, value: pd.Series[Any]) -> pd.Series[Any]:
        """Returns the mask of rows in which both sides agreed on this ``value``."""
        return same(self._column(field), value.fillna(NO_VALUE))

    def known(self, field: str) -> pd.Series[Any]:
        """Returns the mask of rows with an agreement."""
        return self._column(field).notna()

    def _column(self, field: str) -> pd.Series[Any]:
        if field in self.values:
            return self.values[field]
        return pd.Series(pd.NA, self.values.index, TEXT)


@dataclass(frozen=True)
class _Sides:
    """Both sides of a comparison, aligned row by row with ``wanted``."""

    spec: ProcessSpec
    wanted: pd.DataFrame
    source: pd.DataFrame
    """The source's record of each row."""
    theirs: pd.DataFrame
    """The target's row for each row; nulls where it has none."""
    there: pd.Series[Any]
    """Mask: the target has the row."""
    dated: pd.Series[Any]
    """Mask: the moment of the last change is known on both sides."""
    ours_newer: pd.Series[Any]
    """Mask: the source's record was changed after the target's row."""

    @classmethod
    def of(
        cls, spec: ProcessSpec, data: pd.DataFrame, wanted: pd.DataFrame, target: pd.DataFrame
    ) -> _Sides:
        source = looked_up(wanted["source_key"], data, spec.key)
        theirs = looked_up(wanted[spec.entity_key], target, spec.entity_key)
        there = wanted[spec.entity_key].isin(target[spec.entity_key])
        nowhere = pd.Series(False, index=wanted.index)
        dated, newer = nowhere, nowhere
        if spec.updated in data and spec.target_updated in target:
            ours, other = source[spec.updated], theirs[spec.target_updated]
            dated = ours.notna() & other.notna()
            newer = (ours > other).fillna(False).astype(bool)
        return cls(spec, wanted, source, theirs, there, dated, newer)

    @property
    def keys(self) -> pd.Series[Any]:
        """The key of each target row."""
        return self.wanted[self.spec.entity_key]

    @property
    def records(self) -> pd.Series[Any]:
        """The key of each accessplanit record."""
        return self.wanted["source_key"] if self.spec.direction == "to_hr" else self.keys

    def verdicts(self, field: FieldMap, earlier: _Earlier) -> np.ndarray[Any, np.dtype[np.str_]]:
        """Returns the verdict of each row."""
        ours, theirs = (canonical(field, side[field.target]) for side in (self.wanted, self.theirs))
        alike = same(as_text(ours), as_text(theirs))
        if (alike | ~self.there).all():
            # Most fields differ nowhere. Then the first three rules decide.
            nothing = self.wanted[field.target].isna() & (not field.clears)
            return np.where(self.there, np.where(nothing, "keep", "same"), "write")
        name = name_of(self.spec, field)
        agreed = canonical(field, _in_target_terms(self.spec, field, earlier.value(name)))
        facts = self._facts(field, ours, theirs, agreed)
        facts = facts.assign(same=alike, agreed=earlier.known(name))
        return verdicts(facts, _policy(self.spec, field)).to_numpy()

    def _facts(
        self,
        field: FieldMap,
        ours: pd.Series[Any],
        theirs: pd.Series[Any],
        agreed: pd.Series[Any],
    ) -> pd.DataFrame:
        """``verdicts.FACTS`` of a field, without ``same`` and ``agreed``. The values are canonical
        and in the target's terms."""
        here, there = self.wanted[field.target], self.theirs[field.target]
        return pd.DataFrame(
            {
                "there": self.there,
                "we_changed": ~same(as_text(ours), as_text(agreed)),
                "they_changed": ~same(as_text(theirs), as_text(agreed)),
                "empty_here": here.isna(),
                "empty_there": there.isna(),
                "left_differs": _left_differs(self.spec, field, ours, theirs),
                "dated": self.dated,
                "ours_newer": self.ours_newer,
            }
        )

    def in_our_terms(self, field: FieldMap) -> pd.Series[Any]:
        """Returns the source's value as accessplanit writes it, as text."""
        if self.spec.direction == "from_hr":
            return as_text(self.wanted[field.target])
        return as_text(self.source[field.source])


def _policy(spec: ProcessSpec, field: FieldMap) -> Policy:
    return Policy(field.clears, spec.conflict, spec.first, spec.direction == "from_hr")


def _left_differs(
    spec: ProcessSpec, field: FieldMap, ours: pd.Series[Any], theirs: pd.Series[Any]
) -> pd.Series[Any]:
    """Returns the mask of rows in which only one side says that the person has left. ``ours`` and
    ``theirs`` are canonical values."""
    closed = dict(spec.scope.closed).get(field.target)
    if closed is None or field.kind != "text":
        return pd.Series(False, index=ours.index)
    (value,) = canonical(field, pd.Series([closed], dtype=ours.dtype))
    here, there = (folded(side) == fold(value) for side in (ours, theirs))
    return here.fillna(False).astype(bool) != there.fillna(False).astype(bool)


def _in_target_terms(spec: ProcessSpec, field: FieldMap, agreed: pd.Series[Any]) -> pd.Series[Any]:
    """Converts agreed values from accessplanit's form to the form of the target."""
    if spec.direction == "from_hr" or not field.values:
        return agreed
    return translated(agreed, field.values).fillna(agreed)


def _agreements(
    records: pd.Series[Any], keys: pd.Series[Any], name: str, value: pd.Series[Any]
) -> pd.DataFrame:
    rows = pd.DataFrame({"key": records, "field": name, "value": value, "row": keys})
    return rows.astype({"field": TEXT})


def closed_as(
    spec: ProcessSpec, outside: pd.DataFrame, links: pd.DataFrame, closed: Mapping[str, object]
) -> pd.DataFrame:
    """Returns the :data:`NEWLY_AGREED` that result from closing the rows of ``links``, whose
    records have left the scope (``outside``). ``closed`` is column -> value of a closed row."""
    leavers = looked_up(links["source_key"], outside, spec.key)
    records = links["source_key" if spec.direction == "to_hr" else "target_key"]
    agreements = [empty(NEWLY_AGREED)]
    for field in (f for f in shared(spec) if f.target in closed):
        if spec.direction == "to_hr":
            value = as_text(leavers[field.source])
        else:
            value = pd.Series(str(closed[field.target]), index=links.index, dtype=records.dtype)
        agreements.append(_agreements(records, links["target_key"], name_of(spec, field), value))
    return concat(agreements)
