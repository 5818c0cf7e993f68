"""Settles a run: gives every row exactly one outcome, and collects what the store must keep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from .frame import concat, empty
from .match import HELD, held
from .plan import LEFT, Plan
from .receipts import PAST_TENSE
from .spec import ProcessSpec
from .sweep import ORIGIN
from .tables import DTYPES, looked_up, typed

QUARANTINE = {
    "key": "text",
    "stage": "text",
    "field": "text",
    "reason": "text",
    "waits_for": "text",
    "raw": "text",
    "hash": "hash",
}
"""A row that was not loaded. ``stage`` is ``rejected`` (unreadable), ``held`` (readable but not
decided), ``failed`` (refused by the target) or ``gone`` (only the target still has it)."""

UNREAD = {"key": "text", "field": "text", "reason": "text"}
"""A row of the target that cannot be read: its key (if readable), the faulty field and the
reason."""

PAIRS = {"source_key": "text", "key": "text", "hash": "hash"}
"""A record that was compared, and ``key`` of the target's row."""
OUTSIDE = {"key": "text", "hash": "hash", "target_key": "text"}
"""A record out of scope. ``target_key`` is that of its row, if that may have to be closed."""
HELD_RECORDS = {**HELD, "hash": "hash"}
""":data:`reconciliation.match.HELD` with the hash of each record."""


@dataclass(frozen=True)
class Compared:
    """The result of comparing the two sides, before anything is written."""

    rejected: pd.DataFrame
    """The rejected records of the snapshot (``snapshot.REJECTED``), including those that contradict
    themselves."""
    outside: pd.DataFrame
    """:data:`OUTSIDE`."""
    pairs: pd.DataFrame
    """:data:`PAIRS`."""
    held: pd.DataFrame
    """:data:`HELD_RECORDS`."""
    links: pd.DataFrame
    """New ``match.LINKS``."""
    gone: pd.DataFrame
    """``sweep.ORIGIN`` of rows whose record is gone and that this run closes or that are closed
    already."""
    reported: pd.DataFrame
    """``sweep.ORIGIN`` of rows whose record is gone and that are left for a person to decide."""
    rejections: pd.DataFrame
    """``receipts.RECEIPTS`` of changes that the target cannot take. They are not in the plan."""
    agreed: pd.DataFrame
    """``ownership.NEWLY_AGREED``."""
    plan: Plan
    population: int
    """Number of rows of the entity."""
    figures: Mapping[str, int]
    """Numbers of rows: read, skipped, duplicates, held and resting (in quarantine and not due),
    discarded, only_in_target (after a sweep), answered_for (rows of the target that belong to this
    process) and loaded (records that it has loaded or linked; 0 in a window)."""
    lost: pd.DataFrame = field(default_factory=lambda: empty(ORIGIN))
    """``sweep.ORIGIN`` of records that are gone and whose row the target does not have either."""
    unread: pd.DataFrame = field(default_factory=lambda: empty(UNREAD))
    """:data:`UNREAD`: rows of the target that cannot be read."""


@dataclass(frozen=True)
class Settled:
    """The results of a run: figures for its report, and frames for the store."""

    outcomes: dict[str, int]
    """Outcome -> number of rows."""
    reexamined: int
    """Number of rows of the target that were looked at because of other records, or because their
    own record is gone."""
    landed: pd.DataFrame
    """``key`` and ``hash`` of the records that need not be read again until they change."""
    links: pd.DataFrame
    quarantine: pd.DataFrame
    """:data:`QUARANTINE`."""
    forgotten: pd.Series[Any]
    """Source keys whose landed hash must be removed because their record is gone."""
    agreed: pd.DataFrame
    reasons: list[tuple[str, str, str, int]]
    """(stage, field, reason, number of rows)."""
    written: list[str] = field(default_factory=list)
    """Keys, as given by the target, of the rows that this run has written."""
    lost: pd.DataFrame = field(default_factory=lambda: empty(ORIGIN))
    gone: list[str] = field(default_factory=list)
    """Source keys of records that are gone and need not be asked for again."""


