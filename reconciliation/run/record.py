"""The last step of a run: writes receipts, links, quarantine and watermark in one transaction."""

from __future__ import annotations

import pandas as pd

from reconciliation.draft import Draft
from reconciliation.errors import TargetFailed
from reconciliation.ports import Batch
from reconciliation.receipts import done
from reconciliation.report import RunReport
from reconciliation.settle import Settled, settle

from .context import Run


def record(run: Run, draft: Draft, receipts: pd.DataFrame, last: Batch | None) -> RunReport:
    """Writes the results of the run to the store, with the receipts of its last batch.

    Raises:
        TargetFailed: the target refused too many changes in a row; the others were not tried.
    """
    settled = settle(draft.spec, draft.compared, receipts)
    report = _reported(draft, settled)
    failure = _too_many_refusals(draft, receipts)
    if failure:
        report.watermark_after = draft.before.moment
    run.store.settle(run.id, draft, settled, last, run.world.clock(), failure)
    if failure:
        raise TargetFailed(
            failure,
            f"Look at {draft.spec.target_side}. The next run tries again; nothing was lost.",
        )
    return report


def preview(run: Run, draft: Draft) -> RunReport:
    """Returns the report of a run that writes nothing, as if all changes had been carried out. The
    plan is stored if the order says so."""
    plan = draft.compared.plan
    report = _reported(draft, settle(draft.spec, draft.compared, done(plan.changes)))
    if run.order.keep and len(plan.changes):
        run.store.keep_draft(draft, "made", run.now, None, run.now + run.order.patience)
    run.store.finish(run.id, "completed", None, run.world.clock())
    return report


def _reported(draft: Draft, settled: Settled) -> RunReport:
    report = draft.report
    report.outcomes.update(settled.outcomes)
    report.reexamined, report.reasons = settled.reexamined, settled.reasons
    return report


def _too_many_refusals(draft: Draft, receipts: pd.DataFrame) -> str | None:
    """Returns the reason why changes were not tried; ``None`` if all were tried."""
    untried = int((receipts["outcome"] == "untried").sum())
    if not untried:
        return None
    why = receipts.loc[receipts["outcome"] == "failed", "reason"].iloc[-1]
    return (
        f"{draft.spec.target_side} refused {draft.spec.breaker} changes in a row; {untried} more "
        f"were not tried. The last reason: {why}"
    )
