"""The fourth step of a run: intent before the call, receipt after, and a breaker for a target that
refuses everything."""

from __future__ import annotations

import pandas as pd

from reconciliation.draft import Draft
from reconciliation.errors import HrsyncError, Refused
from reconciliation.frame import concat, empty
from reconciliation.ports import Batch
from reconciliation.receipts import RECEIPTS, all_of, failures_at_the_end
from reconciliation.spec import ProcessSpec

from .context import Run


class Sending:
    """One batch on its way into the target. A part that the target refuses is halved until the bad
    row stands alone, so that its neighbours load."""

    def __init__(self, spec: ProcessSpec, changes: pd.DataFrame, failures: int = 0) -> None:
        self.spec = spec
        self.failures = failures
        """Number of changes that the target has refused in a row."""
        self.receipts = empty(RECEIPTS)
        self._parts = [changes] if len(changes) else []

    def next(self) -> pd.DataFrame | None:
        """The changes to send next; ``None`` if none are left, or if the target has refused too
        many in a row (``ProcessSpec.breaker``)."""
        if self._parts and self.failures >= self.spec.breaker:
            why = f"{self.spec.target_side} refused {self.failures} changes in a row"
            untried = [all_of(part, "untried", why) for part in self._parts]
            self.receipts, self._parts = concat([self.receipts, *untried]), []
        return self._parts[0] if self._parts else None

    def receive(self, receipts: pd.DataFrame) -> None:
        """Takes the receipts of the changes that were sent."""
        self.failures = failures_at_the_end(receipts["outcome"].tolist(), self.failures)
        self.receipts = concat([self.receipts, receipts])
        del self._parts[0]

    def refuse(self, error: Exception) -> None:
        """The target has carried out none of the changes that were sent, because of at least
        one."""
        part = self._parts[0]
        middle = len(part) // 2
        if middle:
            self._parts[:1] = [part.iloc[:middle], part.iloc[middle:]]
        else:
            self.receive(all_of(part, "failed", self._reason(error)))

    def _reason(self, error: Exception) -> str:
        """What a driver makes of an odd value is no reason to keep its neighbours waiting; its
        message may hold the value."""
        if isinstance(error, Refused):
            return error.reason
        return f"{self.spec.target_side} cannot take this row ({type(error).__name__})"


def load(run: Run, draft: Draft, landed: pd.DataFrame | None) -> tuple[pd.DataFrame, Batch | None]:
    """A receipt per change (``reconciliation.receipts.RECEIPTS``), and the last batch.

    ``landed``: receipts of changes that need no call. The receipts of every batch but the last are
    written here; those of the last one belong into the transaction that moves the watermark.

    Raises:
        HrsyncError: the target failed. What it had answered is written; the fate of the rest of the
            batch stays open.
    """
    spec, plan, store, clock = draft.spec, draft.compared.plan, run.store, run.world.clock
    landed = empty(RECEIPTS) if landed is None else landed
    receipts = [empty(RECEIPTS)]
    last: Batch | None = None
    failures = 0
    for start in range(0, len(plan.changes), run.target.batch):
        if last is not None:
            store.receive(run.id, spec, last, clock())
        changes = plan.changes.iloc[start : start + run.target.batch].reset_index(drop=True)
        receipts.append(landed[landed["key"].isin(changes["key"])])
        send = changes[~changes["key"].isin(landed["key"])].reset_index(drop=True)
        sending, last = Sending(spec, send, failures), None
        if sending.next() is not None:
            stop = start + len(changes)
            intent = store.intend(run.id, spec, plan.digest, start, stop, clock())
            while (part := sending.next()) is not None:
                try:
                    sending.receive(run.target.apply(spec.entity, part))
                except HrsyncError as fault:
                    answered = Batch(intent, changes, _answered(sending, fault))
                    if len(answered.receipts):
                        store.receive(run.id, spec, answered, clock(), closes=False)
                    raise
                except Exception as error:
                    sending.refuse(error)
            last = Batch(intent, changes, sending.receipts)
        receipts.append(sending.receipts)
        failures = sending.failures
    return concat(receipts), last


def _answered(sending: Sending, fault: HrsyncError) -> pd.DataFrame:
    """Receipts of what was surely answered before the target failed."""
    return concat([sending.receipts, *([] if fault.answered is None else [fault.answered])])