def settle(spec: ProcessSpec, compared: Compared, receipts: pd.DataFrame) -> Settled:
    """Combines the comparison with the receipts. Each row that was looked at gets exactly one
    outcome."""
    receipts = concat([receipts, compared.rejections])
    ends = _Ends(spec, compared, receipts)
    refused = receipts[receipts["outcome"] == "failed"]
    quarantine, reasons = _quarantine(spec, compared, ends.held, refused)
    unsupported = receipts.loc[receipts["outcome"] == "unsupported", "reason"]
    reasons += [
        ("unsupported", "(row)", str(reason), rows)
        for reason, rows in Counter(unsupported).most_common()
    ]
    closed = compared.gone[~compared.gone["key"].isin(ends.bad)]
    # Without match rules, the store forgets a record when its row is closed, so that later sweeps
    # do not ask for it.
    known_gone = concat([compared.reported, *([closed] if spec.match else [])])
    done = receipts[receipts["outcome"].isin(list(PAST_TENSE.values()))]
    return Settled(
        outcomes=ends.outcomes(),
        reexamined=ends.reexamined(),
        landed=ends.landed(),
        links=ends.good(compared.links, "target_key", "target_key"),
        quarantine=quarantine,
        forgotten=concat([closed["source_key"], compared.lost["source_key"]]),
        agreed=ends.good(compared.agreed, "row", "key"),
        reasons=reasons,
        written=[str(key) for key in done["given"].fillna(done["key"])],
        lost=compared.lost,
        gone=[str(key) for key in known_gone["source_key"]],
    )


class _Ends:
    """Computes the outcomes of the rows of a run."""

    def __init__(self, spec: ProcessSpec, compared: Compared, receipts: pd.DataFrame) -> None:
        self.spec, self.compared, self.receipts = spec, compared, receipts
        self.bad = receipts.loc[receipts["outcome"].isin(["failed", "untried"]), "key"]
        self.withheld = compared.pairs["key"].isin(compared.plan.withheld)
        changes = compared.plan.changes
        self.left_scope = changes.loc[(changes["reason"] == LEFT).fillna(False), "key"]
        unsure = _unsure(compared.pairs[self.withheld], compared.unread, spec.target_side)
        # These entries have no hash. A record with a hash would rest until its next attempt is due;
        # without one it is compared again as soon as it is read.
        unsure["hash"] = pd.Series(pd.NA, index=unsure.index, dtype=DTYPES["hash"])
        self.held = concat([compared.held, unsure])

    def outcomes(self) -> dict[str, int]:
        """Returns outcome -> number of rows."""
        compared, figures = self.compared, self.compared.figures
        touched = compared.pairs["key"].isin(self.receipts["key"])
        counts = Counter(self.receipts["outcome"])
        waiting = len(self.held) + len(compared.reported) + figures["held"]
        counts["held"] = waiting + counts.pop("untried", 0)
        counts["out_of_scope"] = len(compared.outside) - len(self.left_scope)
        counts["unchanged"] = figures["skipped"] + int((~touched & ~self.withheld).sum())
        counts["quarantined"] = len(compared.rejected) + figures["resting"]
        counts["discarded"] = figures["discarded"]
        counts["duplicate"] = figures["duplicates"]
        return dict(counts)

    def reexamined(self) -> int:
        """Counts the rows of the target that were written or tried although their own record was
        not read, and the reported ones."""
        read = concat([self.compared.pairs.loc[~self.withheld, "key"], self.left_scope])
        return int((~self.receipts["key"].isin(read)).sum()) + len(self.compared.reported)

    def landed(self) -> pd.DataFrame:
        """Returns ``key`` and ``hash`` of the records that have landed. A record whose row could
        not be closed is not among them, so that it is looked at again."""
        pairs, outside = self.compared.pairs, self.compared.outside
        good = pairs[~self.withheld & ~pairs["key"].isin(self.bad)]
        if len(self.bad) and len(self.left_scope):
            outside = outside[~outside["target_key"].isin(self.bad)]
        compared = good[["source_key", "hash"]].rename(columns={"source_key": "key"})
        return concat([compared, outside[["key", "hash"]]])

    def good(self, rows: pd.DataFrame, of: str, column: str) -> pd.DataFrame:
        """Returns the part of ``rows`` whose target row was loaded; the column ``of`` has its key.
        In ``column``, provisional keys are replaced by those that the target has given."""
        if not len(rows):
            return rows
        unsupported = self.receipts.loc[self.receipts["outcome"] == "unsupported", "key"]
        plan = self.compared.plan
        unsettled = concat([self.bad, unsupported, plan.withheld])
        rows = rows[~rows[of].isin(unsettled)].reset_index(drop=True)
        with_given_key = self.receipts.dropna(subset="given")
        if not len(with_given_key):
            return rows
        given = looked_up(rows[column], with_given_key, "key")["given"]
        return rows.assign(**{column: given.fillna(rows[column])})


