"""Reads records in quarantine again, with the filters of the run that put them there."""

from __future__ import annotations

from typing import Any

from prefect import State, flow

from reconciliation.processes import ProcessName

from ._process import run_flow
from ._run import Order
from .catalogue import PROCESSES
from .console.terminal import store


@flow(name="replay", flow_run_name="{process} (replay)", persist_result=False)
def replay(process: ProcessName, fingerprint: str | None) -> State[Any]:
    """Reads the records that hints name, with the filters and mapping of an earlier run.

    Args:
        process: name of the process.
        fingerprint: identifies these filters and this mapping. Empty: those of the latest run.
    """
    with store() as sync_store:
        spec = sync_store.scope(process, fingerprint)
    return run_flow(spec, Order(hinted=True), through=PROCESSES[process].through)
