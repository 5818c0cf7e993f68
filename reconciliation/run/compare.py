"""Turns a snapshot of the source into a plan, one decision after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pandas as pd

from reconciliation.ask import Moment
from reconciliation.decisions import undecidable
from reconciliation.desired import for_new, with_siblings
from reconciliation.frame import concat, empty
from reconciliation.match import HELD, LINKS
from reconciliation.ownership import AGREED, NEWLY_AGREED, Decided, decide
from reconciliation.plan import (
    Plan,
    as_closes,
    because,
    is_closed,
    leaving_out,
    mending,
    no_changes,
    reconcile,
)
from reconciliation.ports import NO_HASHES, Marks, Store, TargetReader
from reconciliation.receipts import RECEIPTS
from reconciliation.settle import HELD_RECORDS, OUTSIDE, PAIRS, UNREAD, Compared, pairs_of
from reconciliation.snapshot import Snapshot, among
from reconciliation.spec import AwardStates, CourseDecisions, ProcessSpec
from reconciliation.sweep import ORIGIN, Ended, revoked
from reconciliation.tables import looked_up

from .comparison import Comparison, values
from .endings import Endings, closing_endings, closing_leavers, endings, outside_with_keys
from .records import Fresh, Records, fresh_records, records
from .rows import OtherRows, Rows, moved_rows, other_rows, rows_for_records
from .withheld import (
    judged_decisions,
    not_to_create,
    removed_in_target,
    without_unreadable_awards,
)

SOON = timedelta(days=31)
"""For the guard, a row that gets an end date within this time counts as closed, because nobody may
look at it again before that day."""


@dataclass(frozen=True)
class Sides:
    """Both sides with records matched to rows and the owner of each value decided, before the
    changes are planned."""

    records: Records
    rows: Rows
    wanted: pd.DataFrame
    """The row that each record alone would give, with the target's key."""
    decided: Decided
    """The same rows after ownership: the target's value wherever it counts."""


def sides(comparison: Comparison, fresh: Fresh, others: OtherRows) -> Sides:
    """Applies the scope, matches records to rows, and decides whose values count."""
    sorted_records = records(comparison, fresh)
    rows = rows_for_records(comparison, sorted_records, others)
    data, current, key = sorted_records.data, rows.current.frame, comparison.key
    wanted = sorted_records.wanted.assign(**{key: rows.matched.keys})
    wanted = wanted[wanted[key].notna()].reset_index(drop=True)
    new = ~wanted[key].isin(current[key])
    wanted = for_new(comparison.spec, wanted, data, new)
    agreed = _agreed(comparison, wanted)
    decided = decide(comparison.spec, data, wanted, current, agreed)
    return Sides(sorted_records, rows, wanted, decided)


def whole_sides(
    spec: ProcessSpec, read: Snapshot, target: TargetReader, store: Store, moment: Moment
) -> Sides:
    """Matches a whole feed with the whole entity. The quarantine is ignored, and nothing is
    written."""
    comparison = Comparison.of(spec, target, store, moment, NO_HASHES, Ended(), whole=True)
    fresh = fresh_records(spec, read, Marks(NO_HASHES, NO_HASHES, NO_HASHES))
    return sides(comparison, fresh, other_rows(comparison))


def _agreed(comparison: Comparison, wanted: pd.DataFrame) -> pd.DataFrame:
    """Returns ``ownership.AGREED`` for the accessplanit records of these rows."""
    spec = comparison.spec
    if spec.pair is None:
        return empty(AGREED)
    keys = wanted["source_key" if spec.direction == "to_hr" else comparison.key]
    return comparison.store.agreed(spec.pair, values(keys))


def compare(comparison: Comparison, read: Snapshot, marks: Marks) -> Compared:
    """Returns the plan and everything else that was decided. Nothing is written."""
    fresh, others = fresh_records(comparison.spec, read, marks), other_rows(comparison)
    if comparison.whole or len(comparison.ended) or len(others) or len(fresh.read.frame):
        return compare_all(comparison, fresh, others)
    return nothing_new(comparison, fresh)


