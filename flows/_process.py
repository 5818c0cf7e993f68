"""The body of every flow: its runs, their reports published, and what a person has to decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from prefect import State
from prefect.states import Cancelled, Completed

from connectors.settings import load as load_settings
from reconciliation.errors import Skipped, StalePlan, UnsafePlan
from reconciliation.report import RunReport, sentence
from reconciliation.spec import ProcessSpec
from tasks.approval import answerable, approval, this_run
from tasks.connections import connections
from tasks.publish import publish, publish_webhooks
from tasks.steps import discreet

from ._run import REPAIR, Order, World, guarded, run_process


@discreet
def run_flow(
    spec: ProcessSpec,
    order: Order,
    *further: ProcessSpec,
    through: Callable[[World], World] | None = None,
    after: Callable[[World], None] | None = None,
) -> State[None]:
    """The body of every flow: one run with what the environment configures, its report published.

    The state it returns says in a sentence what was done. Nothing of the data is returned to
    Prefect. A plan past its guard suspends the run until somebody has approved or rejected it; then
    the flow begins again and comes here. ``further`` processes run after the first, each when the
    one before has done its work. through: what the world is seen through. after: what is done when
    all has gone well.
    """
    # Here, because the catalogue imports every flow, and every flow this module.
    from .catalogue import checked

    settings = checked(load_settings())
    flow_run, scheduled = this_run()
    order = replace(
        order,
        flow_run=flow_run,
        scheduled=scheduled,
        patience=timedelta(hours=settings.approval_hours),
    )
    with connections(settings) as opened:
        chosen = (spec, *further)
        if order.approve and further:
            # A kept plan is one of these processes.
            name = opened.store.draft(order.approve).spec.name
            chosen = tuple(each for each in chosen if each.name == name) or chosen[:1]
        states = []
        for each in map(opened.narrowed, chosen):
            world = World.of(opened, settings, each)
            world = through(world) if through else world
            states.append(_run_one(each, world, order))
            if not states[-1].is_completed():
                return states[-1]
            if after:
                after(world)
        if order.hinted:
            publish_webhooks(opened.store.figures(datetime.now(UTC) - timedelta(days=1)))
    return (
        states[0]
        if len(states) == 1
        else Completed(message=" ".join(str(state.message) for state in states))
    )


def _run_one(spec: ProcessSpec, world: World, order: Order) -> State[None]:
    flow_run = order.flow_run
    waits = world.store.waiting(spec.name, spec.fingerprint(), world.clock())
    if (
        waits
        and flow_run
        and flow_run != waits[1]
        and not answerable(waits[1])
        and world.store.close_plan(waits[0], "rejected")
    ):
        gone = (
            f"The plan {waits[0]} counts as rejected: the run that waited for a decision was "
            "cancelled or deleted in Prefect."
        )
        return Cancelled(
            name="Rejected", message=f"{gone} Nothing was written. The next run makes a new plan."
        )
    try:
        if waits and flow_run == waits[1]:
            return _decided(spec, world, order, waits[0])
        return _told(run_process(spec, world, order)[0], order)
    except Skipped as reason:
        return Completed(name="Skipped", message=str(reason))
    except StalePlan as stale:
        if order.confirm:
            raise StalePlan(
                stale.what,
                "Reconcile again: what was to be repaired is no longer as it was. Nothing was "
                "written.",
            ) from None
        _, plan = run_process(spec, world, replace(order, mode="plan", approve=None, keep=True))
        fresh = (
            f"It was made anew: look at {plan.digest} and apply that one"
            if len(plan.changes)
            else "By now nothing is to be done"
        )
        raise StalePlan(stale.what, f"{fresh}. Nothing was written.") from None
    except UnsafePlan as unsafe:
        if flow_run is None:
            raise
        return _decided(spec, world, order, unsafe.digest)


def _decided(spec: ProcessSpec, world: World, order: Order, digest: str) -> State[None]:
    """Suspends the run for a decision on a kept plan, or, once it was taken, does what was
    decided."""
    draft = world.store.draft(digest)
    compared = draft.compared
    found = guarded(draft) or [REPAIR]
    figures = (
        f"{spec.target_side}, rows of this process",
        compared.figures.get("answered_for", compared.population),
    )
    decision = approval(
        draft.report, compared.plan.counts(), figures, digest, found, order.patience
    )
    if decision != "approve":
        if not world.store.close_plan(digest, "rejected"):
            return Completed(
                name="Skipped",
                message=f"The plan {digest} is being applied by another run: it was not rejected.",
            )
        return Cancelled(
            name="Rejected", message=f"The plan {digest} was rejected. Nothing was written."
        )
    try:
        return _told(run_process(spec, world, replace(order, approve=digest))[0], order)
    except StalePlan:
        if order.confirm:
            raise
        # HR has moved while the plan waited: whoever approved has not seen what is to be done now.
        return _told(run_process(spec, world, replace(order, scheduled=None))[0], order)


def _told(report: RunReport, order: Order) -> State[None]:
    publish(report)
    preview = "Preview only. " if order.mode == "plan" else ""
    return Completed(
        message=f"{preview}{sentence(report.read, report.outcomes)}. Source: {report.source}"
    )
