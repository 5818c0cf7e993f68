"""Saves deliveries in the store, and reports a failure while the sender still waits."""

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
"""Maximum number of seconds that a delivery waits for the store."""
ABANDON = 30.0
"""Seconds after which a transaction is abandoned. Its connection counts as dead; the next
transaction uses another one."""
log = logging.getLogger("hrsync.receiver")


class Journal:
    """Saves arrivals before they are acknowledged. All that wait at a time go into one
    transaction.

    ``concerned``: (subscription, feed) -> the processes that a changed record concerns.
    """

    def __init__(
        self, store: SyncStore, concerned: Mapping[tuple[str, str], Sequence[str]]
    ) -> None:
        self._store, self._concerned = store, concerned
        self._waiting: dict[asyncio.Future[bool], Arrival] = {}
        """The result that a caller waits for -> the arrival."""
        self._arrived = asyncio.Event()
        self._began: float | None = None
        """When the current transaction began, in seconds of the event loop's clock."""

    async def write(self, arrival: Arrival) -> bool:
        """Saves an arrival. Returns whether it is new, as opposed to a duplicate.

        Raises:
            StoreFailed: it could not be saved in time. The current transaction may still save it;
                then the sender's next attempt is a duplicate.
        """
        if self._stuck():
            raise _late()
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[done] = arrival
        self._arrived.set()
        try:
            await asyncio.wait([done], timeout=PATIENCE)
            if done.done():
                return done.result()
        finally:
            # The caller no longer waits. Unless its transaction has begun, it is not saved.
            self._waiting.pop(done, None)
            done.cancel()
        raise _late()

    def _stuck(self) -> bool:
        """Returns whether the current transaction takes too long. New arrivals then fail at
        once."""
        return (
            self._began is not None and asyncio.get_running_loop().time() - self._began > PATIENCE
        )

    async def run(self) -> None:
        """Saves arrivals without end."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
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
            # Any error refuses only the arrivals of this transaction. The next one is tried.
            failed = (
                error
                if isinstance(error, StoreFailed)
                else StoreFailed(f"An unforeseen {type(error).__name__}", "")
            )
            log.warning("deliveries could not be saved: %s", failed.what)
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
    """Returns the results whose caller still waits."""
    return [done for done in batch if not done.done()]


def _late() -> StoreFailed:
    return StoreFailed(
        f"The sync store has not answered for {PATIENCE} seconds",
        "Find the program that has an open transaction there, and end it.",
    )
