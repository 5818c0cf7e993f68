"""Marks flow runs whose process no longer exists as Crashed.

Prefect still shows them as running, and each may hold its deployment's only concurrency slot.
"""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter, WorkPoolFilterName
from prefect.client.schemas.objects import StateType
from prefect.states import Crashed

AT_WORK = {"type": {"any_": [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]}}
"""Prefect's filter for the states of runs that have a process."""
MESSAGE = (
    "The process of this run no longer existed when hrsync started again. The next run picks up "
    "where it left off."
)


def crash_orphans(pool: str) -> int:
    """Marks every unfinished run of the work pool as Crashed, which frees its slot. Call it while
    the pool has no worker.

    After its worker was killed, nothing else would end these runs in Prefect.

    Returns:
        The number of runs marked.
    """
    of_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    return _crash(FlowRunFilter.model_validate({"state": AT_WORK}), of_pool)


def crash_abandoned() -> int:
    """Marks every unfinished run that a command started, without a deployment, as Crashed. Call it
    right after the start of the server.

    Returns:
        The number of runs marked.
    """
    return _crash(
        FlowRunFilter.model_validate({"state": AT_WORK, "deployment_id": {"is_null_": True}}), None
    )


def _crash(at_work: FlowRunFilter, of_pool: WorkPoolFilter | None) -> int:
    marked = 0
    with get_client(sync_client=True) as client:
        while runs := client.read_flow_runs(flow_run_filter=at_work, work_pool_filter=of_pool):
            for run in runs:
                client.set_flow_run_state(run.id, Crashed(message=MESSAGE), force=True)
            marked += len(runs)
    return marked
