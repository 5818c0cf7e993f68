"""The target's side of a comparison: reads the rows that matter, and matches records to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from reconciliation.awards import is_due
from reconciliation.frame import concat
from reconciliation.match import PROVISIONAL, Matched, by_identity, by_rules, proposed
from reconciliation.snapshot import Snapshot
from reconciliation.spec import AwardStates, ProcessSpec
from reconciliation.sweep import rows_of
from reconciliation.tables import texts

from .comparison import Comparison
from .records import Records


@dataclass(frozen=True)
class OtherRows:
    """The target's rows that a run looks at although it has not read their records."""

    ended: pd.DataFrame
    """Rows whose records have ended. After a whole read this is empty: all rows are read."""
    due: pd.DataFrame
    """Award rows whose state may have changed since the last run because of the day alone."""

    def __len__(self) -> int:
        return len(self.ended) + len(self.due)


@dataclass(frozen=True)
class Rows:
    """The target's rows, and the record behind each of them."""

    matched: Matched
    """The target's key of each record."""
    current: Snapshot
    """The target's present rows."""
    others: OtherRows


def other_rows(comparison: Comparison) -> OtherRows:
    """Reads the rows that are looked at without their records."""
    return OtherRows(_ended_rows(comparison), _due_rows(comparison))


def rows_for_records(comparison: Comparison, records: Records, others: OtherRows) -> Rows:
    """Reads the rows of these records and matches them."""
    if not comparison.spec.match:
        matched = by_identity(records.data, comparison.spec.key)
        keys = matched.keys.dropna()
        beside = concat([others.ended, others.due])
        current = _with_keys(comparison, records.wanted, keys, beside)
        return Rows(matched, current, others)
    matched, current = _matched(comparison, records.data, records.wanted, others.ended)
    return Rows(matched, current, others)


def _ended_rows(comparison: Comparison) -> pd.DataFrame:
    """Reads the rows whose records have ended. If the system can find rows only by their person,
    this is left to the next sweep."""
    origin = comparison.origin
    rows = rows_of(comparison.ended.keys(), origin, origin, "key")
    if comparison.whole or comparison.spec.by_person or not len(rows):
        return comparison.nothing()
    return comparison.rows_with_keys(rows["key"])


def _due_rows(comparison: Comparison) -> pd.DataFrame:
    """Reads the award rows that are due because of the day, even if their records cannot be read. A
    sweep reads all rows anyway."""
    spec, key, today = comparison.spec, comparison.key, comparison.moment.day
    rule = spec.rule(AwardStates)
    if rule is None or comparison.whole:
        return comparison.nothing()
    as_of = comparison.store.watermark(spec.name, spec.fingerprint()).as_of
    if as_of is None or as_of >= today:
        return comparison.nothing()
    dates = {name: comparison.columns[name] for name in ("completed_on", "expires_on")}
    rows = comparison.target.read(spec.entity, dates, None).frame
    keys = rows[is_due(rows, as_of, today, rule.expiring_within_days)][key]
    if len(keys):
        keys = keys[keys.isin(comparison.store.origin(spec)["key"])]
    rows = comparison.look_up({key: keys}, comparison.columns, len(keys)).frame
    return rows[rows[key].isin(keys)].reset_index(drop=True)


# -- rows by their keys --------------------------------------------------------------------------


def _with_keys(
    comparison: Comparison, wanted: pd.DataFrame, keys: pd.Series[Any], beside: pd.DataFrame
) -> Snapshot:
    """Reads the rows with these keys. Of awards, it reads all rows of the people concerned, and of
    the people to whom the records belonged before."""
    spec, key, holder = comparison.spec, comparison.key, comparison.spec.holder
    asked = {key: concat([keys, beside[key]])}
    if spec.rule(AwardStates) or spec.by_person:
        asked[holder] = concat([wanted[holder], beside[holder]])
    current = comparison.look_up(asked, comparison.columns, len(wanted) + len(beside))
    if comparison.whole:
        return current
    named = wanted.assign(**{key: keys})
    former = moved_rows(comparison, named, current.frame)
    former = former[~former[holder].isin(wanted[holder])] if len(former) else former
    if not len(former):
        return current
    theirs = comparison.look_up({holder: former[holder]}, comparison.columns, len(former))
    return _joined(current, theirs, key)


def moved_rows(comparison: Comparison, wanted: pd.DataFrame, actual: pd.DataFrame) -> pd.DataFrame:
    """Returns the target's present award rows whose records have moved to another award or
    person."""
    if not comparison.spec.rule(AwardStates):
        return actual[:0]
    key, group = comparison.key, [comparison.spec.holder, "award_id"]
    same = actual.merge(wanted[[key, *group]], on=[key, *group])[key]
    return actual[actual[key].isin(wanted[key]) & ~actual[key].isin(same)]


