"""Records of the quarantine are read again, by the process that has put them there: with its
filters, and nothing else."""

from __future__ import annotations

from typing import Any

from prefect import State, flow

from ._process import run_flow
from ._run import Order
from .catalogue import PROCESSES
from .terminal import store


@flow(name="replay", flow_run_name="replay {process}", persist_result=False)
def replay(process: str, fingerprint: str | None) -> State[Any]:
    """Reads the records that hints name, as the process read them that is known by ``fingerprint``.

    Args:
        process: name of the process.
        fingerprint: of its filters and mapping; none: those of its latest run.
    """
    with store() as opened:
        spec = opened.scope(process, fingerprint)
    return run_flow(spec, Order(hinted=True), through=PROCESSES[process].through)
