"""Makes the deployments of prefect.yaml, as ``prefect deploy --all`` does, but in this process: it
has imported Prefect and the flows already."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Literal

import yaml
from prefect import Flow
from prefect.events import DeploymentEventTrigger
from prefect.schedules import Cron
from prefect.types.entrypoint import EntrypointType
from pydantic import BaseModel, ConfigDict, ValidationError

from reconciliation.errors import Misconfigured
from reconciliation.validation import fault_of

FILE = Path(__file__).resolve().parents[2] / "prefect.yaml"


class _Part(BaseModel):
    """A part of the file. A key that is not known is an error, because it would have no effect."""

    model_config = ConfigDict(extra="forbid")


class _WorkPool(_Part):
    name: str
    job_variables: dict[str, Any] = {}


class _Schedule(_Part):
    slug: str
    cron: str
    timezone: str
    parameters: dict[str, Any] = {}


class _Trigger(_Part):
    name: str
    type: Literal["event"]
    match: dict[str, str]
    expect: set[str]
    parameters: dict[str, Any] = {}


class _Deployment(_Part):
    name: str
    description: str | None = None
    entrypoint: str
    tags: list[str] = []
    parameters: dict[str, Any] = {}
    work_pool: _WorkPool
    concurrency_limit: int | None = None
    schedules: list[_Schedule] = []
    triggers: list[_Trigger] = []


class _File(BaseModel):
    """prefect.yaml. Its other keys are for Prefect's own command."""

    deployments: list[_Deployment]


def deploy(file: Path = FILE) -> None:
    """Creates or updates every deployment of the file in the Prefect server.

    Raises:
        Misconfigured: the file has a key or a value that is not known.
    """
    try:
        found = _File.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise Misconfigured(
            f"{file} is invalid: {place} {fault_of(first)}",
            "Correct it, or deploy to a Prefect of your own with 'prefect deploy --all'.",
        ) from None
    for deployment in found.deployments:
        _deploy(deployment)


def _deploy(deployment: _Deployment) -> None:
    flow: Flow[..., Any] = resolve_name(deployment.entrypoint)
    made: Any = flow.to_deployment(
        name=deployment.name,
        description=deployment.description,
        tags=deployment.tags,
        parameters=deployment.parameters,
        work_pool_name=deployment.work_pool.name,
        job_variables=deployment.work_pool.job_variables,
        concurrency_limit=deployment.concurrency_limit,
        schedules=[
            Cron(each.cron, **each.model_dump(exclude={"cron"})) for each in deployment.schedules
        ],
        triggers=[
            DeploymentEventTrigger(**each.model_dump(exclude={"type"}))
            for each in deployment.triggers
        ],
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    made.apply()
