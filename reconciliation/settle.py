"""Where every row ended: outcomes that add up, what landed, what is quarantined."""

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
from .tables import DTYPES, looked_up

QUARANTINE = {
    "key": "text",
    "stage": "text",
    "field": "text",
    "reason": "text",
    "waits_for": "text",
    "raw": "text",
    "hash": "hash",
}
"""A row that did not go through. stage: ``rejected`` (unreadable), ``held`` (readable, not
decided), ``failed`` (refused by the target) or ``gone`` (the target has it, the source no more)."""

UNREAD = {"key": "text", "field": "text", "reason": "text"}


@dataclass(frozen=True)
class Compared:
    """What comparing has brought, before anything is written."""

    rejected: pd.DataFrame
    """As in the snapshot, contradictory records too."""
    outside: pd.DataFrame
    """The rows out of scope: ``key``, ``hash`` and, where the target may have to close a row,
    ``target_key``."""
    pairs: pd.DataFrame
    """The rows that were compared: ``source_key``, ``key`` (the target's), ``hash``."""
    held: pd.DataFrame
    """:data:`reconciliation.match.HELD`, and ``hash``."""
    links: pd.DataFrame
    """``match.LINKS`` that were found."""
    gone: pd.DataFrame
    """``sweep.ORIGIN`` of rows whose record is gone and that are closed, now or already."""
    reported: pd.DataFrame
    """``sweep.ORIGIN`` of rows whose record is gone and that are left to a person."""
    rejections: pd.DataFrame
    """``receipts.RECEIPTS`` of changes that the target cannot take; they are not in the plan."""
    agreed: pd.DataFrame
    """``ownership.NEWLY_AGREED``."""
    plan: Plan
    population: int
    """Rows of the entity."""
    figures: Mapping[str, int]
    """Rows read, skipped, duplicates, held and resting (in quarantine and not due), discarded,
    only_in_target after a sweep, answered_for (rows of the target that are this process's) and
    loaded (records that it has loaded or linked; 0 in a window)."""
    lost: pd.DataFrame = field(default_factory=lambda: empty(ORIGIN))
    """``sweep.ORIGIN`` of records that are gone, and of whose row the target has nothing either."""
    unread: pd.DataFrame = field(default_factory=lambda: empty(UNREAD))
    """:data:`UNREAD`: rows of the target that cannot be read."""


@dataclass(frozen=True)
class Settled:
    """What a run leaves: the figures for its report, and the frames for the store."""

    outcomes: dict[str, int]
    """Outcome -> rows."""
    reexamined: int
    """Rows of the target looked at for what other records did, or because theirs is gone."""
    landed: pd.DataFrame
    """``key`` and ``hash`` of the records that need not be looked at again."""
    links: pd.DataFrame
    quarantine: pd.DataFrame
    """:data:`QUARANTINE`."""
    forgotten: pd.Series[Any]
    """Source keys whose landed hash is removed, because their record is gone."""
    agreed: pd.DataFrame
    reasons: list[tuple[str, str, str, int]]
    """Stage, field, reason, rows."""
    written: list[str] = field(default_factory=list)
    """Keys of the target's rows that this run has written, as the target names them."""
    lost: pd.DataFrame = field(default_factory=lambda: empty(ORIGIN))
    gone: list[str] = field(default_factory=list)
    """Source keys of the other records that are gone, which need not be asked for again."""


