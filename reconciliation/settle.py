"""Where every row ended: outcomes that add up, what landed, what is quarantined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .frame import arrow, concat, empty, frame, pick, strings, true
from .match import held
from .plan import LEFT, Plan
from .receipts import PAST_TENSE
from .spec import ProcessSpec
from .sweep import ORIGIN

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
    """What comparing has brought, before anything is written.

    rejected: as in the snapshot, contradictory records too. outside: the rows out of scope:
    ``key``, ``hash`` and, where HR may have to close a row, ``target_key``. pairs: the rows that
    were compared: ``source_key``, ``key`` (the target's), ``hash``. held: of
    ``reconciliation.match.HELD``, and ``hash``. links: those found. gone: ``source_key`` and
    ``key`` of HR rows whose record is gone and that are closed, now or already. reported: of those
    that are left to a person. unfit: receipts (``receipts.RECEIPTS``) of changes that the target
    cannot take and that are not in the plan. agreed: of ``ownership.Decided``. plan: the changes.
    population: rows of the entity. lost: ``source_key`` and ``key`` of records that are gone, and
    of whose row the target has nothing either. figures: rows read, skipped, duplicates, held and
    resting (in quarantine and not due), discarded, only_in_target after a sweep, answered_for (rows
    of the target that are this process's) and loaded (records that it has loaded or linked; 0 in a
    window).
    """

    rejected: pd.DataFrame
    outside: pd.DataFrame
    pairs: pd.DataFrame
    held: pd.DataFrame
    links: pd.DataFrame
    gone: pd.DataFrame
    reported: pd.DataFrame
    unfit: pd.DataFrame
    agreed: pd.DataFrame
    plan: Plan
    population: int
    figures: Mapping[str, int]
    lost: pd.DataFrame = field(default_factory=lambda: empty(ORIGIN))
    unread: pd.DataFrame = field(default_factory=lambda: empty(UNREAD))
    """Rows of the target that cannot be read: key, field and reason."""


@dataclass(frozen=True)
class Settled:
    """outcomes: name -> rows. reexamined: rows of HR looked at for what other records did, or
    because theirs is gone.

    The frames go to the store; forgotten: source keys whose landed hash is to be forgotten, for
    their record is gone. lost: as in :class:`Compared`. gone: source keys of the other records that
    are gone, which need not be asked for again.
    """

    outcomes: dict[str, int]
    reexamined: int
    landed: pd.DataFrame
    links: pd.DataFrame
    quarantine: pd.DataFrame
    forgotten: pa.Array
    agreed: pd.DataFrame
    reasons: list[tuple[str, str, str, int]]
    written: list[str] = field(default_factory=list)
    """Keys of the target's rows that this run has written, as the target names them."""
    lost: pd.DataFrame = field(default_factory=lambda: empty(ORIGIN))
    gone: list[str] = field(default_factory=list)


def _unsure(pairs: pd.DataFrame, unread: pd.DataFrame, side: str) -> pd.DataFrame:
    """Rows of ``match.HELD`` for records whose row in the target may be one that cannot be read:
    which, and what to correct there."""
    rows = pairs[["source_key", "key"]].merge(unread.drop_duplicates("key"), on="key", how="left")
    known = rows["reason"].notna()
    told = (
        rows["field"]
        + " cannot be read in "
        + side
        + ": it "
        + rows["reason"]
        + "; correct it there"
    )
    some = (
        f"may be one of the rows of {side} that cannot be read; correct those"
        if len(unread)
        else f"{side} could not be read in full"
    )
    entries = held(arrow(rows["source_key"]), "(row)", some)
    return entries.assign(
        field=rows["field"].where(known, entries["field"]).astype(entries["field"].dtype),
        reason=told.where(known, entries["reason"]).astype(entries["reason"].dtype),
    )


def settle(spec: ProcessSpec, compared: Compared, receipts: pd.DataFrame) -> Settled:
    """Joins what was read, decided and receipted; each row that was looked at ends in exactly one
    outcome."""
    plan, figures = compared.plan, compared.figures
    receipts = concat([receipts, compared.unfit])
    target_keys = arrow(compared.pairs["key"])
    outcome, receipt_keys = arrow(receipts["outcome"]), arrow(receipts["key"])
    refused, untried = true(pc.equal(outcome, "failed")), true(pc.equal(outcome, "untried"))
    unsupported = true(pc.equal(outcome, "unsupported"))
    bad_keys = receipt_keys.filter(pa.array(refused | untried))
    withheld = true(pc.is_in(target_keys, value_set=plan.withheld))
    left_out = true(pc.is_in(target_keys, value_set=bad_keys))
    gone_keys = arrow(compared.gone["key"])
    left_scope = arrow(plan.changes["key"]).filter(
        pa.array(true(pc.equal(arrow(plan.changes["reason"]), LEFT)))
    )
    # A row of HR that was written, or tried, for what another record did has no row of its own
    # among those read.
    read_rows = pa.concat_arrays([target_keys.filter(pa.array(~withheld)), left_scope])
    reexamined = int((~true(pc.is_in(receipt_keys, value_set=read_rows))).sum()) + len(
        compared.reported
    )
    unsure = _unsure(pick(compared.pairs, withheld), compared.unread, spec.target_side)
    # Without a hash: such a row does not rest until an attempt is due, it is looked at again as
    # soon as it is read.
    unsure["hash"] = frame({"hash": pa.nulls(len(unsure), pa.int64())})["hash"]
    held_rows = concat([compared.held, unsure])
    counts = Counter(
        {str(name): int(rows) for name, rows in receipts["outcome"].value_counts().items()}
    )
    counts["out_of_scope"] = len(compared.outside) - len(left_scope)
    touched = true(pc.is_in(target_keys, value_set=receipt_keys))
    counts["unchanged"] = figures["skipped"] + int((~touched & ~withheld).sum())
    counts["held"] = (
        len(held_rows) + len(compared.reported) + figures["held"] + counts.pop("untried", 0)
    )
    counts["quarantined"] = len(compared.rejected) + figures["resting"]
    counts["discarded"] = figures["discarded"]
    counts["duplicate"] = figures["duplicates"]
    good = pick(compared.pairs, ~left_out & ~withheld)
    outside = compared.outside
    if len(bad_keys) and len(left_scope):
        # A leaver whose closing failed is looked at again.
        outside = pick(outside, ~true(pc.is_in(arrow(outside["target_key"]), value_set=bad_keys)))
    landed = frame(
        {
            "key": pa.concat_arrays([arrow(good["source_key"]), arrow(outside["key"])]),
            "hash": pa.concat_arrays([arrow(good["hash"]), arrow(outside["hash"])]),
        }
    )
    unsettled = pa.concat_arrays(
        [bad_keys, receipt_keys.filter(pa.array(unsupported)), plan.withheld]
    )
    links_good = ~true(pc.is_in(arrow(compared.links["target_key"]), value_set=unsettled))
    agreed_good = ~true(pc.is_in(arrow(compared.agreed["row"]), value_set=unsettled))
    given = pick(receipts, np.asarray(pc.is_valid(arrow(receipts["given"]))))
    links = _with_given(pick(compared.links, links_good), "target_key", given)
    agreed = _with_given(pick(compared.agreed, agreed_good), "key", given)
    forgotten = pick(compared.gone, ~true(pc.is_in(gone_keys, value_set=bad_keys)))
    quarantine, reasons = _quarantine(spec, compared, held_rows, pick(receipts, refused))
    of_none = Counter(str(reason) for reason in receipts["reason"][unsupported])
    reasons += [("unsupported", "(row)", reason, rows) for reason, rows in of_none.most_common()]
    done = pick(receipts, receipts["outcome"].isin(list(PAST_TENSE.values())).to_numpy(dtype=bool))
    written = [str(key) for key in done["given"].fillna(done["key"])]
    lost = compared.lost
    ended = pa.concat_arrays([arrow(forgotten["source_key"]), arrow(lost["source_key"])])
    # A closed row of a record that is not linked has no record in the store any more, by which it
    # would be asked for.
    gone = strings(concat([compared.reported, *([forgotten] if spec.match else [])])["source_key"])
    return Settled(
        dict(counts),
        reexamined,
        landed,
        links,
        quarantine,
        ended,
        agreed,
        reasons,
        written,
        lost,
        [str(key) for key in gone],
    )


def _with_given(rows: pd.DataFrame, column: str, given: pd.DataFrame) -> pd.DataFrame:
    """``rows`` with the keys that the target gave in the place of those that stood for them."""
    place = pc.index_in(arrow(rows[column]), value_set=arrow(given["key"]))
    return rows.assign(
        **{
            column: frame(
                {"key": pc.coalesce(arrow(given["given"]).take(place), arrow(rows[column]))}
            )["key"]
        }
    )


def _quarantine(
    spec: ProcessSpec, compared: Compared, held_rows: pd.DataFrame, refused: pd.DataFrame
) -> tuple[pd.DataFrame, list[tuple[str, str, str, int]]]:
    sources = concat([compared.pairs[["source_key", "key", "hash"]], _leavers(compared.outside)])
    place = pc.index_in(arrow(refused["key"]), value_set=arrow(sources["key"]))
    source_keys = pc.coalesce(arrow(sources["source_key"]).take(place), arrow(refused["key"]))
    failed = frame(
        {
            "key": source_keys,
            "reason": arrow(refused["reason"]),
            "hash": arrow(sources["hash"]).take(place),
        }
    )
    gone, there = (
        compared.reported,
        f"is no more in {spec.source_side}; {spec.target_side} still has the row",
    )
    parts = [
        ("rejected", _columns(compared.rejected)),
        ("held", _columns(held_rows)),
        ("failed", _columns(failed.assign(field="(row)"))),
        ("gone", _columns(gone.assign(key=gone["source_key"], field="(record)", reason=there))),
    ]
    columns: dict[str, list[object]] = {name: [] for name in QUARANTINE}
    reasons: Counter[tuple[str, str, str]] = Counter()
    for stage, part in parts:
        count = len(part["key"])
        for name in QUARANTINE:
            columns[name].extend([stage] * count if name == "stage" else part[name])
        reasons.update(
            (stage, str(f), str(r)) for f, r in zip(part["field"], part["reason"], strict=True)
        )
    types = {"hash": pa.int64()}
    table = frame(
        {name: pa.array(values, types.get(name, pa.string())) for name, values in columns.items()}
    )
    return table, [
        (*reason, rows)
        for reason, rows in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))
    ]


def _columns(part: pd.DataFrame) -> dict[str, list[object]]:
    """The columns of :data:`QUARANTINE` that ``part`` has, as Python values; the others are
    null."""
    return {
        name: pa.array(part[name].array).to_pylist() if name in part else [None] * len(part)
        for name in QUARANTINE
    }


def _leavers(outside: pd.DataFrame) -> pd.DataFrame:
    return frame(
        {
            "source_key": arrow(outside["key"]),
            "key": arrow(outside["target_key"]),
            "hash": arrow(outside["hash"]),
        }
    )


def positions(data: pd.DataFrame, key: str, wanted: pd.DataFrame, entity_key: str) -> pd.DataFrame:
    """``pairs`` of :class:`Compared`: the source rows behind the rows that were compared."""
    place = pc.index_in(arrow(wanted["source_key"]), value_set=arrow(data[key]))
    known = np.asarray(pc.is_valid(place))
    chosen = place.filter(pa.array(known))
    return frame(
        {
            "source_key": arrow(wanted["source_key"]).filter(pa.array(known)),
            "key": arrow(wanted[entity_key]).filter(pa.array(known)),
            "hash": arrow(data["hash"]).take(chosen),
        }
    )
