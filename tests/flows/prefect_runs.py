"""Runs as Prefect starts them, and the artifacts that they leave."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.sorting import ArtifactSort, FlowRunSort
from prefect.context import TagsContext
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.states import Pending, Scheduled

from flows import users_to_hr
from flows.catalogue import FLOWS


def run(name: str, **parameters: Any) -> State[Any]:
    state: State[Any] = FLOWS[name](**parameters, return_state=True)
    assert state.is_completed(), (name, state.message)
    return state


def _of_this_test() -> FlowRunFilter:
    tags = sorted(TagsContext.get().current_tags)
    assert tags, "the fixture 'configured' tags the runs of a test"
    return FlowRunFilter(tags=FlowRunFilterTags(all_=tags))


def artifacts() -> dict[str, Any]:
    """Key -> data of the latest artifact with this key that a run of this test has made."""
    with get_client(sync_client=True) as client:
        latest = client.read_artifacts(
            limit=200, sort=ArtifactSort.CREATED_DESC, flow_run_filter=_of_this_test()
        )
        return {str(a.key): a.data for a in reversed(latest)}


def newest_run() -> FlowRun:
    """The run of this test that has begun last."""
    with get_client(sync_client=True) as client:
        (found,) = client.read_flow_runs(
            limit=1, sort=FlowRunSort.START_TIME_DESC, flow_run_filter=_of_this_test()
        )
        return found


FLOW = users_to_hr.users_to_hr


def begin(
    client: SyncPrefectClient,
    flow: Flow[..., Any] = FLOW,
    *,
    scheduled: datetime | None = None,
    **parameters: Any,
) -> UUID:
    """A run of the flow's deployment, as a worker gets it."""
    deployment = client.create_deployment(
        client.create_flow(flow), name=flow.name.replace("_", "-")
    )
    run = client.create_flow_run_from_deployment(
        deployment,
        parameters=parameters,
        state=Scheduled(scheduled_time=scheduled),
        tags=TagsContext.get().current_tags,
    )
    return run.id


def work(client: SyncPrefectClient, run: UUID, flow: Flow[..., Any] = FLOW) -> State[Any]:
    """Does what a worker does with a run that is due; returns the state it ends in."""
    client.set_flow_run_state(run, Pending())
    found = client.read_flow_run(run)
    with suppress(Pause):
        run_flow(
            flow,
            flow_run=found,
            parameters=flow.validate_parameters(found.parameters),
            return_type="state",
        )
    state = client.read_flow_run(run).state
    assert state is not None
    return state


def form(client: SyncPrefectClient, run: UUID) -> tuple[dict[str, Any], str]:
    """The schema of the form and the text above it."""
    keys = client.read_flow_run(run).state.state_details.run_input_keyset  # type: ignore[union-attr]
    assert keys
    found = [
        client.request(
            "GET", "/flow_runs/{id}/input/{key}", path_params={"id": run, "key": keys[part]}
        ).json()
        for part in ("schema", "description")
    ]
    return orjson.loads(found[0]) if isinstance(found[0], str) else found[0], str(found[1])
