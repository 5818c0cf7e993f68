"""Counts requests against an hourly budget, which all runs that use the same store share."""

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
class Reserve:
    """Requests to one endpoint that were reserved from the budget of one hour and not made yet."""

    hour: int
    """Number of the hour since 1970."""
    left: int
    """Number of requests that are left."""
    share: int
    """Number of requests that the next draw reserves."""


class StoredBudget:
    """Implements :class:`connectors.transport.Budget`. Reserves several requests at a time in the
    store, and gives back unused ones.

    The first draw reserves one request, and each further one twice as many, up to ``SHARE``. If a
    run is killed, its unused requests stay counted: never more than it has made, and never more
    than ``SHARE`` per endpoint.
    """

    SHARE = 20
    """Maximum number of requests in one draw. Each draw costs one write to the store."""

    def __init__(
        self,
        engine: sa.Engine,
        limit: int,
        hour_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine, self._limit, self._hour, self._clock = engine, limit, hour_seconds, clock
        self._reserves: dict[str, Reserve] = {}
        self._lock = threading.Lock()

    def take(self, endpoint: str) -> float:
        """Returns 0 if a request may be made now, else the seconds until the hour is over.

        Raises:
            StoreFailed: the budget cannot be read or written.
        """
        with self._lock:
            moment = self._clock()
            hour = int(moment // self._hour)
            reserve = self._reserves.setdefault(endpoint, Reserve(hour, 0, 1))
            if reserve.hour != hour or reserve.left == 0:
                self._draw(endpoint, reserve, hour)
            if reserve.left == 0:
                return float((hour + 1) * self._hour - moment)
            reserve.left -= 1
            return 0.0

    def close(self) -> None:
        """Gives back unused requests. The budget can still be used afterwards."""
        # If the store cannot be reached, these few requests are lost for the rest of the hour.
        # That is no reason for a finished run to fail.
        with self._lock, suppress(StoreFailed), failing(), self._engine.begin() as connection:
            # In one order, so that two runs that end together do not wait for each other.
            for endpoint, reserve in sorted(self._reserves.items()):
                self._give_back(connection, endpoint, reserve)
            self._reserves.clear()

    def _draw(self, endpoint: str, reserve: Reserve, hour: int) -> None:
        """Gives back what is left, and reserves requests for this hour."""
        b = t.budget.c
        this_hour = (b.endpoint == endpoint) & (b.hour == hour)
        with failing(), self._engine.begin() as connection:
            self._give_back(connection, endpoint, reserve)
            # Write first to take the lock, so that two runs cannot both see the same remainder.
            row = {"endpoint": endpoint, "hour": hour, "used": 0}
            insert = (
                sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
            )(t.budget).values(row)
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=["endpoint", "hour"], set_={"used": b.used}
                )
            )
            used = connection.execute(sa.select(b.used).where(this_hour)).scalar_one()
            drawn = max(0, min(reserve.share, self._limit - used))
            connection.execute(t.budget.update().where(this_hour).values(used=used + drawn))
        reserve.hour, reserve.left = hour, int(drawn)
        reserve.share = min(self.SHARE, reserve.share * 2)

    @staticmethod
    def _give_back(connection: sa.Connection, endpoint: str, reserve: Reserve) -> None:
        b = t.budget.c
        if reserve.left:
            its_hour = (b.endpoint == endpoint) & (b.hour == reserve.hour)
            connection.execute(t.budget.update().where(its_hour).values(used=b.used - reserve.left))
