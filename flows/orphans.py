"""Flow runs whose process is gone: their state says that they are at work, and each still holds its deployment's only slot."""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter, WorkPoolFilterName
from prefect.client.schemas.objects import StateType
from prefect.states import Crashed

AT_WORK = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


def crash_orphans(pool: str) -> int:
    """Marks every run of the pool that is at work as Crashed, which gives its slot back. Call it while the pool has no worker.

    Prefect keeps the leases on slots in the server's memory by default. After a restart nothing else would ever free them.

    Returns:
        How many runs were marked.
    """
    of_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    at_work = FlowRunFilter.model_validate({"state": {"type": {"any_": AT_WORK}}})
    marked = 0
    with get_client(sync_client=True) as client:
        while runs := client.read_flow_runs(flow_run_filter=at_work, work_pool_filter=of_pool):
            for run in runs:
                message = "Its process was gone when the worker started. The next run goes on from what this one has stored."
                client.set_flow_run_state(run.id, Crashed(message=message), force=True)
            marked += len(runs)
    return marked
