"""Writes deliveries to the store, and says in time that it could not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import anyio
from anyio.to_thread import run_sync

from connectors.store.sql import SyncStore
from connectors.webhooks import Arrival
from reconciliation.errors import StoreFailed

PATIENCE = 1.5
"""Seconds that an arrival waits for the store."""
ABANDON = 30.0
"""Seconds after which a transaction is no longer waited for: the connection is dead, and another
one may not be."""
log = logging.getLogger("hrsync.receiver")


class Journal:
    """Writes arrivals to the store, all that wait in one transaction, before any of them is
    acknowledged."""

    def __init__(
        self, store: SyncStore, concerned: Mapping[tuple[str, str], Sequence[str]]
    ) -> None:
        self._store, self._concerned = store, concerned
        self._waiting: dict[asyncio.Future[bool], Arrival] = {}
        self._came = asyncio.Event()
        self._began: float | None = None
        """When the transaction under way has begun."""

    async def write(self, arrival: Arrival) -> bool:
        """Returns when it is written down: whether it is new.

        Raises:
            StoreFailed: it is not, or not in time. A transaction that is under way may still write
                it: then the sender's next attempt is a duplicate.
        """
        if self._stuck():
            raise _late()
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[done] = arrival
        self._came.set()
        try:
            await asyncio.wait([done], timeout=PATIENCE)
            if done.done():
                return done.result()
        finally:
            # Nobody waits for it any more: if its transaction has not begun, it is not written.
            self._waiting.pop(done, None)
            done.cancel()
        raise _late()

    def _stuck(self) -> bool:
        """Whether the transaction under way has lasted for too long; what comes meanwhile need not
        wait to be told."""
        return (
            self._began is not None and asyncio.get_running_loop().time() - self._began > PATIENCE
        )

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._came.wait()
            self._came.clear()
            batch, self._waiting = self._waiting, {}
            if batch:
                await self._write(batch)

    async def _write(self, batch: Mapping[asyncio.Future[bool], Arrival]) -> None:
        self._began = asyncio.get_running_loop().time()
        warning = asyncio.get_running_loop().call_later(
            PATIENCE, log.warning, "the store does not answer; deliveries are refused"
        )
        try:
            with anyio.fail_after(ABANDON):
                arrivals = list(batch.values())
                new = await run_sync(
                    self._store.accept,
                    arrivals,
                    self._concerned,
                    datetime.now(UTC),
                    abandon_on_cancel=True,
                )
        except Exception as error:
            # Whatever it is: none of them is acknowledged, and the next ones may fare better.
            failed = (
                error
                if isinstance(error, StoreFailed)
                else StoreFailed(f"An unforeseen {type(error).__name__}", "")
            )
            log.warning("deliveries could not be written down: %s", failed.what)
            for done in _awaited(batch):
                done.set_exception(failed)
        else:
            answers = dict(zip(batch, new, strict=True))
            for done in _awaited(batch):
                done.set_result(answers[done])
        finally:
            warning.cancel()
            self._began = None


def _awaited(batch: Mapping[asyncio.Future[bool], Arrival]) -> list[asyncio.Future[bool]]:
    """Those whose caller has not gone away meanwhile."""
    return [done for done in batch if not done.done()]


def _late() -> StoreFailed:
    return StoreFailed(
        f"The sync store has not answered for {PATIENCE} seconds",
        "Find out which program has an open transaction there and end it.",
    )
