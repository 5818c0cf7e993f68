"""Where every row ended: outcomes that add up, what landed, what is quarantined."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .frame import arrow, frame, pick, strings, true
from .match import held
from .plan import Plan
from .ports import QUARANTINE
from .snapshot import Snapshot


@dataclass(frozen=True)
class Compared:
    """What comparing has brought, before anything is written.

    read: the snapshot, contradictory records moved to its ``rejected``. out: keys of rows out of scope. pairs: the
    rows that were compared: ``source_key``, ``key`` (the target's), ``hash``. held: ``reconciliation.match.HELD``.
    links: those found. plan: the changes. population: rows of the entity in HR.
    """

    read: Snapshot
    out: pa.Array
    pairs: pd.DataFrame
    held: pd.DataFrame
    links: pd.DataFrame
    plan: Plan
    population: int


@dataclass(frozen=True)
class Settled:
    """outcomes: name -> rows. reexamined: rows of HR written for what other rows did. The frames go to the store."""

    outcomes: dict[str, int]
    reexamined: int
    landed: pd.DataFrame
    links: pd.DataFrame
    quarantine: pd.DataFrame
    reasons: list[tuple[str, str, str, int]]


def planned(plan: Plan) -> pd.DataFrame:
    """Receipts as if every change of the plan had succeeded: what a preview counts."""
    done = arrow(plan.changes["kind"])
    for kind, outcome in (("create", "created"), ("update", "updated"), ("close", "closed")):
        done = pc.replace_substring(done, kind, outcome)
    return frame({"key": arrow(plan.changes["key"]), "outcome": done, "reason": pa.nulls(len(done), pa.string())})


def settle(compared: Compared, receipts: pd.DataFrame) -> Settled:
    """Joins what was read, decided and receipted; each row read ends in exactly one outcome."""
    read, plan = compared.read, compared.plan
    target_keys = arrow(compared.pairs["key"])
    outcome = arrow(receipts["outcome"])
    receipt_keys = arrow(receipts["key"])
    refused = true(pc.equal(outcome, "failed"))
    bad_keys = receipt_keys.filter(pa.array(refused))
    withheld = true(pc.is_in(target_keys, value_set=plan.withheld))
    failed = true(pc.is_in(target_keys, value_set=bad_keys))
    out = compared.out
    held_rows = pd.concat(
        [compared.held, held(arrow(compared.pairs["source_key"]).filter(pa.array(withheld)), "(row)", "HR could not be read in full")],
        ignore_index=True,
    )
    counts = Counter({str(name): int(rows) for name, rows in receipts["outcome"].value_counts().items()})
    own = true(pc.is_in(receipt_keys, value_set=target_keys))
    closed = true(pc.equal(outcome, "closed"))
    reexamined = int((~own & ~closed).sum())
    counts["out_of_scope"] = len(out) - int(closed.sum()) - _closings_refused(plan, bad_keys)
    touched = true(pc.is_in(target_keys, value_set=receipt_keys))
    counts["unchanged"] = read.skipped + int((~touched & ~withheld).sum())
    counts["held"] = len(held_rows)
    counts["quarantined"] = len(read.rejected)
    counts["duplicate"] = read.duplicates
    good = pick(compared.pairs, ~failed & ~withheld)
    outside = pick(read.frame, true(pc.is_in(arrow(read.frame["id"]), value_set=out)))
    landed = frame(
        {
            "key": pa.concat_arrays([arrow(good["source_key"]), arrow(outside["id"])]),
            "hash": pa.concat_arrays([arrow(good["hash"]), arrow(outside["hash"])]),
        }
    )
    links_good = ~true(pc.is_in(arrow(compared.links["target_key"]), value_set=bad_keys))
    quarantine, reasons = _quarantine(compared, held_rows, pick(receipts, refused))
    return Settled(dict(counts), reexamined, landed, pick(compared.links, links_good), quarantine, reasons)


def _closings_refused(plan: Plan, bad_keys: pa.Array) -> int:
    closes = arrow(plan.changes["key"]).filter(pa.array(true(pc.equal(arrow(plan.changes["kind"]), "close"))))
    return int(true(pc.is_in(closes, value_set=bad_keys)).sum())


def _quarantine(compared: Compared, held_rows: pd.DataFrame, refused: pd.DataFrame) -> tuple[pd.DataFrame, list[tuple[str, str, str, int]]]:
    by_target = dict(zip(strings(compared.pairs["key"]), strings(compared.pairs["source_key"]), strict=True)) if len(refused) else {}
    source_keys = pd.Series([by_target.get(key, key) for key in strings(refused["key"])], index=refused.index, dtype=object)
    parts = [
        ("rejected", compared.read.rejected.assign(waits_for=None)),
        ("held", held_rows.assign(raw=None, hash=None)),
        ("failed", refused.assign(key=source_keys, field="(row)", waits_for=None, raw=None, hash=None)),
    ]
    columns: dict[str, list[object]] = {name: [] for name in QUARANTINE}
    reasons: Counter[tuple[str, str, str]] = Counter()
    for stage, part in parts:
        for name in QUARANTINE:
            values = [stage] * len(part) if name == "stage" else part[name].astype(object).where(part[name].notna(), None).tolist()
            columns[name].extend(values)
        reasons.update((stage, str(f), str(r)) for f, r in zip(part["field"], part["reason"], strict=True))
    types = {"hash": pa.int64()}
    table = frame({name: pa.array(values, types.get(name, pa.string())) for name, values in columns.items()})
    return table, [(*reason, rows) for reason, rows in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))]


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
