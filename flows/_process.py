"""The body of every flow: its runs, their reports published, and what a person has to decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from prefect import State
from prefect.states import Completed

from connectors.settings import load as load_settings
from reconciliation.discreet import discreet
from reconciliation.errors import Skipped, StalePlan, UnsafePlan
from reconciliation.spec import ProcessSpec
from tasks.approval import this_run
from tasks.connections import connections
from tasks.publish import publish, publish_webhooks

from ._decisions import Decisions
from ._run import Order, World, run_process
from .run_name import at_end, did


@discreet
def run_flow(
    spec: ProcessSpec,
    order: Order,
    *further: ProcessSpec,
    through: Callable[[World], World] | None = None,
    after: Callable[[World], None] | None = None,
) -> State[None]:
    """The body of every flow: one run with what the environment configures, its report published.

    The state says in a sentence what was done, the run's name in a few words. Nothing of the data
    is returned to Prefect. A plan past its guard suspends the run until somebody has approved or
    rejected it; then the flow begins again and comes here. ``further`` processes run after the
    first, each once the one before has done its work. ``through`` is what the world is seen
    through, ``after`` what is done when all has gone well.
    """
    settings = load_settings()
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
        states, written = [], Counter[str]()
        for each in map(opened.narrowed, chosen):
            world = opened.world(each)
            world = through(world) if through else world
            decisions = Decisions(each, world, order)
            next_ = decisions.first()
            while isinstance(next_, Order):
                try:
                    report, _ = run_process(each, world, next_)
                except (Skipped, StalePlan, UnsafePlan) as stop:
                    next_ = decisions.after(stop, next_)
                else:
                    publish(report)
                    written.update(report.outcomes)
                    next_ = decisions.done(report)
            states.append(next_)
            if not next_.is_completed():
                at_end(str(next_.name).lower())
                return next_
            if after:
                after(world)
        if order.hinted:
            publish_webhooks(opened.store.figures(datetime.now(UTC) - timedelta(days=1)))
    skipped = all(state.name == "Skipped" for state in states)
    at_end("skipped" if skipped else did(written))
    if len(states) == 1:
        return states[0]
    return Completed(message=" ".join(str(state.message) for state in states))
