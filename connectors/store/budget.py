"""Counts requests against an hourly budget that is shared by all runs that use the same store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from reconciliation.errors import StoreFailed

from . import schema as t
from .base import failing


@dataclass
class Batch:
    """Requests to one endpoint that were counted in the budget of one clock hour in advance."""

    hour: int
    """Number of the hour: seconds since 1970 divided by ``hour_seconds``."""
    left: int
    """Number of requests that were not made yet."""
    next_size: int
    """Number of requests in the next batch."""


class StoredBudget:
    """Implements :class:`connectors.transport.Budget`. Reserves requests in batches, and gives back
    unused ones.

    The first batch has one request, and each further one twice as many, up to ``MAX_BATCH``. If a
    run is killed, its unused requests stay counted: never more than it has made, and never more
    than ``MAX_BATCH`` per endpoint.
    """

    MAX_BATCH = 20
    """Maximum size of a batch. Each batch costs one write to the store."""

    def __init__(
        self,
        engine: sa.Engine,
        limit: int,
        hour_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine, self._limit, self._clock = engine, limit, clock
        self._hour_seconds = hour_seconds
        self._batches: dict[str, Batch] = {}
        self._lock = threading.Lock()

    def take(self, endpoint: str) -> float:
        """Returns 0 if a request may be made now, else the seconds until the hour is over.

        Raises:
            StoreFailed: the budget cannot be read or written.
        """
        with self._lock:
            moment = self._clock()
            hour = int(moment // self._hour_seconds)
            batch = self._batches.setdefault(endpoint, Batch(hour, left=0, next_size=1))
            if batch.hour != hour or batch.left == 0:
                self._reserve(endpoint, batch, hour)
            if batch.left == 0:
                return float((hour + 1) * self._hour_seconds - moment)
            batch.left -= 1
            return 0.0

    def close(self) -> None:
        """Gives back unused requests. The budget can still be used afterwards."""
        # If the store cannot be reached, these few requests are lost for the rest of the hour.
        # That is no reason for a finished run to fail.
        with self._lock, suppress(StoreFailed), failing(), self._engine.begin() as connection:
            # Sorted, so that two runs lock the rows in the same order and cannot deadlock.
            for endpoint, batch in sorted(self._batches.items()):
                self._give_back(connection, endpoint, batch)
            self._batches.clear()

    def _reserve(self, endpoint: str, batch: Batch, hour: int) -> None:
        """Gives back what is left of a batch, and makes it the next batch, in this hour."""
        b = t.budget.c
        this_hour = (b.endpoint == endpoint) & (b.hour == hour)
        sqlite_engine = self._engine.dialect.name == "sqlite"
        insert = sqlite.insert if sqlite_engine else postgresql.insert
        with failing(), self._engine.begin() as connection:
            self._give_back(connection, endpoint, batch)
            # Write first to take the lock, so that two runs cannot both see the same remainder.
            connection.execute(
                insert(t.budget)
                .values({"endpoint": endpoint, "hour": hour, "used": 0})
                .on_conflict_do_update(index_elements=["endpoint", "hour"], set_={"used": b.used})
            )
            used = connection.execute(sa.select(b.used).where(this_hour)).scalar_one()
            reserved = max(0, min(batch.next_size, self._limit - used))
            connection.execute(t.budget.update().where(this_hour).values(used=used + reserved))
        batch.hour, batch.left = hour, int(reserved)
        batch.next_size = min(self.MAX_BATCH, batch.next_size * 2)

    @staticmethod
    def _give_back(connection: sa.Connection, endpoint: str, batch: Batch) -> None:
        b = t.budget.c
        if batch.left:
            its_hour = (b.endpoint == endpoint) & (b.hour == batch.hour)
            connection.execute(t.budget.update().where(its_hour).values(used=b.used - batch.left))
