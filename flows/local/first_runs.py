"""The first run of every flow, as its schedule would start it: through the worker, those that need
nothing of each other side by side."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from prefect.deployments import run_deployment

from .children import Children

LONGEST = 600
"""Seconds after which a first run is not waited for any more."""


@dataclass(frozen=True)
class First:
    """How the first run of a flow has ended."""

    state: str
    message: str
    completed: bool


def through_the_worker(
    names: Sequence[str], stopped: threading.Event, children: Children
) -> dict[str, First]:
    """Runs deployments side by side, and waits for them, ready to stop waiting.

    Raises:
        NotStarted: the server, the worker or another part has ended meanwhile.
    """
    found = dict.fromkeys(names, First("not finished", "", completed=False))

    def run(name: str) -> None:
        deployment = f"{name}/{name.replace('_', '-')}"
        # Prefect declares one function for both worlds: here it is the synchronous one.
        started: Any = run_deployment(
            deployment, timeout=LONGEST, poll_interval=0.5, as_subflow=False
        )
        state = started.state
        if state is not None:
            found[name] = First(state.name or "", state.message or "", state.is_completed())

    # A thread does not see this one's Prefect settings unless it gets them.
    threads = [
        threading.Thread(target=copy_context().run, args=(run, name), daemon=True) for name in names
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and not stopped.is_set():
        children.check()
        stopped.wait(0.2)
    return found
