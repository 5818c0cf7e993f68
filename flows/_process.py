"""The body of every flow: its runs, their reports published, and what a person has to decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from prefect import State
from prefect.states import Completed

from connectors.settings import load as load_settings
from reconciliation.discreet import discreet
from reconciliation.errors import Skipped, StalePlan, UnsafePlan
from reconciliation.ports import Store
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
    done = _Done()
    with connections(settings) as opened:
        for each in map(opened.narrowed, _chosen(opened.store, order, (spec, *further))):
            world = opened.world(each)
            world = through(world) if through else world
            state = _carry_out(Decisions(each, world, order), done)
            if not state.is_completed():
                at_end(str(state.name).lower())
                return state
            if after:
                after(world)
        if order.hinted:
            publish_webhooks(opened.store.figures(datetime.now(UTC) - timedelta(days=1)))
    skipped = all(state.name == "Skipped" for state in done.states)
    at_end("skipped" if skipped else did(done.written), approved=done.approved)
    if len(done.states) == 1:
        return done.states[0]
    return Completed(message=" ".join(str(state.message) for state in done.states))


@dataclass
class _Done:
    """What the processes of a flow run have done."""

    states: list[State[None]] = field(default_factory=list)
    written: Counter[str] = field(default_factory=Counter)
    """Rows by outcome."""
    approved: bool = False
    """Somebody has approved a plan of this run."""


def _chosen(
    store: Store, order: Order, processes: tuple[ProcessSpec, ...]
) -> tuple[ProcessSpec, ...]:
    """The processes that run: all, or that of the plan to apply."""
    if not order.approve or len(processes) == 1:
        return processes
    name = store.draft(order.approve).spec.name
    return tuple(each for each in processes if each.name == name) or processes[:1]


def _carry_out(decisions: Decisions, done: _Done) -> State[None]:
    """Runs a process until nothing is left to decide; how it ended."""
    next_ = decisions.first()
    while isinstance(next_, Order):
        try:
            report, _ = run_process(decisions.spec, decisions.world, next_)
        except (Skipped, StalePlan, UnsafePlan) as stop:
            next_ = decisions.after(stop, next_)
        else:
            publish(report)
            done.written.update(report.outcomes)
            done.approved |= next_.approve is not None
            next_ = decisions.done(report)
    done.states.append(next_)
    return next_
