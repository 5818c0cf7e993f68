"""What became of changes: receipts as a target gives them, foretells them, or as they are found out
afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from .errors import HrsyncError
from .frame import arrow, concat, frame, of, pick, true
from .plan import Plan, already, reconcile

RECEIPTS = {"key": "text", "outcome": "text", "reason": "text", "given": "text"}
"""What became of one change: ``created``, ``updated``, ``closed``, ``failed`` or ``unsupported``
with the reason, or ``untried``. given: the key that the target gave to a new row, where it gives
keys."""
PAST_TENSE = {"create": "created", "update": "updated", "close": "closed"}


def done(changes: pd.DataFrame) -> pd.DataFrame:
    """Receipts (:data:`RECEIPTS`) as if every one of ``changes`` (of a plan) had succeeded."""
    kinds = arrow(changes["kind"]).dictionary_encode()
    outcome = pa.array(
        [PAST_TENSE[kind] for kind in kinds.dictionary.to_pylist()], pa.string()
    ).take(kinds.indices)
    none = pa.nulls(len(outcome), pa.string())
    return frame({"key": arrow(changes["key"]), "outcome": outcome, "reason": none, "given": none})


def as_found(changes: pd.DataFrame, there: pa.Array) -> pd.DataFrame:
    """:func:`done`, but that what was to be created and was ``there`` (keys) was updated; so is a
    key that comes again."""
    receipts = done(changes)
    if not len(there) and not changes["key"].duplicated().any():
        return receipts
    again = true(pc.is_in(arrow(changes["key"]), value_set=there)) | changes[
        "key"
    ].duplicated().to_numpy(dtype=bool)
    updated = again & true(pc.equal(arrow(changes["kind"]), "create"))
    outcome = pc.if_else(pa.array(updated), "updated", arrow(receipts["outcome"]))
    return receipts.assign(outcome=frame({"outcome": outcome})["outcome"])


def all_of(changes: pd.DataFrame, outcome: str, reason: str) -> pd.DataFrame:
    """Receipts of one outcome for all ``changes``."""
    return of(RECEIPTS, [(key, outcome, reason, None) for key in changes["key"]])


def after(receipts: pd.DataFrame, fault: HrsyncError) -> HrsyncError:
    """``fault``, which carries ``receipts`` of what was answered before it, and those that it has
    itself."""
    fault.answered = receipts if fault.answered is None else concat([receipts, fault.answered])
    return fault


def of_landed(
    plan: Plan, current: pd.DataFrame, key: str, columns: Mapping[str, str]
) -> pd.DataFrame:
    """Receipts of those changes of ``plan`` that ``current``, the target's rows with their keys,
    shows as carried out."""
    receipts = found_out(plan, current, key, columns)
    landed = pick(receipts, ~true(pc.equal(arrow(receipts["outcome"]), "unknown")))
    return landed.assign(reason=frame({"reason": pa.nulls(len(landed), pa.string())})["reason"])


def found_out(
    plan: Plan, current: pd.DataFrame, key: str, columns: Mapping[str, str]
) -> pd.DataFrame:
    """Receipts of changes that were sent, and of whose fate nothing was written down: the target is
    the truth.

    ``plan`` holds just these changes, ``current`` the target's rows with their keys. A change that
    the target does not show has no receipt: it was not carried out. One that shows neither the old
    nor the new is ``unknown``. A target that gives keys shows a row that was asked for by a
    provisional key under that key, with the real one as ``given``.
    """
    keys = arrow(plan.changes["key"])
    landed = true(pc.is_in(keys, value_set=already(plan, current, key, columns)))
    was = reconcile(
        plan.before.rename(columns={"key": key}), current, key, columns, list(columns)
    ).unchanged
    creates = true(pc.equal(arrow(plan.changes["kind"]), "create"))
    there = true(pc.is_in(keys, value_set=arrow(current[key])))
    if "given" in current:
        # What the target made has values of its own beside ours; that it stands for the key that we
        # gave it is enough.
        landed |= creates & true(
            pc.is_in(
                keys, value_set=arrow(current[key]).filter(pc.is_valid(arrow(current["given"])))
            )
        )
    untouched = np.where(creates, ~there, true(pc.is_in(keys, value_set=was))) & ~landed
    receipts = done(plan.changes)
    outcome = pc.if_else(pa.array(landed), arrow(receipts["outcome"]), "unknown")
    reason = pa.array(["found after an interrupted run"] * len(keys), pa.string())
    given = (
        arrow(current["given"]).take(pc.index_in(keys, value_set=arrow(current[key])))
        if "given" in current
        else arrow(receipts["given"])
    )
    return pick(
        frame({"key": keys, "outcome": outcome, "reason": reason, "given": given}), ~untouched
    )


def failures_at_the_end(outcomes: Sequence[str], before: int) -> int:
    """How many changes in a row have failed so far, ``before`` of them before these
    ``outcomes``."""
    for place, outcome in enumerate(reversed(outcomes)):
        if outcome != "failed":
            return place
    return before + len(outcomes)
