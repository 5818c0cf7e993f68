"""The source's side of a comparison: sorts the records that were read, and builds the rows that the
target should hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reconciliation.awards import without_contradictions
from reconciliation.desired import desired, in_doubt, waiting_for_person
from reconciliation.frame import concat, empty
from reconciliation.identifiers import identifiers
from reconciliation.match import HELD, held
from reconciliation.ports import Marks
from reconciliation.scope import in_scope
from reconciliation.snapshot import Snapshot, without
from reconciliation.spec import AwardStates, ProcessSpec
from reconciliation.tables import looked_up

from .comparison import Comparison, values


@dataclass(frozen=True)
class Fresh:
    """The records of a read that this run works on."""

    read: Snapshot
    """The read without records that rest in quarantine or are discarded. Records that contradict
    themselves are among its rejected ones."""
    figures: Mapping[str, int]
    """Numbers of rows: read, skipped, duplicates, discarded, resting and held."""


@dataclass(frozen=True)
class Records:
    """The records of a read, sorted by what happens to them."""

    fresh: Fresh
    everything: pd.DataFrame
    """The records in scope."""
    outside: pd.DataFrame
    """The records out of scope."""
    data: pd.DataFrame
    """The records in scope that can be loaded."""
    wanted: pd.DataFrame
    """The row that the target should hold for each record of ``data``, in the same order."""
    waiting: pd.DataFrame
    """``match.HELD``: the records in scope that must wait."""


def fresh_records(spec: ProcessSpec, read: Snapshot, marks: Marks) -> Fresh:
    """Leaves out the records of a read that this run does not work on."""
    figures = {"read": read.read, "skipped": read.skipped, "duplicates": read.duplicates}
    if spec.rule(AwardStates):
        read = without_contradictions(spec.key, read)
    read, figures["discarded"] = without(read, marks.discarded)
    read, figures["resting"] = without(read, marks.resting)
    read, figures["held"] = without(read, marks.held)
    return Fresh(read, figures)


def records(comparison: Comparison, fresh: Fresh) -> Records:
    """Sorts the records."""
    inside, outside = _in_scope(comparison, _spelt_as_linked(comparison, fresh.read.frame))
    data, wanted, waiting = _wanted(comparison, inside)
    return Records(fresh, inside, outside, data, wanted, waiting)


def _in_scope(comparison: Comparison, data: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Splits the records into those in scope and those out of scope."""
    spec, moment = comparison.spec, comparison.moment
    inside = in_scope(data, spec.scope, moment.day, moment.instant)
    if spec.scope.leaves == "follow" and not inside.all():
        inside |= data[spec.key].isin(_in_target(comparison, data.loc[~inside, spec.key]))
    return data[inside].reset_index(drop=True), data[~inside].reset_index(drop=True)


def _in_target(comparison: Comparison, keys: pd.Series[Any]) -> pd.Series[Any]:
    """Returns those of the source's ``keys`` whose rows the target has."""
    if comparison.spec.match:
        return comparison.links(keys)["source_key"]
    return comparison.look_up({comparison.key: keys}, {}, len(keys)).frame[comparison.key]


def _wanted(
    comparison: Comparison, data: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Returns the records that can be loaded, the target's row for each, and ``match.HELD`` for the
    records that must wait."""
    spec = comparison.spec
    persons: pd.Series[Any] | None = None
    problems = [empty(HELD)]
    if spec.person:
        people = comparison.links_of_people(data[spec.person])
        data, people = _spelt(comparison, data, spec.person, people)
        persons, waiting = waiting_for_person(spec, data, people)
        problems.append(waiting)
    wanted, unmapped = desired(spec, data, persons)
    problems += [unmapped, in_doubt(spec, data), _without_reference(comparison, wanted)]
    # A record that waits for several things is held once.
    waits = concat(problems).drop_duplicates("key", ignore_index=True)
    ready = ~data[spec.key].isin(waits["key"])
    return data[ready].reset_index(drop=True), wanted[ready].reset_index(drop=True), waits


def _without_reference(comparison: Comparison, wanted: pd.DataFrame) -> pd.DataFrame:
    """Returns ``match.HELD`` for the rows that refer to a row of another entity which the target
    does not have yet."""
    spec = comparison.spec
    problems = [empty(HELD)]
    for reference in spec.references:
        keys = wanted[reference.column]
        asked = {reference.key: values(keys)}
        existing = comparison.target.read(reference.entity, {}, asked).frame[reference.key]
        missing = keys.notna() & ~keys.isin(existing)
        why = f"waits until this {reference.what} is in {spec.target_side}"
        problems.append(held(wanted.loc[missing, "source_key"], reference.column, why))
    return concat(problems)


# -- keys of people in another spelling ----------------------------------------------------------


def _spelt_as_linked(comparison: Comparison, data: pd.DataFrame) -> pd.DataFrame:
    """Replaces the keys of people with the spelling in their link (``ANABER`` becomes
    ``anaber``)."""
    spec: ProcessSpec = comparison.spec
    key = spec.key
    if spec.links != "employees" or not spec.match or not len(data):
        return data
    spelt, _ = _spelt(comparison, data, key, comparison.links_of_people(data[key]))
    # Two records whose keys differ only in spelling keep them: the match rules decide.
    unique = ~spelt[key].duplicated(keep=False)
    return data.assign(**{key: spelt[key].where(unique, data[key])})


def _spelt(
    comparison: Comparison, data: pd.DataFrame, column: str, links: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Replaces the keys of people in ``column`` with the spelling in the links (``ALBIRT`` becomes
    ``albirt``). Also returns links that cover these keys."""
    unknown = data[column].notna() & ~data[column].isin(links["source_key"])
    if not unknown.any():
        return data, links
    all_links = comparison.links(name="employees")
    by_identifier = all_links.assign(plain=identifiers(all_links["source_key"]))
    # A spelling that fits several links decides nothing.
    by_identifier = by_identifier.drop_duplicates("plain", keep=False)
    linked = looked_up(identifiers(data[column]), by_identifier, "plain")["source_key"]
    return data.assign(**{column: data[column].mask(unknown & linked.notna(), linked)}), all_links
