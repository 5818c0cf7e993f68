"""Flow runs whose process is gone: their state says that they are at work, and each may still hold
its deployment's only slot."""

from __future__ import annotations

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, WorkPoolFilter, WorkPoolFilterName
from prefect.client.schemas.objects import StateType
from prefect.states import Crashed

AT_WORK = {"type": {"any_": [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]}}
MESSAGE = (
    "Its process was gone when hrsync started again. The next run goes on from what this "
    "one has stored."
)


def crash_orphans(pool: str) -> int:
    """Marks every run of the pool that is at work as Crashed, which gives its slot back. Call it
    while the pool has no worker.

    The worker was killed: nothing else would ever say that its runs are gone.

    Returns:
        The number of runs that were marked.
    """
    of_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
    return _crash(FlowRunFilter.model_validate({"state": AT_WORK}), of_pool)


def crash_abandoned() -> int:
    """Marks every run that a command had started, and not a deployment, as Crashed. Call it when
    the server has just started.

    Returns:
        The number of runs that were marked.
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