def settle(spec: ProcessSpec, compared: Compared, receipts: pd.DataFrame) -> Settled:
    """Joins what was read, decided and receipted. Each row that was looked at ends in exactly one
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
    # A closed row of a record that is not linked is no longer in the store: nothing asks for it.
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
    """Where the rows of a run ended."""

    def __init__(self, spec: ProcessSpec, compared: Compared, receipts: pd.DataFrame) -> None:
        self.spec, self.compared, self.receipts = spec, compared, receipts
        self.bad = receipts.loc[receipts["outcome"].isin(["failed", "untried"]), "key"]
        self.withheld = compared.pairs["key"].isin(compared.plan.withheld)
        changes = compared.plan.changes
        self.left_scope = changes.loc[(changes["reason"] == LEFT).fillna(False), "key"]
        unsure = _unsure(compared.pairs[self.withheld], compared.unread, spec.target_side)
        # Without a hash: such a row does not rest until an attempt is due, it is looked at again as
        # soon as it is read.
        unsure["hash"] = pd.Series(pd.NA, index=unsure.index, dtype=DTYPES["hash"])
        self.held = concat([compared.held, unsure])

    def outcomes(self) -> dict[str, int]:
        """Outcome -> rows."""
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
        """A row of the target that was written, or tried, for what another record did has no row of
        its own among those read."""
        read = concat([self.compared.pairs.loc[~self.withheld, "key"], self.left_scope])
        return int((~self.receipts["key"].isin(read)).sum()) + len(self.compared.reported)

    def landed(self) -> pd.DataFrame:
        """``key`` and ``hash``. A leaver whose closing failed is looked at again."""
        pairs, outside = self.compared.pairs, self.compared.outside
        good = pairs[~self.withheld & ~pairs["key"].isin(self.bad)]
        if len(self.bad) and len(self.left_scope):
            outside = outside[~outside["target_key"].isin(self.bad)]
        compared = good[["source_key", "hash"]].rename(columns={"source_key": "key"})
        return concat([compared, outside[["key", "hash"]]])

    def good(self, rows: pd.DataFrame, of: str, column: str) -> pd.DataFrame:
        """``rows`` whose target row (column ``of``) went through. In ``column``, the keys that the
        target has given to new rows replace the provisional ones."""
        unsupported = self.receipts.loc[self.receipts["outcome"] == "unsupported", "key"]
        plan = self.compared.plan
        unsettled = concat([self.bad, unsupported, plan.withheld])
        rows = rows[~rows[of].isin(unsettled)].reset_index(drop=True)
        named = self.receipts.dropna(subset="given")
        if not len(rows) or not len(named):
            return rows
        given = looked_up(rows[column], named, "key")["given"]
        return rows.assign(**{column: given.fillna(rows[column])})


def _unsure(pairs: pd.DataFrame, unread: pd.DataFrame, side: str) -> pd.DataFrame:
    """Rows of ``match.HELD`` for records whose row in the target may be one that cannot be read:
    which, and what to correct there."""
    if not len(pairs):
        return empty(HELD)
    rows = pairs[["source_key", "key"]].merge(unread.drop_duplicates("key"), on="key", how="left")
    known = rows["reason"].notna()
    why = rows["field"] + f" cannot be read in {side}: it " + rows["reason"] + "; correct it there"
    some = (
        f"may be one of the rows of {side} that cannot be read; correct those"
        if len(unread)
        else f"{side} could not be read in full"
    )
    entries = held(rows["source_key"], "(row)", some)
    return entries.assign(
        field=rows["field"].where(known, entries["field"]),
        reason=why.where(known, entries["reason"]),
    )


def _quarantine(
    spec: ProcessSpec, compared: Compared, held_rows: pd.DataFrame, refused: pd.DataFrame
) -> tuple[pd.DataFrame, list[tuple[str, str, str, int]]]:
    """:data:`QUARANTINE`, and how many rows have which stage, field and reason."""
    records = concat([compared.pairs[["source_key", "key", "hash"]], _leavers(compared.outside)])
    records = records.dropna(subset="key").drop_duplicates("key")
    failed = refused[["key", "reason"]].merge(records, on="key", how="left")
    failed["key"] = failed["source_key"].fillna(failed["key"])
    there = f"is no more in {spec.source_side}; {spec.target_side} still has the row"
    gone = compared.reported[["source_key"]].rename(columns={"source_key": "key"})
    parts = {
        "rejected": compared.rejected,
        "held": held_rows,
        "failed": failed.assign(field="(row)"),
        "gone": gone.assign(field="(record)", reason=there),
    }
    dtypes = {name: DTYPES[kind] for name, kind in QUARANTINE.items()}
    rows = concat(
        [
            part.assign(stage=stage).reindex(columns=list(QUARANTINE)).astype(dtypes)
            for stage, part in parts.items()
            if len(part)
        ]
        or [empty(QUARANTINE)]
    )
    counted = Counter(zip(rows["stage"], rows["field"], rows["reason"], strict=True))
    reasons = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return rows, [(stage, str(f), str(why), number) for (stage, f, why), number in reasons]


def _leavers(outside: pd.DataFrame) -> pd.DataFrame:
    rows = outside.rename(columns={"key": "source_key", "target_key": "key"})
    return rows[["source_key", "key", "hash"]]


def pairs_of(data: pd.DataFrame, key: str, wanted: pd.DataFrame, entity_key: str) -> pd.DataFrame:
    """``Compared.pairs``: the source rows behind the rows that were compared."""
    records = data[[key, "hash"]].rename(columns={key: "source_key"})
    rows = wanted[["source_key", entity_key]].rename(columns={entity_key: "key"})
    return rows.merge(records, on="source_key")[["source_key", "key", "hash"]]
