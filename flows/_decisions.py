"""What a flow does next with a process: run, ask a person, or end."""

from __future__ import annotations

from dataclasses import replace

from prefect import State
from prefect.states import Cancelled, Completed

from reconciliation.errors import Skipped, StalePlan, UnsafePlan
from reconciliation.report import RunReport, sentence
from reconciliation.run.guard import REPAIR, reasons
from reconciliation.spec import ProcessSpec
from tasks.approval import answerable, approval

from ._run import Order, World, run_process

Next = Order | State[None]
"""The order of the next run, or how the flow ends."""


class Decisions:
    """The decisions about one process in one flow run."""

    def __init__(self, spec: ProcessSpec, world: World, order: Order) -> None:
        self.spec, self.world, self.order = spec, world, order
        self.store = world.store

    def first(self) -> Next:
        """What is done first: if a plan waits for a decision in this run, that is asked for."""
        waits = self.store.waiting(self.spec.name, self.spec.fingerprint(), self.world.clock())
        if not waits or not self.order.flow_run:
            return self.order
        digest, flow_run = waits
        if flow_run == self.order.flow_run:
            return self._decided(digest)
        if answerable(flow_run) or not self.store.close_plan(digest, "rejected"):
            return self.order
        gone = (
            f"The plan {digest} counts as rejected: the run that waited for a decision was "
            "cancelled or deleted in Prefect."
        )
        message = f"{gone} Nothing was written. The next run makes a new plan."
        return Cancelled(name="Rejected", message=message)

    def after(self, stop: Skipped | StalePlan | UnsafePlan, order: Order) -> Next:
        """What is done after a run with ``order`` has stopped.

        Raises:
            UnsafePlan: the plan exceeds its guard, and Prefect cannot suspend this run.
            StalePlan: the plan that the flow was to apply is out of date.
        """
        if isinstance(stop, Skipped):
            return Completed(name="Skipped", message=str(stop))
        if isinstance(stop, UnsafePlan):
            if self.order.flow_run is None:
                raise stop
            return self._decided(stop.digest)
        if self.order.confirm:
            remedy = "Reconcile again: what was to be repaired is no longer as it was."
            raise StalePlan(stop.what, f"{remedy} Nothing was written.") from None
        if self.order.approve:
            raise StalePlan(stop.what, self._anew(order)) from None
        # The target has changed while the plan waited: nobody has approved the new plan.
        return replace(self.order, scheduled=None)

    def done(self, report: RunReport) -> State[None]:
        """How the flow ends after a run."""
        preview = "Preview only. " if self.order.mode == "plan" else ""
        told = sentence(report.read, report.outcomes)
        return Completed(message=f"{preview}{told}. Source: {report.source}")

    def _decided(self, digest: str) -> Next:
        """Suspends the run for a decision on a kept plan, or, once it was taken, does what was
        decided."""
        draft = self.store.draft(digest)
        compared = draft.compared
        found = reasons(draft) or [REPAIR]
        rows = compared.figures.get("answered_for", compared.population)
        figures = f"{self.spec.target_side}, rows of this process", rows
        counts, patience = compared.plan.counts(), self.order.patience
        if approval(draft.report, counts, figures, digest, found, patience) == "approve":
            return self.order.approving(digest)
        if not self.store.close_plan(digest, "rejected"):
            why = f"The plan {digest} is being applied by another run: it was not rejected."
            return Completed(name="Skipped", message=why)
        why = f"The plan {digest} was rejected. Nothing was written."
        return Cancelled(name="Rejected", message=why)

    def _anew(self, order: Order) -> str:
        """Makes a new plan in the place of one that is out of date; what to do about it."""
        again = replace(order, mode="plan", approve=None, keep=True)
        _, plan = run_process(self.spec, self.world, again)
        if not len(plan.changes):
            return "By now there is nothing to do. Nothing was written."
        return f"A new plan was made: review {plan.digest} and apply it. Nothing was written."
