"""A run that ends as a killed process does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flows._run import Order, plainly, run_process
from reconciliation.capabilities import narrowed
from reconciliation.spec import ProcessSpec

from .sides import Side
from .worlds import Deaths, Killed, Mortal

SWEEP = Order(sweep=True)


def stops(side: Side, spec: ProcessSpec, order: Order, place: int | None = None) -> None:
    """A run that ends, as a killed process does, at the ``place``-th call, or else when its first
    batch has been written. An error if it ends before that."""
    spec = narrowed(spec, side.target.capabilities)
    world = side.world(spec)
    if place is None:
        apply = world.target.apply

        def dies(entity: str, changes: Any) -> Any:
            apply(entity, changes)
            raise Killed("after apply")

        world.target.apply = dies  # type: ignore[method-assign]
    else:
        deaths = Deaths(place)
        world = replace(
            world, source=Mortal(world.source, deaths), target=Mortal(world.target, deaths)
        )  # type: ignore[arg-type]
    with pytest.raises(Killed):
        run_process(spec, world, order, call=plainly)
    with side.store.engine.begin() as connection:
        # The lease of a killed run expires by itself; nobody waits for that here.
        connection.exec_driver_sql("DELETE FROM lease")
