"""Receipts of changes: as the target gives them, as expected in a preview, or as found out after an
interruption."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pandas as pd

from .errors import HrsyncError
from .frame import concat, of
from .plan import Plan, already, reconcile
from .tables import DTYPES, looked_up

RECEIPTS = {"key": "text", "outcome": "text", "reason": "text", "given": "text"}
"""The outcome of one change: ``created``, ``updated``, ``closed``, ``failed`` or ``unsupported``
(with the reason), or ``untried``. ``given`` is the key that the target gave to a new row, if it
gives keys."""
PAST_TENSE = {"create": "created", "update": "updated", "close": "closed"}


def done(changes: pd.DataFrame) -> pd.DataFrame:
    """Builds receipts (:data:`RECEIPTS`) as if all ``changes`` (of a plan) had succeeded."""
    receipts = pd.DataFrame({"key": changes["key"], "outcome": changes["kind"].replace(PAST_TENSE)})
    return receipts.assign(reason=None, given=None).astype(DTYPES["text"]).reset_index(drop=True)


def as_found(changes: pd.DataFrame, there: Collection[str]) -> pd.DataFrame:
    """Builds receipts like :func:`done`, except that a create counts as an update if its key
    existed already (``there``) or comes a second time."""
    receipts = done(changes)
    again = receipts["key"].isin(there) | receipts["key"].duplicated()
    outcome = receipts["outcome"].mask(again & (receipts["outcome"] == "created"), "updated")
    return receipts.assign(outcome=outcome)


def all_of(changes: pd.DataFrame, outcome: str, reason: str) -> pd.DataFrame:
    """Builds receipts with the same outcome for all ``changes``."""
    return of(RECEIPTS, [(key, outcome, reason, None) for key in changes["key"]])


def after(receipts: pd.DataFrame, fault: HrsyncError) -> HrsyncError:
    """Adds to ``fault`` the ``receipts`` of the changes that were answered before it."""
    fault.answered = receipts if fault.answered is None else concat([receipts, fault.answered])
    return fault


def of_landed(
    plan: Plan, current: pd.DataFrame, key: str, columns: Mapping[str, str]
) -> pd.DataFrame:
    """Returns the receipts of the changes of ``plan`` that are already carried out, as ``current``
    (the target's rows with their keys) shows."""
    receipts = found_out(plan, current, key, columns)
    landed = receipts[receipts["outcome"] != "unknown"].reset_index(drop=True)
    return landed.assign(reason=None).astype(DTYPES["text"])


def found_out(
    plan: Plan, current: pd.DataFrame, key: str, columns: Mapping[str, str]
) -> pd.DataFrame:
    """Returns the receipts of changes that may have been sent and whose receipts were never
    written, by looking at the target.

    ``plan`` holds just these changes, and ``current`` the target's rows with their keys. A created
    row with a key from the target is listed under its provisional key, and ``given`` has the real
    one. A change that was not carried out has no receipt. If a row has neither the old nor the new
    values, the outcome is ``unknown``.
    """
    keys = plan.changes["key"]
    landed = keys.isin(already(plan, current, key, columns))
    before = plan.before.rename(columns={"key": key})
    as_before = keys.isin(reconcile(before, current, key, columns, list(columns)).unchanged)
    creates = (plan.changes["kind"] == "create").astype(bool)
    receipts = done(plan.changes).assign(reason="found after an interrupted run")
    if "given" in current:
        receipts["given"] = looked_up(keys, current, key)["given"].array
        # A row that the target created may have other values than ours. It is enough that it is
        # listed under our provisional key.
        landed |= creates & receipts["given"].notna()
    not_done = as_before.where(~creates, ~keys.isin(current[key])) & ~landed
    outcome = receipts["outcome"].where(landed, "unknown")
    receipts = receipts.assign(outcome=outcome).astype(DTYPES["text"])
    return receipts[~not_done].reset_index(drop=True)


def failures_at_the_end(outcomes: Sequence[str], before: int) -> int:
    """Returns the number of consecutive failures at the end of ``outcomes``. If all of them failed,
    the failures ``before`` are added."""
    for place, outcome in enumerate(reversed(outcomes)):
        if outcome != "failed":
            return place
    return before + len(outcomes)
