"""Carries out a plan: intent before the call, receipt after, a breaker for an HR system that
refuses everything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow.compute as pc

from reconciliation.errors import HrsyncError, Refused
from reconciliation.frame import arrow, concat, empty, pick, true
from reconciliation.plan import Plan
from reconciliation.ports import Batch, Store, Target
from reconciliation.receipts import RECEIPTS, after, all_of, failures_at_the_end
from reconciliation.spec import ProcessSpec

from .steps import step


class Loading:
    """One plan on its way into HR. ``open`` tells whether the breaker has ended it."""

    def __init__(self, target: Target, spec: ProcessSpec) -> None:
        self.target, self.spec = target, spec
        self.failures = 0

    @property
    def open(self) -> bool:
        """So many changes in a row were refused that it cannot be the changes."""
        return self.failures >= self.spec.breaker

    def batch(self, changes: pd.DataFrame) -> pd.DataFrame:
        """Receipts of ``changes``; a batch that is refused is halved until the bad row stands
        alone.

        Raises:
            HrsyncError: the system failed; ``answered`` has the receipts of what it had answered.
        """
        if not len(changes):
            return empty(RECEIPTS)
        if self.open:
            return all_of(
                changes,
                "untried",
                f"{self.spec.target_side} refused {self.failures} changes in a row",
            )
        try:
            receipts = self.target.apply(self.spec.entity, changes)
        except HrsyncError:
            raise
        except Exception as error:
            # What a driver makes of an odd value is no reason to keep its neighbours waiting; its
            # message may hold the value.
            reason = (
                error.reason
                if isinstance(error, Refused)
                else f"{self.spec.target_side} cannot take this row ({type(error).__name__})"
            )
            if len(changes) > 1:
                middle = len(changes) // 2
                first = self.batch(changes.iloc[:middle])
                try:
                    return concat([first, self.batch(changes.iloc[middle:])])
                except HrsyncError as fault:
                    raise after(first, fault) from None
            receipts = all_of(changes, "failed", reason)
        self.failures = failures_at_the_end(receipts["outcome"].tolist(), self.failures)
        return receipts


@step("load")
def load(
    target: Target,
    store: Store,
    spec: ProcessSpec,
    plan: Plan,
    run: str,
    clock: Callable[[], datetime],
    landed: pd.DataFrame | None = None,
) -> tuple[pd.DataFrame, Batch | None]:
    """A receipt per change (``reconciliation.receipts.RECEIPTS``), and the last batch. ``landed``:
    receipts of changes that need no call.

    The receipts of every batch but the last are written here; those of the last one belong into the
    transaction that moves the watermark.

    Raises:
        HrsyncError: the target failed. What it had answered is written; the fate of the rest of the
            batch stays open.
    """
    loading = Loading(target, spec)
    receipts: list[pd.DataFrame] = []
    last: Batch | None = None
    for start in range(0, len(plan.changes), target.batch):
        if last is not None:
            store.receive(run, spec, last, clock())
        changes = plan.changes.iloc[start : start + target.batch].reset_index(drop=True)
        known = np.zeros(len(changes), dtype=bool)
        if landed is not None:
            known = true(pc.is_in(arrow(changes["key"]), value_set=arrow(landed["key"])))
            receipts.append(
                pick(landed, true(pc.is_in(arrow(landed["key"]), value_set=arrow(changes["key"]))))
            )
        send, last = pick(changes, ~known), None
        if loading.open or not len(send):
            receipts.append(loading.batch(send))
            continue
        intent = store.intend(run, spec, plan.digest, start, start + len(changes), clock())
        try:
            last = Batch(intent, changes, loading.batch(send))
        except HrsyncError as fault:
            if fault.answered is not None and len(fault.answered):
                store.receive(
                    run, spec, Batch(intent, changes, fault.answered), clock(), closes=False
                )
            raise
        receipts.append(last.receipts)
    return concat(receipts) if receipts else empty(RECEIPTS), last