def _joined(one: Snapshot, other: Snapshot, key: str) -> Snapshot:
    rows = concat([one.frame, other.frame]).drop_duplicates(key, ignore_index=True)
    rejected = concat([one.rejected, other.rejected]).drop_duplicates("key", ignore_index=True)
    return Snapshot(rows, one.complete and other.complete, rejected)


# -- rows by the match rules ---------------------------------------------------------------------


def _matched(
    comparison: Comparison, data: pd.DataFrame, wanted: pd.DataFrame, ended: pd.DataFrame
) -> tuple[Matched, Snapshot]:
    """Matches records by their links, and unlinked records by the match rules."""
    spec, key = comparison.spec, comparison.key
    links = comparison.links(data[spec.key])
    fresh = ~data[spec.key].isin(links["source_key"])
    suggested = proposed(data[fresh], spec) if spec.new_key != PROVISIONAL else texts()
    asked = asked_by_rules(spec, data[fresh], wanted[fresh])
    known = [suggested, links["target_key"], ended[key]]
    asked[key] = concat([*known, *([asked[key]] if key in asked else [])])
    current = comparison.look_up(asked, comparison.columns, len(data) + len(ended))
    matched, current = _by_rules(comparison, data, wanted, links, suggested, current)
    creates = matched.keys.str.startswith(PROVISIONAL).fillna(False)
    if creates.any() and not comparison.whole and compares_to_the_letter(spec):
        # Look at all rows before a person is created: the look-ups may have missed another
        # spelling.
        current = comparison.read(comparison.columns, None)
        matched, current = _by_rules(comparison, data, wanted, links, suggested, current)
    return matched, current


def _by_rules(
    comparison: Comparison,
    data: pd.DataFrame,
    wanted: pd.DataFrame,
    links: pd.DataFrame,
    suggested: pd.Series[Any],
    current: Snapshot,
) -> tuple[Matched, Snapshot]:
    links, lost = _without_lost(comparison, links, current)
    current = _with_successors(comparison, data, wanted, lost, current)
    taken = concat([suggested, current.frame[comparison.key]])
    others = comparison.links(target_keys=taken)
    all_links = concat([links, others]).drop_duplicates("source_key", ignore_index=True)
    matched = by_rules(
        comparison.spec,
        data,
        wanted,
        current.frame,
        all_links,
        gone=comparison.ended.gone,
        lost=lost,
    )
    return matched, current


def _without_lost(
    comparison: Comparison, links: pd.DataFrame, current: Snapshot
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Splits ``links`` into those whose rows the target has, or may have, and those whose rows it
    certainly no longer has."""
    if not current.complete or not any(rule.source for rule in comparison.spec.match):
        return links, links[:0]
    keys = concat([current.frame[comparison.key], current.rejected["key"].dropna()])
    existing = links["target_key"].isin(keys)
    return links[existing].reset_index(drop=True), links[~existing].reset_index(drop=True)


def _with_successors(
    comparison: Comparison,
    data: pd.DataFrame,
    wanted: pd.DataFrame,
    lost: pd.DataFrame,
    current: Snapshot,
) -> Snapshot:
    """Adds to ``current`` the rows that may replace lost ones, because the target has made a new
    row for the same person."""
    again = data[comparison.spec.key].isin(lost["source_key"])
    if not again.any() or comparison.whole:
        return current
    asked = asked_by_rules(comparison.spec, data[again], wanted[again])
    more = comparison.look_up(asked, comparison.columns, int(again.sum()))
    rows = concat([current.frame, more.frame]).drop_duplicates(comparison.key, ignore_index=True)
    return Snapshot(rows, more.complete, concat([current.rejected, more.rejected]))


def asked_by_rules(
    spec: ProcessSpec, data: pd.DataFrame, wanted: pd.DataFrame
) -> dict[str, pd.Series[Any]]:
    """Returns the look-ups that find every row that a match rule could match: column of the entity
    -> values.

    Several rules may use one column. Of columns that match together, only the one with the most
    distinct values is looked up, which narrows the result enough.
    """
    asked: dict[str, list[pd.Series[Any]]] = {}
    for rule in spec.match:
        if rule.together:
            name = max(rule.together, key=lambda column: wanted[column].nunique())
            asked.setdefault(name, []).append(wanted[name])
        else:
            asked.setdefault(rule.target, []).append(data[rule.source])
    return {name: concat(columns) for name, columns in asked.items()}


def compares_to_the_letter(spec: ProcessSpec) -> bool:
    """Whether a look-up in the target compares exactly, and so may miss a row that a match rule
    would find. accessplanit does."""
    return spec.direction == "from_hr" and any(rule.source for rule in spec.match)
