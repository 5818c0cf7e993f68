"""What became of changes: receipts as a target gives them, foretells them, or as they are found out
afterwards."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from .errors import HrsyncError
from .frame import concat, of
from .plan import Plan, already, reconcile
from .tables import DTYPES, looked_up

RECEIPTS = {"key": "text", "outcome": "text", "reason": "text", "given": "text"}
"""What became of one change: ``created``, ``updated``, ``closed``, ``failed`` or ``unsupported``
with the reason, or ``untried``. given: the key that the target gave to a new row, where it gives
keys."""
PAST_TENSE = {"create": "created", "update": "updated", "close": "closed"}


def done(changes: pd.DataFrame) -> pd.DataFrame:
    """Receipts (:data:`RECEIPTS`) as if every one of ``changes`` (of a plan) had succeeded."""
    receipts = pd.DataFrame({"key": changes["key"], "outcome": changes["kind"].replace(PAST_TENSE)})
    return receipts.assign(reason=None, given=None).astype(DTYPES["text"]).reset_index(drop=True)


def as_found(changes: pd.DataFrame, there: Collection[str]) -> pd.DataFrame:
    """:func:`done`, but that what was to be created and was ``there`` (keys) was updated; so is a
    key that comes again."""
    receipts = done(changes)
    again = receipts["key"].isin(there) | receipts["key"].duplicated()
    outcome = receipts["outcome"].mask(again & (receipts["outcome"] == "created"), "updated")
    return receipts.assign(outcome=outcome)


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
    landed = receipts[receipts["outcome"] != "unknown"].reset_index(drop=True)
    return landed.assign(reason=None).astype(DTYPES["text"])


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
    keys = plan.changes["key"]
    landed = keys.isin(already(plan, current, key, columns))
    before = plan.before.rename(columns={"key": key})
    as_before = keys.isin(reconcile(before, current, key, columns, list(columns)).unchanged)
    creates = (plan.changes["kind"] == "create").astype(bool)
    receipts = done(plan.changes).assign(reason="found after an interrupted run")
    if "given" in current:
        receipts["given"] = looked_up(keys, current, key)["given"].array
        # What the target made has values of its own beside ours; that it stands for the key that we
        # gave it is enough.
        landed |= creates & receipts["given"].notna()
    not_done = as_before.where(~creates, ~keys.isin(current[key])) & ~landed
    outcome = receipts["outcome"].where(landed, "unknown")
    found = receipts.assign(outcome=outcome).astype(DTYPES["text"])
    return found[~not_done].reset_index(drop=True)


def failures_at_the_end(outcomes: Sequence[str], before: int) -> int:
    """How many changes in a row have failed so far, ``before`` of them before these
    ``outcomes``."""
    for place, outcome in enumerate(reversed(outcomes)):
        if outcome != "failed":
            return place
    return before + len(outcomes)
