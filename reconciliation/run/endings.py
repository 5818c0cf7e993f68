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

from .comparison import Comparison, values
from .rows import Rows


@dataclass(frozen=True)
class Endings:
    """The rows whose records have ended: frames with the columns ``sweep.ORIGIN``."""

    gone: pd.DataFrame
    """The source no longer has their records."""
    away: pd.DataFrame
    """Their records now belong to a person whom the target does not have."""
    lost: pd.DataFrame
    """The record is gone from the source, and its row is gone from the target."""
    closes: bool
    """Whether the process closes the rows in ``gone`` and ``away``; otherwise it reports them."""

    @property
    def closed(self) -> pd.DataFrame:
        """The rows that the process closes."""
        return concat([self.away, self.gone]) if self.closes else empty(ORIGIN)


def endings(comparison: Comparison, rows: Rows) -> Endings:
    """Finds the rows whose records have ended. If the target could not be read in full, all results
    are empty, because a row that is missing from the read may still exist."""
    actual, key, origin = rows.current.frame, comparison.key, comparison.origin
    # If two records were merged, one of them is gone and the row now belongs to the other one.
    claimed = concat([rows.matched.keys.dropna(), rows.matched.contested])

    def unclaimed(source_keys: pd.Series[Any]) -> pd.DataFrame:
        if not rows.current.complete:
            return empty(ORIGIN)
        ended = rows_of(source_keys, origin, actual, key)
        return ended[~ended["key"].isin(claimed)].reset_index(drop=True)

    gone, away = unclaimed(comparison.ended.gone), unclaimed(comparison.ended.away)
    lost = _lost_on_both_sides(comparison, rows.current)
    return Endings(gone, away, lost, comparison.spec.scope.gone == "close")


def _lost_on_both_sides(comparison: Comparison, current: Snapshot) -> pd.DataFrame:
    """Returns the records (``sweep.ORIGIN``) that are gone from the source and whose row is gone
    from the target. A row that cannot be read still exists."""
    unread = current.rejected["key"]
    if not comparison.whole or not current.complete or unread.isna().any():
        return empty(ORIGIN)
    gone = comparison.origin[comparison.origin["source_key"].isin(comparison.ended.gone)]
    target_keys = concat([current.frame[comparison.key], unread])
    return gone[~gone["key"].isin(target_keys)].reset_index(drop=True)


def closing_endings(comparison: Comparison, plan: Plan, ends: Endings, current: Snapshot) -> Plan:
    """Adds closes to ``plan`` for the rows whose records are gone or belong to somebody else."""
    if not ends.closes:
        return plan
    for keys, reason in ((ends.gone["key"], GONE), (ends.away["key"], AWAY)):
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
    """Adds closes to ``plan`` for rows whose records have left the scope.

    Returns:
        The plan; the links of these records; ``agreed`` plus the values of the closed rows, on
        which both sides then agree.
    """
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
        closed_values = closed_as(spec, outside, links, comparison.closed)
        before = _closed_before(comparison, spec.pair, closed_values)
        leavers = leavers[~leavers[comparison.key].isin(before)].reset_index(drop=True)
        agreed = concat([agreed, closed_values])
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


def _closed_before(
    comparison: Comparison, pair: str, closed_values: pd.DataFrame
) -> pd.Series[Any]:
    """Returns the keys of rows that both sides have already agreed to be closed
    (``closed_values``: ``ownership.NEWLY_AGREED``). If such a row is open, the other side has
    reopened it, and it stays open."""
    known = comparison.store.agreed(pair, values(closed_values["key"]))
    fields = closed_values.merge(known, on=["key", "field", "value"], how="left", indicator=True)
    fields["agreed"] = fields["_merge"] == "both"
    # A row counts only if every one of its closed values was agreed.
    all_agreed = fields.groupby("row")["agreed"].all()
    return all_agreed.index[all_agreed].to_series()


def outside_with_keys(
    comparison: Comparison, outside: pd.DataFrame, links: pd.DataFrame
) -> pd.DataFrame:
    """Builds ``Compared.outside``: the records out of scope with the keys of their rows."""
    keys = looked_up(outside[comparison.spec.key], links, "source_key")["target_key"]
    return pd.DataFrame(
        {"key": outside[comparison.spec.key], "hash": outside["hash"], "target_key": keys}
    ).reset_index(drop=True)