def compare_all(comparison: Comparison, fresh: Fresh, others: OtherRows) -> Compared:
    """Compares the records and the other rows with the target."""
    both = sides(comparison, fresh, others)
    ends = endings(comparison, both.rows)
    goal = _goal(comparison, both, ends)
    rows = concat([goal.wanted, goal.ended])
    pairs = pairs_of(both.records.data, comparison.spec.key, rows, comparison.key)
    plan = _plan(comparison, both, goal, pairs)
    outside, current = both.records.outside, both.rows.current
    agreed = both.decided.agreed[both.decided.agreed["row"].isin(goal.wanted[comparison.key])]
    plan, left, agreed = closing_leavers(comparison, plan, outside, agreed)
    plan = closing_endings(comparison, plan, ends, current)
    plan, rejections = _fit(comparison, plan)
    return Compared(
        rejected=both.records.fresh.read.rejected,
        outside=outside_with_keys(comparison, outside, left),
        pairs=pairs,
        held=_with_hash(comparison, goal.held, both.records.everything),
        links=both.rows.matched.links,
        gone=ends.gone if ends.closes else empty(ORIGIN),
        reported=empty(ORIGIN) if ends.closes else ends.gone,
        rejections=rejections,
        agreed=agreed.reset_index(drop=True),
        plan=plan,
        population=comparison.population,
        figures=_figures(comparison, both, plan, pairs["key"]),
        lost=ends.lost,
        unread=current.rejected[list(UNREAD)].reset_index(drop=True),
    )


def nothing_new(comparison: Comparison, fresh: Fresh) -> Compared:
    """Returns what :func:`compare_all` returns if there is no record and no row to look at, as in
    most runs of a frequent schedule."""
    return Compared(
        rejected=fresh.read.rejected,
        outside=empty(OUTSIDE),
        pairs=empty(PAIRS),
        held=empty(HELD_RECORDS),
        links=empty(LINKS),
        gone=empty(ORIGIN),
        reported=empty(ORIGIN),
        rejections=empty(RECEIPTS),
        agreed=empty(NEWLY_AGREED),
        plan=no_changes(comparison.columns, comparison.store.salt()),
        population=comparison.population,
        figures={**fresh.figures, "answered_for": 0, "loaded": 0},
    )


@dataclass(frozen=True)
class _Goal:
    """The state that the target should have in the end."""

    wanted: pd.DataFrame
    """The rows that it should hold, including rows of other records that depend on them."""
    ended: pd.DataFrame
    """Rows that need no change: ended on both sides, or decisions already carried out."""
    held: pd.DataFrame
    """``match.HELD``: records that are not loaded in this run."""
    not_to_create: pd.Series[Any]
    """Keys of rows that the target may already have in an unreadable form."""


def _goal(comparison: Comparison, both: Sides, ends: Endings) -> _Goal:
    current, decided = both.rows.current, both.decided
    wanted, ended, removed = removed_in_target(comparison, decided.wanted, current)
    problems = [both.rows.matched.held, both.records.waiting, decided.held, removed]
    if comparison.spec.rule(CourseDecisions):
        wanted, done, undecided = _decidable(comparison, both, wanted)
        ended = concat([ended, done])
        problems.append(undecided)
    wanted, unread_awards = _with_states(comparison, both, wanted, ends)
    problems.append(unread_awards)
    doubtful = not_to_create(comparison, current, both.records.data, wanted)
    return _Goal(wanted, ended, concat([empty(HELD), *problems]), doubtful)


def _plan(comparison: Comparison, both: Sides, goal: _Goal, pairs: pd.DataFrame) -> Plan:
    """Plans the creates and updates, with their reasons."""
    current = both.rows.current
    plan = reconcile(
        goal.wanted,
        current.frame,
        comparison.key,
        comparison.columns,
        comparison.spec.compared(),
        doubtful=goal.not_to_create,
        alike=comparison.alike,
    )
    plan = _mended(comparison, plan, goal.wanted, current)
    landed = pairs.loc[among(pairs["hash"].to_numpy(), comparison.known), "key"]
    return because(plan, landed, pairs["key"])


def _fit(comparison: Comparison, plan: Plan) -> tuple[Plan, pd.DataFrame]:
    """Removes the changes that the target cannot take, and returns their receipts."""
    plan = replace(plan, salt=comparison.store.salt())
    if not len(plan.changes):
        return plan, empty(RECEIPTS)
    if comparison.closed:
        plan = as_closes(plan, _soon(comparison), comparison.alike)
    rejections = comparison.target.rejections(comparison.spec.entity, plan.changes)
    return leaving_out(plan, rejections["key"]), rejections


