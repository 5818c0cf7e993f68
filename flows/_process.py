"""The one ordered path that every process takes: ask, fetch, reconcile, guard, load, record, publish.

The steps are Prefect tasks; with ``preview`` they run as plain functions, so that a plan can be made without Prefect.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

from prefect import State
from prefect.states import Completed

from connectors.settings import Settings
from connectors.settings import load as load_settings
from reconciliation.ask import questions
from reconciliation.errors import HrsyncError
from reconciliation.guard import check
from reconciliation.plan import Plan
from reconciliation.ports import Settlement, Source, Store, Target
from reconciliation.report import RunReport, sentence
from reconciliation.settle import planned, settle
from reconciliation.snapshot import Snapshot
from reconciliation.spec import ProcessSpec
from reconciliation.watermark import advance, window
from tasks.connections import Connections, connections
from tasks.extract import extract
from tasks.load import load
from tasks.publish import publish
from tasks.reconcile import compare
from tasks.steps import discreet

Mode = Literal["apply", "plan"]
Caller = Callable[..., Any]


@dataclass(frozen=True)
class World:
    """The two sides and the store of one run. zone: the tenant's, for the day a state holds on."""

    source: Source
    target: Target
    store: Store
    zone: str

    @classmethod
    def of(cls, opened: Connections, settings: Settings) -> World:
        """The world of opened connections."""
        return cls(opened.source, opened.target, opened.store, settings.dialect.zone)


@dataclass(frozen=True)
class Order:
    """What is wanted of one run.

    since: read records changed from this moment on (UTC if it has no offset), whatever the watermark. full: read
    everything. approve: the digest of a plan that a guard has stopped.
    """

    mode: Mode = "apply"
    since: datetime | None = None
    full: bool = False
    approve: str | None = None


def in_prefect(step: Any, *args: Any) -> Any:
    """Calls a step as a Prefect task."""
    return step(*args)


def plainly(step: Any, *args: Any) -> Any:
    """Calls a step as the function it is."""
    return step.fn(*args)


def run_process(
    spec: ProcessSpec, world: World, order: Order, *, call: Caller = in_prefect, now: datetime | None = None
) -> tuple[RunReport, Plan]:
    """One run of one process.

    Returns its report and plan. In ``plan`` mode nothing is written, neither to HR nor to watermark and quarantine.

    Raises:
        HrsyncError: the run cannot go on; it says what and who must act, and the next run loses nothing.
    """
    now = now or datetime.now(UTC)
    run = uuid.uuid4().hex
    world.store.start(run, spec.name, order.mode, now)
    try:
        return discreet(_run)(spec, world, order, call, now, run)
    except BaseException as error:
        # Only our own errors are known to hold no personal data.
        reason = str(error) if isinstance(error, HrsyncError) else type(error).__name__
        world.store.finish(run, "failed", reason, datetime.now(UTC))
        raise


def run_flow(spec: ProcessSpec, order: Order) -> State[None]:
    """The body of every flow: one run with what the environment configures, its report published.

    The state it returns says in a sentence what was done. Nothing of the data is returned to Prefect.
    """
    settings = load_settings()
    with connections(settings) as opened:
        report, _ = run_process(spec, World.of(opened, settings), order)
    publish(report)
    preview = "Preview only. " if order.mode == "plan" else ""
    return Completed(message=f"{preview}{sentence(report.read, report.outcomes)}. Source: {report.source}")


def _run(spec: ProcessSpec, world: World, order: Order, call: Caller, now: datetime, run: str) -> tuple[RunReport, Plan]:
    source, target, store = world.source, world.target, world.store
    today = now.astimezone(ZoneInfo(world.zone)).date()
    report = RunReport(spec.name, order.mode, source.name, now)
    requests = source.requests
    updated = source.updated_column(spec.feed, spec.updated)
    mark = store.watermark(spec.name, spec.fingerprint())
    since = order.since.replace(tzinfo=UTC) if order.since and order.since.tzinfo is None else order.since
    asked = window(mark, spec.overlap, since=since, full=order.full)

    with _timed(report, "fetch"):
        known = store.known(spec.name)
        asks = questions(spec, asked, mark, today, store.retryable(spec.name, now), updated)
        read: Snapshot = call(extract, source, spec, asks, known)
        del known
    with _timed(report, "reconcile"):
        compared = call(compare, spec, read, target, store, today)
        plan: Plan = compared.plan
    report.digest = plan.digest

    if order.mode == "apply":
        with _timed(report, "guard"):
            store.save_plan(plan, spec.name, now)
            check(plan.counts(), compared.population, spec.guard, plan.digest, order.approve)
        with _timed(report, "load"):
            receipts = call(load, target, spec, plan)
    else:
        receipts = planned(plan)

    settled = settle(compared, receipts)
    rejected = compared.read.rejected
    keyless = set(rejected["hash"][rejected["key"].isna()])
    unseen = bool(keyless - store.known_bad(spec.name)) if keyless else False
    after = advance(mark, compared.read, updated, asked, now, today, unseen)
    report.read, report.reexamined = compared.read.read, settled.reexamined
    report.outcomes.update(settled.outcomes)
    report.reasons, report.drift, report.complete = settled.reasons, compared.read.drift, compared.read.complete
    report.watermark_before, report.watermark_after = mark.moment, after.moment
    report.requests = source.requests - requests
    if order.mode == "plan":
        report.watermark_after = mark.moment
        store.finish(run, "completed", None, datetime.now(UTC))
        return report, plan
    with _timed(report, "record"):
        covered = mark.waiting or asked.since is None
        looked_again = covered and compared.read.complete and not unseen
        settlement = Settlement(settled.landed, settled.links, settled.quarantine, after, looked_again)
        store.settle(run, spec, settlement, report, datetime.now(UTC))
    return report, plan


@contextmanager
def _timed(report: RunReport, step: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    report.seconds[step] = time.perf_counter() - began
