"""Which side's value counts where both may change it.

The two directions of a pair share what both sides last agreed on: for each record the values of the
fields that both may change, in accessplanit's terms. A value that differs from it was changed
since; our own write coming back does not.

======  =========================================================================================
owner   what the process that reads side S and writes side T does with a field that differs
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
"""What both sides last agreed on: of an accessplanit record (``key``) a ``field`` by
accessplanit's name."""
NEWLY_AGREED = {**AGREED, "row": "text"}
"""What is agreed once the rows are written; ``row`` is the key of the target's row."""
CONFLICT = "was changed on both sides"


@dataclass(frozen=True)
class Decided:
    """What the target should hold, once it is decided whose values count."""

    wanted: pd.DataFrame
    """The rows to be written, with the target's value wherever that counts."""
    held: pd.DataFrame
    """:data:`reconciliation.match.HELD`: conflicts that a person must settle."""
    agreed: pd.DataFrame
    """:data:`NEWLY_AGREED`: only what is new."""


def name_of(spec: ProcessSpec, field: FieldMap) -> str:
    """accessplanit's name of a field."""
    return field.source if spec.direction == "to_hr" else field.target


def shared(spec: ProcessSpec) -> list[FieldMap]:
    """The fields whose value both sides may change."""
    return [f for f in spec.fields if f.compare and f.owner == "newest"]


def decide(
    spec: ProcessSpec,
    data: pd.DataFrame,
    wanted: pd.DataFrame,
    target: pd.DataFrame,
    agreed: pd.DataFrame,
) -> Decided:
    """``wanted`` with the target's value wherever that counts. The order of rows does not matter.

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
    fresh, problems = [empty(NEWLY_AGREED)], [empty(HELD)]
    undecided = pd.Series(False, index=wanted.index)
    columns: dict[str, pd.Series[Any]] = {}
    for field in owned:
        ours, theirs = wanted[field.target], sides.theirs[field.target]
        if field.owner != "newest":
            # An empty value of the owner does not clear the other side's.
            keeps = theirs.notna() if field.owner == "target" else ours.isna()
            columns[field.target] = ours.mask(sides.there & keeps, theirs)
            continue
        before, known = earlier.value(name_of(spec, field)), earlier.known(name_of(spec, field))
        verdict = sides.verdicts(field, before, known)
        # What says the same is left as the target writes it.
        columns[field.target] = ours.mask(verdict != "write", theirs)
        conflict = verdict == "hold"
        which = wanted.loc[conflict & ~undecided, "source_key"]
        problems.append(held(which, name_of(spec, field), CONFLICT))
        undecided |= conflict
        # A value that is kept is for the other direction to carry: it is not agreed yet.
        value = sides.in_our_terms(field)
        new = verdict.isin(["write", "same"]) & ~(known & same(value, before))
        if new.any():
            fresh.append(_agreements(sides.records, sides.keys, name_of(spec, field), value)[new])
    wanted = wanted.assign(**columns)
    news = concat(fresh)
    news = news[~news["row"].isin(sides.keys[undecided])]
    return Decided(
        wanted[~undecided].reset_index(drop=True), concat(problems), news.reset_index(drop=True)
    )


@dataclass(frozen=True)
class _Earlier:
    """What both sides have agreed on earlier, row by row: a column for each field."""

    values: pd.DataFrame
    agreed: pd.DataFrame
    """True where there is an agreement, which may be an empty value."""

    @classmethod
    def of(cls, agreed: pd.DataFrame, records: pd.Series[Any]) -> _Earlier:
        once = agreed.drop_duplicates(["key", "field"]).assign(agreed=True)
        tables = (once.pivot(index="key", columns="field", values=n) for n in ("value", "agreed"))
        values, known = (looked_up(records, table.reset_index(), "key") for table in tables)
        return cls(values, known.drop(columns="key").fillna(False).astype(bool))

    def value(self, field: str) -> pd.Series[Any]:
        """The agreed value, in accessplanit's terms; null where there is none."""
        if field in self.values:
            return self.values[field]
        return pd.Series(pd.NA, self.values.index, TEXT)

    def known(self, field: str) -> pd.Series[Any]:
        """Where there is an agreement."""
        if field in self.agreed:
            return self.agreed[field]
        return pd.Series(False, self.agreed.index)