def _decidable(
    comparison: Comparison, both: Sides, wanted: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Splits the decisions into those to carry out, those already carried out, and ``match.HELD``
    for those that cannot be carried out."""
    cases = judged_decisions(comparison, both.records, wanted, both.rows.current)
    problems = undecidable(cases)
    done = wanted["source_key"].isin(cases.loc[cases["done"], "source_key"])
    open_ = ~done & ~wanted["source_key"].isin(problems["key"])
    return wanted[open_].reset_index(drop=True), wanted[done], problems


def _with_states(
    comparison: Comparison, both: Sides, wanted: pd.DataFrame, ends: Endings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Adds the award states of the day, and other rows of the same people whose state may change.
    Rows whose records are gone are removed. Also returns ``match.HELD``."""
    spec, key, current = comparison.spec, comparison.key, both.rows.current
    actual, problems = current.frame, empty(HELD)
    if spec.rule(AwardStates):
        actual = revoked(actual, key, ends.closed)
        wanted, actual, problems = without_unreadable_awards(comparison, wanted, actual, current)
    touched = _touched(comparison, both.rows, wanted, actual)
    wanted = with_siblings(spec, wanted, actual, comparison.moment.day, touched)
    wanted = wanted[~wanted[key].isin(ends.gone["key"])].reset_index(drop=True)
    return wanted, problems


def _touched(
    comparison: Comparison, rows: Rows, wanted: pd.DataFrame, actual: pd.DataFrame
) -> pd.DataFrame:
    """Returns the rows of the target whose groups (holder and award) need new states, in addition
    to the groups of ``wanted``.

    Their records are gone or have moved to another award or person, or they are due because of the
    day. In a sweep these are all rows of the process.
    """
    ours = actual[actual[comparison.key].isin(comparison.origin["key"]) & comparison.whole]
    parts = (rows.others.ended, rows.others.due, moved_rows(comparison, wanted, actual), ours)
    return concat([part[[comparison.key, *comparison.columns]] for part in parts])


def _mended(comparison: Comparison, plan: Plan, wanted: pd.DataFrame, current: Snapshot) -> Plan:
    """Adds updates that correct unreadable rows of the target (``plan.mending``).

    accessplanit gets single columns. HR gets whole rows, which is safe only if HR owns no column of
    them; so pairs are left out.
    """
    spec = comparison.spec
    paired = spec.direction == "to_hr" and spec.pair
    if not current.complete or spec.rule(CourseDecisions) or paired:
        return plan
    ours = [field.target for field in spec.fields if field.compare and field.owner != "target"]
    unread = current.rejected[~current.rejected["key"].isin(current.frame[comparison.key])]
    return mending(plan, wanted, unread, comparison.key, comparison.columns, ours)


def _soon(comparison: Comparison) -> dict[str, str | date]:
    """Returns ``Comparison.closed`` for the guard: an end date within :data:`SOON` counts as an
    end."""
    return {
        name: value if isinstance(value, str) else value + SOON
        for name, value in comparison.closed.items()
    }


def _with_hash(comparison: Comparison, held: pd.DataFrame, data: pd.DataFrame) -> pd.DataFrame:
    """Adds the hash of each held record (``Compared.held``)."""
    return held.assign(hash=looked_up(held["key"], data, comparison.spec.key)["hash"])


def _figures(
    comparison: Comparison, both: Sides, plan: Plan, matched: pd.Series[Any]
) -> dict[str, int]:
    """Builds ``Compared.figures``."""
    figures = dict(both.records.fresh.figures)
    if comparison.whole:
        ours = concat([comparison.origin["key"], both.rows.matched.keys.dropna()])
        target_keys = both.rows.current.frame[comparison.key]
        figures["only_in_target"] = int((~target_keys.isin(ours)).sum())
    figures["answered_for"] = _answered_for(comparison, plan, both.rows.current, matched)
    figures["loaded"] = len(comparison.origin)
    return figures


def _answered_for(
    comparison: Comparison, plan: Plan, current: Snapshot, matched: pd.Series[Any]
) -> int:
    """Returns the number of open rows of the target that belong to this process: linked or loaded
    by it, or matched now.

    The guard measures updates and closes against it. Other rows of the target say nothing about
    how much of the process's own data a plan would change.
    """
    if not len(plan.before):
        return 0
    origin = comparison.origin
    if not comparison.whole:
        origin = comparison.store.origin(comparison.spec)
    ours = concat([origin["key"], matched, plan.before["key"]]).drop_duplicates()
    if not comparison.closed:
        return len(ours)
    rows = current.frame
    if not comparison.whole:
        columns = {name: comparison.columns[name] for name in comparison.closed}
        asked = {comparison.key: values(ours)}
        rows = comparison.target.read(comparison.spec.entity, columns, asked).frame
    rows = rows[rows[comparison.key].isin(ours)]
    return int((~is_closed(rows, comparison.closed, comparison.alike)).sum())
