"""The request budget that all runs on one store share."""

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
class Held:
    """Requests of one endpoint that were drawn from an hour and not made yet."""

    hour: int
    left: int
    share: int
    """How many the next draw takes."""


class StoredBudget:
    """Implements :class:`connectors.transport.Budget`. Draws requests from the store a few at a
    time, and gives back the rest.

    The first draw is of one request and each further one of twice as many, up to ``SHARE``: a run
    that is killed before it gives back loses no more than it has used, and never more than one
    share per endpoint.
    """

    SHARE = 20
    """Maximum number of requests drawn at once: one write to the store for all of them."""

    def __init__(
        self,
        engine: sa.Engine,
        limit: int,
        hour_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._engine, self._limit, self._hour, self._clock = engine, limit, hour_seconds, clock
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()

    def take(self, endpoint: str) -> float:
        """0 if a request may be made now, else the seconds until the hour is over.

        Raises:
            StoreFailed: the budget cannot be read or written.
        """
        with self._lock:
            moment = self._clock()
            hour = int(moment // self._hour)
            held = self._held.setdefault(endpoint, Held(hour, 0, 1))
            if held.hour != hour or held.left == 0:
                self._draw(endpoint, held, hour)
            if held.left == 0:
                return float((hour + 1) * self._hour - moment)
            held.left -= 1
            return 0.0

    def close(self) -> None:
        """Gives back what was drawn and not used. A budget that is used again after this draws
        again."""
        # A store that is away keeps these few requests until the hour is over: no reason for a
        # finished run to fail.
        with self._lock, suppress(StoreFailed), failing(), self._engine.begin() as connection:
            for endpoint, held in self._held.items():
                self._give_back(connection, endpoint, held)
            self._held.clear()

    def _draw(self, endpoint: str, held: Held, hour: int) -> None:
        b = t.budget.c
        mine = (b.endpoint == endpoint) & (b.hour == hour)
        with failing(), self._engine.begin() as connection:
            self._give_back(connection, endpoint, held)
            # Writing first takes the lock, so that two runs cannot both see the same remainder.
            row = {"endpoint": endpoint, "hour": hour, "used": 0}
            insert = (
                sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert
            )(t.budget).values(row)
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=["endpoint", "hour"], set_={"used": b.used}
                )
            )
            used = connection.execute(sa.select(b.used).where(mine)).scalar_one()
            drawn = max(0, min(held.share, self._limit - used))
            connection.execute(t.budget.update().where(mine).values(used=used + drawn))
        held.hour, held.left, held.share = hour, int(drawn), min(self.SHARE, held.share * 2)

    @staticmethod
    def _give_back(connection: sa.Connection, endpoint: str, held: Held) -> None:
        b = t.budget.c
        if held.left:
            mine = (b.endpoint == endpoint) & (b.hour == held.hour)
            connection.execute(t.budget.update().where(mine).values(used=b.used - held.left))
