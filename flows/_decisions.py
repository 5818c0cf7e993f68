"""Decides what a flow does next with a process: run it, ask a person, or end."""

from __future__ import annotations

from dataclasses import replace

from prefect import State
from prefect.states import Cancelled, Completed

from reconciliation.errors import Skipped, StalePlan, UnsafePlan
from reconciliation.report import RunReport, one_line_summary
from reconciliation.run.guard import REPAIR, reasons
from reconciliation.spec import ProcessSpec
from tasks.approval import ask_for_decision, can_still_be_answered, form_text

from ._run import Order, World, run_process

Next = Order | State[None]
"""The order of the next run, or how the flow ends."""


class Decisions:
    """The decisions about one process in one flow run."""

    def __init__(self, spec: ProcessSpec, world: World, order: Order) -> None:
        self.spec, self.world, self.order = spec, world, order
        self.store = world.store

    def first(self) -> Next:
        """The first step: the run itself, or what follows from a plan that waits for a decision."""
        waiting = self.store.waiting(self.spec.name, self.spec.fingerprint(), self.world.clock())
        if not waiting or not self.order.flow_run:
            return self.order
        digest, flow_run = waiting
        if flow_run == self.order.flow_run:
            return self._decided(digest)
        if can_still_be_answered(flow_run) or not self.store.close_plan(digest, "rejected"):
            return self.order
        message = (
            f"The plan {digest} counts as rejected: the run that waited for a decision was "
            "cancelled or deleted in Prefect. Nothing was written. The next run makes a new plan."
        )
        return Cancelled(name="Rejected", message=message)

    def after(self, stop: Skipped | StalePlan | UnsafePlan, order: Order) -> Next:
        """The next step after a run with ``order`` has stopped.

        Raises:
            UnsafePlan: the plan exceeds its guard, and Prefect cannot suspend this run.
            StalePlan: the plan to apply is out of date.
        """
        if isinstance(stop, Skipped):
            return Completed(name="Skipped", message=str(stop))
        if isinstance(stop, UnsafePlan):
            if self.order.flow_run is None:
                raise stop
            return self._decided(stop.digest)
        if self.order.confirm:
            remedy = "Nothing was written. Reconcile again: the rows to repair have changed."
            raise StalePlan(stop.what, remedy) from None
        if self.order.approve:
            raise StalePlan(stop.what, self._replaced(order)) from None
        # The target has changed while the plan waited. Nobody has approved the new plan yet.
        return replace(self.order, scheduled=None)

    def done(self, report: RunReport) -> State[None]:
        """The state of the flow after a run that has completed."""
        preview = "Preview only. " if self.order.mode == "plan" else ""
        did = one_line_summary(report.read, report.outcomes)
        return Completed(message=f"{preview}{did}. Source: {report.source}")

    def _decided(self, digest: str) -> Next:
        """Suspends the flow run for a decision on a kept plan. Once somebody has decided, returns
        the step that follows."""
        draft = self.store.draft(digest)
        compared = draft.compared
        why = reasons(draft) or [REPAIR]
        rows = compared.figures.get("answered_for", compared.population)
        total = f"{self.spec.target_side}, rows of this process", rows
        text = form_text(draft.report, compared.plan.counts(), total, digest, why)
        if ask_for_decision(text, digest, self.order.patience) == "approve":
            return self.order.approving(digest)
        if not self.store.close_plan(digest, "rejected"):
            message = f"Another run is applying the plan {digest}, so it was not rejected."
            return Completed(name="Skipped", message=message)
        message = f"The plan {digest} was rejected. Nothing was written."
        return Cancelled(name="Rejected", message=message)

    def _replaced(self, order: Order) -> str:
        """Makes a new plan in place of one that is out of date. Returns what to do with it."""
        again = replace(order, mode="plan", approve=None, keep=True)
        _, plan = run_process(self.spec, self.world, again)
        if not len(plan.changes):
            return "Nothing was written. No action needed: both sides agree now."
        return f"Nothing was written. Review the new plan {plan.digest} and apply it."
