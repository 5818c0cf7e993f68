"""From hints to runs: when hints have been gathered, one event in Prefect starts the flow that
hears them.

The event names the flow and says how many records wait, nothing else: which ones is personal data
and stays in the store.
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
"""Seconds between two looks at what waits."""
PAUSE = 5.0
"""Seconds after Prefect, or the store, could not be reached."""
TALLY_SECONDS = 10.0
"""Seconds between two times that the store is told of refusals: however many, they are a few rows a
day."""
log = logging.getLogger("hrsync.announce")
Tell = Callable[[str, int], Awaitable[None]]


async def tell(flow: str, records: int) -> None:
    """Sends the event that starts a flow; returns when Prefect has it.

    Raises:
        Exception: Prefect cannot be reached, for one of many reasons.
    """
    resource = Resource(
        {"prefect.resource.id": f"hrsync.flow.{flow}", "prefect.resource.name": flow}
    )
    event = Event(event=CHANGED, resource=resource, payload={"records": records}, id=uuid4())
    with anyio.fail_after(10):
        async with get_events_client(reconnection_attempts=0, checkpoint_every=1) as client:
            await client.emit(event)


class Announcer:
    """Looks what waits, and tells Prefect when it is due. flow_of: process -> flow."""

    def __init__(
        self,
        store: SyncStore,
        metrics: Metrics,
        flow_of: Mapping[str, str],
        pace: Pace,
        tell: Tell = tell,
    ) -> None:
        self.store, self.metrics, self.flow_of, self.pace, self.tell = (
            store,
            metrics,
            flow_of,
            pace,
            tell,
        )
        self._seen, self._tell_tally = datetime.now(UTC), 0.0

    async def run(self) -> None:
        """For ever. What cannot be reached is tried again; nothing is lost meanwhile, for hints
        stay in the store."""
        failing = False
        while True:
            try:
                await self.look()
                failing = False
            except Exception as error:  # Prefect's client raises whatever its many layers do
                if not failing:
                    log.warning(
                        "hints wait until Prefect and the store can be reached (%s)",
                        type(error).__name__,
                    )
                failing = True
                await anyio.sleep(PAUSE)
            await anyio.sleep(STEP)

    async def look(self) -> None:
        """Once: tells of what is due, and takes in how long what has been loaded has taken."""
        waiting = await run_sync(self.store.waiting_hints)
        flows: dict[str, Waiting] = {}
        for process, waits in waiting.items():
            if process in self.flow_of:
                name = self.flow_of[process]
                flows[name] = flows.get(name, Waiting()) + waits
        self.metrics.waits({process: w.fresh + w.sent for process, w in waiting.items()})
        for name in due(flows, datetime.now(UTC), self.pace):
            processes = [process for process in waiting if self.flow_of.get(process) == name]
            await self.tell(name, flows[name].fresh + flows[name].sent)
            await run_sync(self.store.announce, processes, datetime.now(UTC))
            self.metrics.announced.labels(name).inc()
        found = await run_sync(self.store.lags, self._seen)
        if found:
            self._seen = found[-1][2]
            self.metrics.loaded(found)
        if self.metrics.tally and time.monotonic() >= self._tell_tally:
            tally, self.metrics.tally = self.metrics.tally, Tally()
            await run_sync(self.store.refuse, tally, datetime.now(UTC))
            self._tell_tally = time.monotonic() + TALLY_SECONDS


def pace(window: float, burst: int, longest: float) -> Pace:
    """From settings, in seconds."""
    return Pace(timedelta(seconds=window), burst, timedelta(seconds=longest))
