"""Ends flow runs whose process no longer exists: sets them to Crashed in Prefect.

Otherwise Prefect would show them as running forever, and each could hold the only concurrency slot
of its deployment.
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


def end_runs_of_worker(pool: str) -> int:
    """Ends the pending, running and cancelling runs of a work pool. Call it while the pool has no
    worker.

    If a worker is killed, Prefect itself does not end its runs.

    Returns:
        The number of runs that were ended.
    """
    pool_filter = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    return _end(FlowRunFilter.model_validate({"state": AT_WORK}), pool_filter)


def end_runs_of_commands() -> int:
    """Ends the pending, running and cancelling runs that belong to no deployment: those of commands
    such as ``hrsync run``. Call it right after Prefect's server has started, because these commands
    end with the server.

    Returns:
        The number of runs that were ended.
    """
    without_deployment = {"state": AT_WORK, "deployment_id": {"is_null_": True}}
    return _end(FlowRunFilter.model_validate(without_deployment), None)


def _end(run_filter: FlowRunFilter, pool_filter: WorkPoolFilter | None) -> int:
    marked = 0
    with get_client(sync_client=True) as client:
        while runs := client.read_flow_runs(
            flow_run_filter=run_filter, work_pool_filter=pool_filter
        ):
            for run in runs:
                client.set_flow_run_state(run.id, Crashed(message=MESSAGE), force=True)
            marked += len(runs)
    return marked
