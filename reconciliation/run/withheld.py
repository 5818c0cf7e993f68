"""Holds back rows about which nothing may be concluded, because the target has unreadable rows or
has removed them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from reconciliation.decisions import COURSE_DATES, judged
from reconciliation.frame import concat
from reconciliation.identifiers import mentioned
from reconciliation.match import PROVISIONAL, held
from reconciliation.plan import is_closed
from reconciliation.snapshot import Snapshot, among
from reconciliation.tables import looked_up
from reconciliation.unreadable import awards_of_unreadable, people_of_unreadable

from .comparison import Comparison, values
from .records import Records


def not_to_create(
    comparison: Comparison, current: Snapshot, data: pd.DataFrame, wanted: pd.DataFrame
) -> pd.Series[Any]:
    """Returns the keys of rows that the target may already have in an unreadable form, so that they
    must not be created."""
    keys = wanted[comparison.key]
    if not current.complete:
        return keys
    raws = current.rejected["raw"]
    if not len(raws):
        return keys[:0]
    if raws.isna().any():
        return keys
    is_mentioned = mentioned(raws.tolist())
    match = comparison.spec.match
    records = looked_up(wanted["source_key"], data, comparison.spec.key)
    marks = [keys, *(records[rule.source] for rule in match if rule.source)]
    marks += [wanted[column] for rule in match for column in rule.together[:1]]
    hit = [
        any(pd.notna(mark) and is_mentioned(str(mark)) for mark in row)
        for row in zip(*marks, strict=True)
    ]
    return keys[pd.Series(hit, index=keys.index, dtype=bool)]


def removed_in_target(
    comparison: Comparison, wanted: pd.DataFrame, current: Snapshot
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Takes the rows out of ``wanted`` that somebody has removed in the target.

    Only a target that gives keys of its own shows that a row was removed.

    Returns:
        ``wanted`` without them; the removed rows that have ended in the source too; and
        ``match.HELD`` for the other removed rows, which are not created again.
    """
    if comparison.spec.new_key != PROVISIONAL or not current.complete:
        return wanted, wanted[:0], held(wanted["source_key"][:0], "(row)", "")
    keys = wanted[comparison.key]
    there = keys.isin(concat([current.frame[comparison.key], current.rejected["key"].dropna()]))
    known = there | keys.str.startswith(PROVISIONAL).fillna(False).astype(bool)
    lost = wanted[~known]
    ended = is_closed(lost, comparison.closed, comparison.alike)
    why = f"was removed in {comparison.spec.target_side}"
    problems = held(lost.loc[~ended, "source_key"], "(row)", why)
    return wanted[known].reset_index(drop=True), lost[ended].reset_index(drop=True), problems


def without_unreadable_awards(
    comparison: Comparison, wanted: pd.DataFrame, there: pd.DataFrame, current: Snapshot
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Removes awards whose state may depend on an unreadable award of the same person, which may
    supersede them. An unreadable award does not matter if its own record is in ``wanted``.

    Returns:
        ``wanted`` and the target's rows (``there``) without them, and ``match.HELD`` for the wanted
        ones.
    """
    key, holder, entity = comparison.key, comparison.spec.holder, comparison.spec.entity
    rejected = current.rejected[~current.rejected["key"].isin(wanted[key].dropna())]
    unread = Snapshot(current.frame, current.complete, rejected)
    everybody = concat([wanted[holder], there[holder]]).dropna().drop_duplicates()
    people = people_of_unreadable(comparison.target, entity, unread, everybody)
    awards = awards_of_unreadable(comparison.target, entity, unread)

    def concerned(rows: pd.DataFrame) -> pd.Series[Any]:
        of_people = rows[holder].isin(people)
        return of_people if awards is None else of_people & rows["award_id"].isin(awards)

    why = (
        f"{comparison.spec.target_side} has such an award of this person that cannot be read; "
        "correct it there"
    )
    problems = held(wanted.loc[concerned(wanted), "source_key"], holder, why)
    wanted, there = (rows[~concerned(rows)].reset_index(drop=True) for rows in (wanted, there))
    return wanted, there, problems


def judged_decisions(
    comparison: Comparison, records: Records, wanted: pd.DataFrame, current: Snapshot
) -> pd.DataFrame:
    """Returns ``decisions.judged`` for the decisions whose request can be read. The others are
    withheld from the plan."""
    spec, key, data = comparison.spec, comparison.key, records.data
    doubtful = not_to_create(comparison, current, data, wanted)
    unread = ~wanted[key].isin(current.frame[key]) & wanted[key].isin(doubtful)
    decisions = wanted[~unread].merge(_decided_at(comparison, data), on="source_key", how="left")
    columns = {name: kind for name, kind in COURSE_DATES.items() if name != "id"}
    asked = {"id": values(current.frame["course_date_id"])}
    dates = comparison.target.read("CourseDate", columns, asked).frame
    rejected = [
        *comparison.store.open_keys(spec.name, "rejected"),
        *records.fresh.read.rejected["key"].dropna(),
    ]
    unreadable = sorted({str(name) for name in rejected} - set(data[spec.key]))
    more = comparison.target.read(spec.entity, comparison.columns, {key: unreadable}).frame
    delegates = concat([rows[[key, *comparison.columns]] for rows in (current.frame, more)])
    delegates = delegates.drop_duplicates(key, ignore_index=True).rename(columns={key: "id"})
    return judged(decisions, delegates, dates, key, comparison.moment.instant, unreadable)


def _decided_at(comparison: Comparison, data: pd.DataFrame) -> pd.DataFrame:
    """Returns when each decision was taken (``decided_at``) and whether an earlier run has settled
    it. If the moment is missing, that of the row's last change is used, which is the latest
    possible one."""
    moments = data["decided_at"]
    if comparison.spec.updated in data:
        moments = moments.fillna(data[comparison.spec.updated])
    return pd.DataFrame(
        {
            "source_key": data[comparison.spec.key],
            "decided_at": moments,
            "settled": among(data["hash"].to_numpy(), comparison.known),
        }
    )
