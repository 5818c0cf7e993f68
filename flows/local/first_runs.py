"""Runs flows for the first time, as their schedules would: through the worker, in parallel."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from prefect.deployments import run_deployment

from .children import Children

LONGEST = 600
"""Maximum number of seconds to wait for a first run."""


@dataclass(frozen=True)
class First:
    """How the first run of a flow ended."""

    state: str
    message: str
    completed: bool


def through_the_worker(
    names: Sequence[str], stopped: threading.Event, children: Children
) -> dict[str, First]:
    """Runs the deployments of flows in parallel, and waits until all have ended or ``stopped`` is
    set.

    Returns:
        Name of a flow -> how its run ended.

    Raises:
        NotStarted: the server, the worker or another part has ended meanwhile.
    """
    results = dict.fromkeys(names, First("not finished", "", completed=False))

    def run(name: str) -> None:
        deployment = f"{name}/{name.replace('_', '-')}"
        # Prefect's type hints also allow the asynchronous form. Here it is the synchronous one.
        flow_run: Any = run_deployment(
            deployment, timeout=LONGEST, poll_interval=0.5, as_subflow=False
        )
        state = flow_run.state
        if state is not None:
            results[name] = First(state.name or "", state.message or "", state.is_completed())

    # A new thread has this one's Prefect settings only in a copy of the context.
    threads = [
        threading.Thread(target=copy_context().run, args=(run, name), daemon=True) for name in names
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and not stopped.is_set():
        children.check()
        stopped.wait(0.2)
    return results
