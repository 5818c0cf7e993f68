"""Lets one run of a process work at a time, and notes its beginning and end in the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext

from reconciliation.discreet import without_data
from reconciliation.errors import HrsyncError, Skipped, StalePlan, StoreFailed, UnsafePlan
from reconciliation.ports import Outcome

from .context import Run
from .reading import Reading

PATIENCE = 600.0
"""Seconds for which an approved plan, or a run started by a notification, waits for another run of
its process."""


@contextmanager
def entered(run: Run) -> Iterator[Reading]:
    """Context manager that yields what the run reads.

    Within it no other run of the process writes. The beginning of the run is noted in the store,
    and so is its end, unless the run has settled its results there.

    Raises:
        Skipped: another run is at work or has done this one's work, or there is nothing to do.
        StoreFailed: another run has been at work for too long.
    """
    with ExitStack() as stack:
        if not run.preview:
            stack.enter_context(_alone(run))
        reading = _reading(run)
        stack.enter_context(_noted(run, reading.kind))
        if run.order.hinted and not reading.hints and not reading.whole:
            raise Skipped("All change notifications have been processed", "No action needed.")
        yield reading


def _reading(run: Run) -> Reading:
    spec, store, order = run.spec, run.store, run.order
    if order.approve:
        return Reading.of(order, (), sweep_is_open=False)
    # A preview does not mark hints as taken.
    taken_at = None if run.preview else run.now
    hints = store.hints(spec.name, taken_at) if order.named is None else ()
    sweep_is_open = not run.preview and store.sweeping_since(spec, run.now) is not None
    return Reading.of(order, hints, sweep_is_open)


@contextmanager
def _alone(run: Run) -> Iterator[None]:
    """Holds the lease of the process, and of its pair. If another run is at work, this run is
    skipped, unless it applies an approved plan or processes notifications: then it waits."""
    spec, store, order = run.spec, run.store, run.order
    patient = bool(order.approve or order.hinted)
    with store.lease(spec.name, run.id, PATIENCE if patient else 0.0) as mine:
        if not mine and patient:
            raise StoreFailed(
                "Another run of this process has been at work for ten minutes",
                "Retry this run; the plan or the notifications still wait.",
            )
        if not mine:
            _skip(run, "Nothing was done: another run of this process is at work")
        due = order.scheduled
        if due and store.covered(spec.name, spec.fingerprint(), due, order.sweep):
            _skip(
                run, "Nothing was done: a run that began after this one was due has done its work"
            )
        # The two directions of a pair work on the same rows, so one waits for the other.
        pair = store.lease(spec.pair, run.id, PATIENCE) if spec.pair else nullcontext(True)
        with pair as alone:
            if not alone:
                raise StoreFailed(
                    "The run of the other direction has been at work for ten minutes",
                    "Look at it (hrsync status); nothing was lost.",
                )
            yield


def _skip(run: Run, why: str) -> None:
    """Notes the run in the store as skipped.

    Raises:
        Skipped: always.
    """
    with _noted(run, "apply"):
        raise Skipped(why, "No action needed.")


@contextmanager
def _noted(run: Run, kind: str) -> Iterator[None]:
    """Notes the beginning of a run in the store and, if it ends with an error, its end. An
    unforeseen error is replaced by one that holds no data."""
    run.store.start(run.id, run.spec, kind, run.now, run.order.flow_run)
    try:
        yield
    except Exception as error:
        known = error if isinstance(error, HrsyncError) else without_data(error)
        run.store.finish(run.id, _outcome(known), str(known), run.world.clock())
        if known is error:
            raise
        raise known from None
    except BaseException as error:
        run.store.finish(run.id, "failed", type(error).__name__, run.world.clock())
        raise


def _outcome(error: HrsyncError) -> Outcome:
    if isinstance(error, Skipped):
        return "skipped"
    return "stopped" if isinstance(error, UnsafePlan | StalePlan) else "failed"
