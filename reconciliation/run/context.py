"""The objects that every step of a run gets: the two sides, the store and the time of the run."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from reconciliation.ask import Moment
from reconciliation.ports import Source, Store, Target
from reconciliation.spec import ProcessSpec

from .order import Order


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class World:
    """The two sides and the store of one run."""

    source: Source
    target: Target
    store: Store
    zone: str
    """The tenant's time zone; it decides which day it is."""
    clock: Callable[[], datetime] = _utc_now
    """Returns the current time in UTC."""


@dataclass(frozen=True)
class Run:
    """One run."""

    spec: ProcessSpec
    world: World
    order: Order
    now: datetime
    """When the run began (UTC)."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @classmethod
    def begin(cls, spec: ProcessSpec, world: World, order: Order) -> Run:
        """Begins a run now."""
        return cls(spec, world, order, world.clock())

    @property
    def source(self) -> Source:
        """The side that is read."""
        return self.world.source

    @property
    def target(self) -> Target:
        """The side that is written."""
        return self.world.target

    @property
    def store(self) -> Store:
        """The sync store."""
        return self.world.store

    @property
    def today(self) -> date:
        """The tenant's day on which the run began."""
        return self.now.astimezone(ZoneInfo(self.world.zone)).date()

    @property
    def moment(self) -> Moment:
        """The day in the tenant's zone and the instant at which the run began."""
        return Moment(self.today, self.now)

    @property
    def preview(self) -> bool:
        """Whether the run only shows what it would write."""
        return self.order.mode == "plan"
