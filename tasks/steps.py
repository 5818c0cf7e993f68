"""What every step has in common: no caching, no stored results, no data in Prefect's database or
log."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE

from reconciliation.errors import Defect, HrsyncError

P = ParamSpec("P")
R = TypeVar("R")


def discreet(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, with an unforeseen exception replaced by one that holds no data.

    Our own errors hold no personal data; the message of a KeyError or of a database driver may.
    """

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except HrsyncError:
            raise
        except Exception as error:
            places = [
                f
                for f in traceback.extract_tb(error.__traceback__)
                if "site-packages" not in f.filename
            ]
            where = f"{places[-1].filename.rsplit('/', 1)[-1]}:{places[-1].lineno}"
            raise Defect(
                f"An unforeseen {type(error).__name__} at {where}",
                "The data engineer must look into it; nothing was lost, and the next run "
                "begins where this one did.",
            ) from None

    return called


def step(name: str, run_name: str | None = None) -> Callable[[Callable[P, R]], Task[P, R]]:
    """``@step("extract")``: a task whose arguments and result stay in this process. run_name: of
    one run of it, a template over the arguments; these must hold no data then."""

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        return task(
            discreet(function),
            name=name,
            task_run_name=run_name,
            cache_policy=NO_CACHE,
            persist_result=False,
        )

    return decorate
