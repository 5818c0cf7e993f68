"""One run of one process: the ordered steps that every run takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from reconciliation.plan import Plan
from reconciliation.report import RunReport
from reconciliation.run.approved import approved
from reconciliation.run.context import Run, World
from reconciliation.run.entrance import entered
from reconciliation.run.extract import extract
from reconciliation.run.guard import guard, stopped
from reconciliation.run.interrupted import settle_interrupted
from reconciliation.run.load import load
from reconciliation.run.order import Mode, Order
from reconciliation.run.reconcile import reconcile
from reconciliation.run.record import preview, record
from reconciliation.run.whole_feed import Caller
from reconciliation.spec import ProcessSpec
from tasks.connections import previewed
from tasks.steps import in_prefect, plainly

__all__ = ["Caller", "Mode", "Order", "World", "in_prefect", "plainly", "run_process"]


def run_process(
    spec: ProcessSpec, world: World, order: Order, *, call: Caller = in_prefect
) -> tuple[RunReport, Plan]:
    """Ask, fetch, reconcile, guard, load, record. Returns the run's report and its plan.

    The steps are Prefect tasks. With ``call=plainly`` they are plain functions. A preview (mode
    ``plan``) gets a target that it cannot write to. It changes nothing in HR, the watermark or the
    quarantine. It stores its plan only if the order keeps it.

    Raises:
        HrsyncError: the run cannot go on. The error says what to do; the next run loses nothing.
        Skipped: another run of the process is at work or has done this run's work, or a plan waits
            for its approval.
    """
    timed = _Timed(call)
    with previewed(world) if order.mode == "plan" else nullcontext(world) as world:
        run = Run.begin(spec, world, order)
        with entered(run) as reading:
            if run.preview:
                draft = timed(reconcile, run, reading, timed(extract, run, reading, call))
                draft.report.seconds = timed.seconds
                return timed(preview, run, draft), draft.compared.plan
            settled = timed(settle_interrupted, run)
            if order.approve:
                draft, landed = timed(approved, run)
            else:
                draft = timed(reconcile, run, reading, timed(extract, run, reading, call))
                landed = None
                if reasons := timed(guard, run, draft):
                    raise stopped(run, draft, reasons)
            draft.report.settled, draft.report.seconds = settled, timed.seconds
            receipts, last = timed(load, run, draft, landed)
            return timed(record, run, draft, receipts, last), draft.compared.plan


class _Timed:
    """Calls steps and measures them."""

    def __init__(self, call: Caller) -> None:
        self._call = call
        self.seconds: dict[str, float] = {}
        """Name of a step -> seconds."""

    def __call__(self, step: Callable[..., Any], *args: Any) -> Any:
        began = time.perf_counter()
        try:
            return self._call(step, *args)
        finally:
            self.seconds[step.__name__.replace("_", " ")] = time.perf_counter() - began