def _unsure(pairs: pd.DataFrame, unread: pd.DataFrame, side: str) -> pd.DataFrame:
    """Returns ``match.HELD`` for records whose row may be an unreadable row of the target. The
    reason says what to correct there."""
    if not len(pairs):
        return empty(HELD)
    rows = pairs[["source_key", "key"]].merge(unread.drop_duplicates("key"), on="key", how="left")
    known = rows["reason"].notna()
    why = rows["field"] + f" cannot be read in {side}: it " + rows["reason"] + "; correct it there"
    unknown_row = (
        f"may be one of the rows of {side} that cannot be read; correct those"
        if len(unread)
        else f"{side} could not be read in full"
    )
    entries = held(rows["source_key"], "(row)", unknown_row)
    return entries.assign(
        field=rows["field"].where(known, entries["field"]),
        reason=why.where(known, entries["reason"]),
    )


def _quarantine(
    spec: ProcessSpec, compared: Compared, held_rows: pd.DataFrame, refused: pd.DataFrame
) -> tuple[pd.DataFrame, list[tuple[str, str, str, int]]]:
    """Returns :data:`QUARANTINE`, and the number of rows for each stage, field and reason."""
    why_gone = f"is no longer in {spec.source_side}; {spec.target_side} still has the row"
    gone = compared.reported[["source_key"]].rename(columns={"source_key": "key"})
    parts = {
        "rejected": compared.rejected,
        "held": held_rows,
        "failed": _failed(compared, refused),
        "gone": gone.assign(field="(record)", reason=why_gone),
    }
    filled = [part.assign(stage=stage) for stage, part in parts.items() if len(part)]
    rows = concat([empty(QUARANTINE), *(typed(part, QUARANTINE) for part in filled)])
    counted = Counter(zip(rows["stage"], rows["field"], rows["reason"], strict=True))
    reasons = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return rows, [(stage, str(f), str(why), number) for (stage, f, why), number in reasons]


def _failed(compared: Compared, refused: pd.DataFrame) -> pd.DataFrame:
    """Returns ``key`` (of the source's record, if there is one), ``field``, ``reason`` and ``hash``
    of refused changes."""
    if not len(refused):
        return refused
    records = concat([compared.pairs[["source_key", "key", "hash"]], _leavers(compared.outside)])
    records = records.dropna(subset="key").drop_duplicates("key")
    failed = refused[["key", "reason"]].merge(records, on="key", how="left")
    return failed.assign(key=failed["source_key"].fillna(failed["key"]), field="(row)")


def _leavers(outside: pd.DataFrame) -> pd.DataFrame:
    rows = outside.rename(columns={"key": "source_key", "target_key": "key"})
    return rows[["source_key", "key", "hash"]]


def pairs_of(data: pd.DataFrame, key: str, wanted: pd.DataFrame, entity_key: str) -> pd.DataFrame:
    """Builds ``Compared.pairs``: the source records behind the rows that were compared."""
    records = data[[key, "hash"]].rename(columns={key: "source_key"})
    rows = wanted[["source_key", entity_key]].rename(columns={entity_key: "key"})
    rows = rows[rows["source_key"].isin(records["source_key"])].reset_index(drop=True)
    return rows.assign(hash=looked_up(rows["source_key"], records, "source_key")["hash"])
