"""A Prefect worker that starts runs fast: it forks a process for each run from one that has already
imported everything.

Without it, a run spends about two seconds of CPU on imports and then works for half a second. The
worker reads code, mappings and the environment only once. Restart it after a change.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import forkserver
from typing import Self

import anyio
import anyio.abc
from anyio.to_thread import run_sync
from prefect.client.schemas.objects import FlowRun
from prefect.context import refresh_global_settings_context
from prefect.exceptions import InfrastructureNotFound
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult

from .children import end_with_parent

WARM = ["flows.local.warm"]
"""The modules to import before the first run."""


class WarmResult(BaseWorkerResult):
    """How the process of a run ended."""


class WarmWorker(BaseWorker[BaseJobConfiguration, BaseVariables, WarmResult]):
    """Executes flow runs in forked processes on this machine."""

    type = "hrsync"
    job_configuration = BaseJobConfiguration
    job_configuration_variables = BaseVariables
    _display_name = "hrsync"
    _description = (
        "Executes flow runs in processes on this machine that start warm: hrsync is "
        "imported once, by the worker."
    )

    async def __aenter__(self) -> Self:
        self._forks = multiprocessing.get_context("forkserver")
        self._forks.set_forkserver_preload(WARM)
        await run_sync(forkserver.ensure_running)
        return await super().__aenter__()

    async def run(
        self,
        flow_run: FlowRun,
        configuration: BaseJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> WarmResult:
        """Executes one run in a new process and a temporary folder."""
        environment = {
            **os.environ,
            **{name: value for name, value in configuration.env.items() if value is not None},
        }
        with tempfile.TemporaryDirectory(prefix="hrsync-run-") as folder:
            process = self._forks.Process(
                target=engine, args=(environment, folder), name=flow_run.name
            )
            await run_sync(process.start)
            if task_status is not None:
                task_status.started(process.pid or 0)
            await run_sync(process.join, abandon_on_cancel=True)
        return WarmResult(
            identifier=str(process.pid),
            status_code=process.exitcode if process.exitcode is not None else 1,
        )

    async def kill_infrastructure(
        self, infrastructure_pid: str, configuration: BaseJobConfiguration, grace_seconds: int = 30
    ) -> None:
        """Ends the process of a run: SIGTERM, then SIGKILL after ``grace_seconds``.

        Raises:
            InfrastructureNotFound: the process no longer exists.
        """
        pid = int(infrastructure_pid)
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            raise InfrastructureNotFound(f"Process {pid} does not exist") from None
        with suppress(ProcessLookupError):
            with anyio.move_on_after(grace_seconds):
                while True:
                    await anyio.sleep(0.2)
                    # Fails once the process has ended.
                    os.kill(pid, 0)
            os.kill(pid, signal.SIGKILL)


def engine(environment: Mapping[str, str], folder: str) -> None:
    """Turns this process into Prefect's engine for the run that the environment names."""
    end_with_parent()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["prefect.engine"]
    refresh_global_settings_context()
    # It was imported with the rest. Now it runs as the main module.
    sys.modules.pop("prefect.engine", None)
    runpy.run_module("prefect.engine", run_name="__main__", alter_sys=True)
