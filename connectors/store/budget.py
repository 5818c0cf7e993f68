"""The request budget that all runs on one store share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from . import schema as t
from .base import failing


class StoredBudget:
    """Implements :class:`connectors.transport.Budget`. Takes requests from the store a few at a time."""

    SHARE = 20
    """Requests taken at once: one write to the store for so many requests."""

    def __init__(self, engine: sa.Engine, limit: int, hour_seconds: float, clock: Callable[[], float] = time.time) -> None:
        self._engine, self._limit, self._hour, self._clock = engine, limit, hour_seconds, clock
        self._held: dict[str, tuple[int, int]] = {}
        self._lock = threading.Lock()

    def take(self, endpoint: str) -> float:
        """0 if a request may be made now, else the seconds until the hour is over."""
        with self._lock:
            moment = self._clock()
            hour = int(moment // self._hour)
            held_hour, held = self._held.get(endpoint, (hour, 0))
            if held_hour != hour or held == 0:
                held = self._draw(endpoint, hour)
            if held == 0:
                return float((hour + 1) * self._hour - moment)
            self._held[endpoint] = (hour, held - 1)
            return 0.0

    def _draw(self, endpoint: str, hour: int) -> int:
        b = t.budget.c
        mine = (b.endpoint == endpoint) & (b.hour == hour)
        with failing(), self._engine.begin() as connection:
            # Writing first takes the lock, so that two runs cannot both see the same remainder.
            row = {"endpoint": endpoint, "hour": hour, "used": 0}
            insert = (sqlite.insert if self._engine.dialect.name == "sqlite" else postgresql.insert)(t.budget).values(row)
            connection.execute(insert.on_conflict_do_update(index_elements=["endpoint", "hour"], set_={"used": b.used}))
            used = connection.execute(sa.select(b.used).where(mine)).scalar_one()
            share = max(0, min(self.SHARE, self._limit - used))
            connection.execute(t.budget.update().where(mine).values(used=used + share))
            return int(share)
