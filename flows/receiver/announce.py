"""Starts runs for hints: once hints are due, one Prefect event starts the flow that reads them.

The event holds only the name of the flow and the number of hints. The records' keys are personal
data and stay in the store.
"""

from __future__ import annotations

import logging
import time
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import anyio
from anyio.to_thread import run_sync
from prefect.events import Event, Resource
from prefect.events.clients import get_events_client

from connectors.store.sql import SyncStore
from reconciliation.hints import Pace, Waiting, due

from .metrics import Metrics

CHANGED = "hrsync.records.changed"
"""The event that the triggers of prefect.yaml wait for."""
STEP = 0.5
"""Seconds between two checks for waiting hints."""
PAUSE = 5.0
"""Additional pause in seconds when Prefect or the store cannot be reached."""
TALLY_SECONDS = 10.0
"""Seconds between two writes of the refusal counts to the store. It keeps one row per day and
reason."""
log = logging.getLogger("hrsync.announce")
Tell = Callable[[str, int], Awaitable[None]]
"""Starts a flow. Arguments: the name of the flow, and the number of hints that wait."""


async def tell(flow: str, records: int) -> None:
    """Sends the event that starts a flow. Returns once Prefect has received it.

    Raises:
        Exception: Prefect cannot be reached. Its client raises errors of many types.
    """
    resource = Resource(
        {"prefect.resource.id": f"hrsync.flow.{flow}", "prefect.resource.name": flow}
    )
    event = Event(event=CHANGED, resource=resource, payload={"records": records}, id=uuid4())
    with anyio.fail_after(10):
        async with get_events_client(reconnection_attempts=0, checkpoint_every=1) as client:
            await client.emit(event)


class Announcer:
    """Checks which hints wait, and starts their flows when they are due.

    ``flow_of``: process -> name of the flow that runs it.
    """

    def __init__(
        self,
        store: SyncStore,
        metrics: Metrics,
        flow_of: Mapping[str, str],
        pace: Pace,
        tell: Tell = tell,
    ) -> None:
        self.store, self.metrics = store, metrics
        self.flow_of, self.pace, self.tell = flow_of, pace, tell
        self._measured_until = datetime.now(UTC)
        """Hints that were processed up to this moment are in the metrics."""
        self._next_tally = 0.0
        """When the refusal counts are written next (``time.monotonic``)."""

    async def run(self) -> None:
        """Checks without end. An attempt that fails is repeated; no hint is lost, because hints
        stay in the store until a run has processed them."""
        failing = False
        while True:
            try:
                await self.look()
                failing = False
            except Exception as error:  # Prefect's client raises errors of many types
                if not failing:
                    log.warning(
                        "hints wait until Prefect and the store can be reached (%s)",
                        type(error).__name__,
                    )
                failing = True
                await anyio.sleep(PAUSE)
            await anyio.sleep(STEP)

    async def look(self) -> None:
        """Checks once: starts the flows that are due, and updates the metrics."""
        waiting = await run_sync(self.store.waiting_hints)
        flows: dict[str, Waiting] = {}
        for process, hints in waiting.items():
            if process in self.flow_of:
                name = self.flow_of[process]
                flows[name] = flows.get(name, Waiting()) + hints
        self.metrics.waits({process: w.fresh + w.sent for process, w in waiting.items()})
        for name in due(flows, datetime.now(UTC), self.pace):
            processes = [process for process in waiting if self.flow_of.get(process) == name]
            await self.tell(name, flows[name].fresh + flows[name].sent)
            await run_sync(self.store.announce, processes, datetime.now(UTC))
            self.metrics.announced.labels(name).inc()
        lags = await run_sync(self.store.lags, self._measured_until)
        if lags:
            _process, _received, self._measured_until = lags[-1]
            self.metrics.loaded(lags)
        if self.metrics.tally and time.monotonic() >= self._next_tally:
            tally, self.metrics.tally = self.metrics.tally, Tally()
            await run_sync(self.store.refuse, tally, datetime.now(UTC))
            self._next_tally = time.monotonic() + TALLY_SECONDS


def pace(window: float, burst: int, longest: float) -> Pace:
    """Builds the pace from settings. ``window`` and ``longest`` are in seconds; ``burst`` is a
    number of hints."""
    return Pace(timedelta(seconds=window), burst, timedelta(seconds=longest))
