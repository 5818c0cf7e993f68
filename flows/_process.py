"""The body of every flow: runs its processes, publishes their reports, and asks for decisions."""

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
from reconciliation.report import RunReport
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
    """The body of every flow: runs its processes with the settings of the environment.

    The returned state says in a sentence what was done, the run's name in a few words. No data goes
    back to Prefect. A plan that its guard stops suspends the flow run until somebody has approved
    or rejected the plan. Prefect then runs the flow again, and this function carries out the
    decision.

    Args:
        spec: the process.
        order: what the run reads and what it may write.
        further: processes that run after the first, each once the one before has completed.
        through: replaces the world of each process, for example by one with a computed source.
        after: is called with the world of each process that has completed.
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
    with connections(settings) as sides:
        for each in map(sides.narrowed, _chosen(sides.store, order, (spec, *further))):
            world = sides.world(each)
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
                    done.takes(report, next_)
                    next_ = decisions.done(report)
            done.states.append(next_)
            if not next_.is_completed():
                break
            if after:
                after(world)
        else:
            if order.hinted:
                publish_webhooks(sides.store.figures(datetime.now(UTC) - timedelta(days=1)))
    at_end(done.what(), approved=done.approved)
    return done.state()


def _chosen(
    store: Store, order: Order, processes: tuple[ProcessSpec, ...]
) -> tuple[ProcessSpec, ...]:
    """The processes to run: all, or only that of the plan to apply."""
    if not order.approve or len(processes) == 1:
        return processes
    name = store.draft(order.approve).spec.name
    return tuple(each for each in processes if each.name == name) or processes[:1]


@dataclass
class _Done:
    """The results of the processes of a flow run."""

    states: list[State[None]] = field(default_factory=list)
    """How each process ended."""
    written: Counter[str] = field(default_factory=Counter)
    """Rows by outcome."""
    approved: bool = False
    """Somebody has approved a plan of this run."""

    def takes(self, report: RunReport, order: Order) -> None:
        """Adds the report of a run with ``order``."""
        self.written.update(report.outcomes)
        self.approved |= order.approve is not None

    def what(self) -> str:
        """What was done, in a few words, for the run's name."""
        last = self.states[-1]
        if not last.is_completed():
            return str(last.name).lower()
        skipped = all(state.name == "Skipped" for state in self.states)
        return "skipped" if skipped else did(self.written)

    def state(self) -> State[None]:
        """The state of the flow: that of the process that did not complete, or Completed."""
        last = self.states[-1]
        if len(self.states) == 1 or not last.is_completed():
            return last
        return Completed(message=" ".join(str(state.message) for state in self.states))