@dataclass(frozen=True)
class _Sides:
    """Both sides of the rows of a comparison, row by row."""

    spec: ProcessSpec
    wanted: pd.DataFrame
    source: pd.DataFrame
    """The source's record of each row."""
    theirs: pd.DataFrame
    """The target's row of each row; nulls where it has none."""
    there: pd.Series[Any]
    """Where the target has a row."""
    dated: pd.Series[Any]
    """Where the moment of the last change is known on both sides."""
    ours_newer: pd.Series[Any]
    """Where the source's record was changed after the target's row."""

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
        """The key of the target's row."""
        return self.wanted[self.spec.entity_key]

    @property
    def records(self) -> pd.Series[Any]:
        """The key of the accessplanit record."""
        return self.wanted["source_key"] if self.spec.direction == "to_hr" else self.keys

    def verdicts(
        self, field: FieldMap, before: pd.Series[Any], known: pd.Series[Any]
    ) -> pd.Series[Any]:
        """The verdict of each row. ``before``: the agreed values, in accessplanit's terms."""
        ours, theirs = (canonical(field, side[field.target]) for side in (self.wanted, self.theirs))
        alike = same(as_text(ours), as_text(theirs))
        if field.clears and (alike | ~self.there).all():
            # Most fields differ nowhere, and the other facts decide nothing then.
            return pd.Series(np.where(self.there, "same", "write"), index=ours.index)
        agreed = canonical(field, _in_target_terms(self.spec, field, before))
        facts = self._facts(field, ours, theirs, agreed).assign(same=alike, agreed=known)
        return verdicts(facts, _policy(self.spec, field))

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
        """The source's value in accessplanit's terms, as text."""
        if self.spec.direction == "from_hr":
            return as_text(self.wanted[field.target])
        return as_text(self.source[field.source])


def _policy(spec: ProcessSpec, field: FieldMap) -> Policy:
    return Policy(field.clears, spec.conflict, spec.first, spec.direction == "from_hr")


def _left_differs(
    spec: ProcessSpec, field: FieldMap, ours: pd.Series[Any], theirs: pd.Series[Any]
) -> pd.Series[Any]:
    """Where the field says on one side only that the person has left. Both sides are canonical."""
    closed = dict(spec.scope.closed).get(field.target)
    if closed is None or field.kind != "text":
        return pd.Series(False, index=ours.index)
    (value,) = canonical(field, pd.Series([closed], dtype=ours.dtype))
    here, there = (folded(side) == fold(value) for side in (ours, theirs))
    return here.fillna(False).astype(bool) != there.fillna(False).astype(bool)


def _in_target_terms(spec: ProcessSpec, field: FieldMap, agreed: pd.Series[Any]) -> pd.Series[Any]:
    """An agreed value, which is in accessplanit's terms, as the target would write it."""
    if spec.direction == "from_hr" or not field.values:
        return agreed
    return translated(agreed, field.values).fillna(agreed)


def _agreements(
    records: pd.Series[Any], keys: pd.Series[Any], name: str, value: pd.Series[Any]
) -> pd.DataFrame:
    rows = pd.DataFrame({"key": records, "field": name, "value": value, "row": keys})
    return rows.astype(dict.fromkeys(NEWLY_AGREED, value.dtype))


def closed_as(
    spec: ProcessSpec, outside: pd.DataFrame, links: pd.DataFrame, closed: Mapping[str, object]
) -> pd.DataFrame:
    """:data:`NEWLY_AGREED` once the rows of ``links`` are closed because their records have left
    the scope (``outside``)."""
    leavers = looked_up(links["source_key"], outside, spec.key)
    records = links["source_key" if spec.direction == "to_hr" else "target_key"]
    found = [empty(NEWLY_AGREED)]
    for field in (f for f in shared(spec) if f.target in closed):
        if spec.direction == "to_hr":
            value = as_text(leavers[field.source])
        else:
            value = pd.Series(str(closed[field.target]), index=links.index, dtype=records.dtype)
        found.append(_agreements(records, links["target_key"], name_of(spec, field), value))
    return concat(found)
