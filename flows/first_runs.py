"""The first runs of the quick start in one process: a process for each, as the worker has it, costs seconds of start alone.

They are runs of the deployments like any other, and appear as such in Prefect.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from prefect import State
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from prefect.states import Pending

from .catalogue import FLOWS, WAVES


def first_run(name: str) -> State[Any]:
    """One run of a deployment, in this process. Pending, not scheduled: the worker must not take it."""
    with get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(f"{name}/{name.replace('_', '-')}")
        created = client.create_flow_run_from_deployment(deployment.id, state=Pending())
    state: State[Any] = run_flow(FLOWS[name], flow_run=created, return_type="state")
    return state


def main(waves: Sequence[Sequence[str]]) -> None:
    """Runs the flows wave by wave; a line of JSON (flow, state, message) as each ends."""

    def run(name: str) -> None:
        state = first_run(name)
        sys.stdout.write(json.dumps({"flow": name, "state": state.name, "message": state.message}) + "\n")
        sys.stdout.flush()

    for names in waves:
        with ThreadPoolExecutor(len(names)) as pool:
            list(pool.map(run, names))


if __name__ == "__main__":
    main(WAVES[1:])
