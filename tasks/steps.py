"""The steps of a run as Prefect tasks: no caching, no stored results, no data in Prefect's database
or log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Task
from prefect.cache_policies import NO_CACHE

from reconciliation.discreet import discreet
from reconciliation.run.approved import approved
from reconciliation.run.extract import extract
from reconciliation.run.guard import guard
from reconciliation.run.interrupted import settle_interrupted
from reconciliation.run.load import load
from reconciliation.run.reconcile import reconcile
from reconciliation.run.record import preview, record
from reconciliation.run.whole_feed import sweep_part, verify

P = ParamSpec("P")
R = TypeVar("R")


def step(name: str, run_name: str | None = None) -> Callable[[Callable[P, R]], Task[P, R]]:
    """``@step("extract")``: makes a task whose arguments and result Prefect does not store.

    ``run_name`` is a template for the names of its runs. If it uses arguments, these must not hold
    personal data: Prefect stores the name.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        return Task(
            # The text of an unforeseen error may quote data. ``discreet`` removes it.
            discreet(function),
            name=name,
            task_run_name=run_name,
            cache_policy=NO_CACHE,
            persist_result=False,
        )

    return decorate


STEPS: dict[Callable[..., Any], Task[..., Any]] = {
    function: step(function.__name__.replace("_", " "))(function)
    for function in (
        settle_interrupted,
        extract,
        sweep_part,
        verify,
        reconcile,
        guard,
        approved,
        load,
        record,
        preview,
    )
}
"""The Prefect task for each function that is a step of a run (``flows/_run.py``)."""


def in_prefect(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a step as a Prefect task. ``function`` is one of :data:`STEPS`, or a task itself.

    Raises:
        LookupError: ``function`` is not a step.
    """
    if isinstance(function, Task):
        return function(*args)
    if function not in STEPS:
        raise LookupError(f"{function.__name__} is not among STEPS in {__name__}: add it there")
    return STEPS[function](*args)


def plainly(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a step as a plain function, without Prefect."""
    return function.fn(*args) if isinstance(function, Task) else function(*args)
