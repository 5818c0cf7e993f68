"""The fourth step of a run: sends the changes in batches. An intent is written before each batch
and receipts after it; a run of refusals stops the sending."""

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
    """The changes of one batch that are still to be sent.

    A part that the target refuses as a whole is halved until the bad row is alone, so that the
    other rows load.
    """

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
        """Adds the receipts of the changes that were sent."""
        self.failures = failures_at_the_end(receipts["outcome"].tolist(), self.failures)
        self.receipts = concat([self.receipts, receipts])
        del self._parts[0]

    def refuse(self, error: Exception) -> None:
        """Handles a refusal of all changes that were sent because of at least one of them: halves
        the part, or marks a single change as failed."""
        part = self._parts[0]
        middle = len(part) // 2
        if middle:
            self._parts[:1] = [part.iloc[:middle], part.iloc[middle:]]
        else:
            self.receive(all_of(part, "failed", self._reason(error)))

    def _reason(self, error: Exception) -> str:
        """Returns the reason for the receipt. An unforeseen error, as a driver may raise for an odd
        value, counts as a refusal too; its message may contain the value and is left out."""
        if isinstance(error, Refused):
            return error.reason
        return f"{self.spec.target_side} cannot take this row ({type(error).__name__})"


def load(run: Run, draft: Draft, landed: pd.DataFrame | None) -> tuple[pd.DataFrame, Batch | None]:
    """Sends the changes of the draft. Returns a receipt per change
    (``reconciliation.receipts.RECEIPTS``), and the last batch.

    The receipts of every batch but the last are written here. Those of the last one are written in
    the transaction that moves the watermark.

    Args:
        run: the run.
        draft: the draft with the plan.
        landed: receipts of changes that are already carried out and need no call.

    Raises:
        HrsyncError: the target failed. The answers until then are written; the fate of the other
            changes of the batch stays open, and the next run finds it out.
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
        to_send = changes[~changes["key"].isin(landed["key"])].reset_index(drop=True)
        sending, last = Sending(spec, to_send, failures), None
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
    """Returns the receipts of the changes that were certainly answered before the target failed."""
    return concat([sending.receipts, *([] if fault.answered is None else [fault.answered])])
