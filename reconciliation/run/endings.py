"""Finds and closes rows whose records have ended: gone from the source, moved to somebody else, or
out of scope."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from reconciliation.frame import concat, empty
from reconciliation.match import LINKS
from reconciliation.ownership import closed_as
from reconciliation.plan import AWAY, GONE, LEFT, Plan, closing
from reconciliation.scope import meets
from reconciliation.snapshot import Snapshot
from reconciliation.sweep import ORIGIN, rows_of
from reconciliation.tables import looked_up

from .comparison import Comparison
from .rows import Rows


@dataclass(frozen=True)
class Endings:
    """``sweep.ORIGIN`` of the rows whose records have ended."""

    gone: pd.DataFrame
    """The source no longer has their records."""
    away: pd.DataFrame
    """Their records now belong to a person whom the target does not have."""
    lost: pd.DataFrame
    """Neither the source has the record nor the target the row."""
    closes: bool
    """Whether the process closes such rows; otherwise it reports them."""

    @property
    def closed(self) -> pd.DataFrame:
        """The rows that the process closes."""
        return concat([self.away, self.gone]) if self.closes else empty(ORIGIN)


def endings(comparison: Comparison, rows: Rows) -> Endings:
    """Finds the rows whose records have ended. If the target could not be read in full, nothing is
    concluded from a row that it did not show."""
    actual, key, origin = rows.current.frame, comparison.key, comparison.origin
    gone, away = empty(ORIGIN), empty(ORIGIN)
    if rows.current.complete:
        gone = rows_of(comparison.ended.gone, origin, actual, key)
        away = rows_of(comparison.ended.away, origin, actual, key)
    # If two records were merged, one of them is gone and the row now belongs to the other one.
    claimed = concat([rows.matched.keys.dropna(), rows.matched.contested])
    gone = gone[~gone["key"].isin(claimed)].reset_index(drop=True)
    lost = _lost_on_both_sides(comparison, rows.current)
    return Endings(gone, away, lost, comparison.spec.scope.gone == "close")


def _lost_on_both_sides(comparison: Comparison, current: Snapshot) -> pd.DataFrame:
    """Returns ``sweep.ORIGIN`` of records that are gone from the source and whose row the target
    does not have either. A row that cannot be read still exists."""
    unread = current.rejected["key"]
    if not comparison.whole or not current.complete or unread.isna().any():
        return empty(ORIGIN)
    gone = comparison.origin[comparison.origin["source_key"].isin(comparison.ended.gone)]
    target_keys = concat([current.frame[comparison.key], unread])
    return gone[~gone["key"].isin(target_keys)].reset_index(drop=True)


def closing_endings(comparison: Comparison, plan: Plan, ends: Endings, current: Snapshot) -> Plan:
    """Adds closes to ``plan`` for the rows whose records are gone or belong to somebody else."""
    for keys, reason in ((ends.gone["key"], GONE), (ends.away["key"], AWAY)):
        if ends.closes:
            rows = current.frame[current.frame[comparison.key].isin(keys)]
            plan = closing(
                plan,
                rows.reset_index(drop=True),
                comparison.key,
                comparison.columns,
                comparison.closed,
                reason,
                comparison.alike,
            )
    return plan


def closing_leavers(
    comparison: Comparison, plan: Plan, outside: pd.DataFrame, agreed: pd.DataFrame
) -> tuple[Plan, pd.DataFrame, pd.DataFrame]:
    """Adds closes to ``plan`` for rows whose records have left the scope. Also returns the links of
    these records, and ``agreed`` with what the closes agree on."""
    spec, moment = comparison.spec, comparison.moment
    if spec.scope.leaves != "close":
        return plan, empty(LINKS), agreed
    if spec.scope.closes:
        outside = outside[meets(outside, spec.scope.closes, moment.day, moment.instant)]
    links = comparison.links(outside[spec.key])
    if not len(links):
        return plan, links, agreed
    leavers = comparison.rows_with_keys(links["target_key"])
    if spec.pair is not None:
        leaving = closed_as(spec, outside, links, comparison.closed)
        before = _left_before(comparison, spec.pair, leaving)
        leavers = leavers[~leavers[comparison.key].isin(before)].reset_index(drop=True)
        agreed = concat([agreed, leaving])
    plan = closing(
        plan,
        leavers,
        comparison.key,
        comparison.columns,
        comparison.closed,
        LEFT,
        comparison.alike,
    )
    return plan, links, agreed


def _left_before(comparison: Comparison, pair: str, leaving: pd.DataFrame) -> pd.Series[Any]:
    """Returns the keys of rows whose leaving was agreed earlier. If such a row is open, the other
    side has opened it again, and it must not be closed a second time."""
    known = comparison.store.agreed(pair, [str(key) for key in leaving["key"].dropna().unique()])
    fields = leaving.merge(known, on=["key", "field", "value"], how="left", indicator=True)
    fields["before"] = fields["_merge"] == "both"
    all_known = fields.groupby("row")["before"].all()
    return all_known.index[all_known].to_series()


def outside_with_keys(
    comparison: Comparison, outside: pd.DataFrame, links: pd.DataFrame
) -> pd.DataFrame:
    """Builds ``Compared.outside``: the records out of scope with the keys of their rows."""
    keys = looked_up(outside[comparison.spec.key], links, "source_key")["target_key"]
    return pd.DataFrame(
        {"key": outside[comparison.spec.key], "hash": outside["hash"], "target_key": keys}
    ).reset_index(drop=True)
