"""Law 15: a preview has no means to write, in either direction and on every system; what it shows
is what the run would do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows._run import Order, World, plainly, run_process
from flows.catalogue import PROCESSES
from reconciliation.capabilities import narrowed
from reconciliation.ports import HrSystem
from tasks.connections import ReadOnly, previewed, ways
from tests.sides import Side

from .content import rows, writes
from .stands import Stand

QUESTIONS = ("/.search", "/token", "/datasets/employee/data")
"""Ends of the paths that are only asked, though by POST."""


@pytest.fixture
def dialect_name() -> str:
    """The systems are what differs here."""
    return "standard"


def files(folder: Path) -> dict[str, bytes]:
    """Everything in the folders of a drop; a database is told by its rows."""
    return {
        str(f.relative_to(folder)): f.read_bytes()
        for f in folder.rglob("*")
        if f.is_file() and ".db" not in f.name
    }


def content(system: HrSystem) -> dict[str, dict[str, Any]]:
    holds = system.capabilities.entities["employees"]
    return rows(
        system,
        "employees",
        {name: kind for name, kind in holds.columns.items() if name != "written_at"},
    )


def run(side: Side, system: HrSystem, name: str, order: Order) -> Any:
    spec = narrowed(PROCESSES[name].scoped(), system.capabilities)
    return run_process(
        spec,
        World(*ways(spec, side.source(), system), side.store, "Europe/London"),
        order,
        call=plainly,
    )


def test_law_15_a_preview_leaves_everything_as_it_is(
    stand: Stand, make_side: Callable[..., Side]
) -> None:
    side = make_side(size=20)
    run(side, stand.open(), "users_to_hr", Order())
    employee = next(iter(content(stand.open())))
    stand.edit(employee, "town", "Kirkby Lonsdale")
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(
            'UPDATE "User" SET "Surname" = \'Renamed\', "DateUpdated" = \'2030-01-01T00:00:00\''
        )
    # Whoever looks at a drop takes its answers in: there the files tell.
    drop = stand.connector == "csv_drop"
    before, held = files(stand.home), {} if drop else content(stand.open())
    if stand.between:
        stand.between.clear()
    plans = {}
    for name in ("users_to_hr", "users_from_hr"):
        system = stand.open()
        _, plan = run(side, system, name, Order(mode="plan"))
        plans[name] = plan.counts()
        assert files(stand.home) == before
    assert writes(side) == []
    assert drop or content(stand.open()) == held
    asked = stand.between.seen if stand.between else []
    assert [
        path for method, path in asked if method != "GET" and not path.endswith(QUESTIONS)
    ] == []
    assert plans["users_to_hr"].get("update", 0) > 0, "the preview sees what there is to do"
    assert plans["users_from_hr"].get("update", 0) > 0, (
        "and what HR has changed, though nobody has taken it in"
    )
    # The run does what the preview has shown.
    _, plan = run(side, stand.open(), "users_from_hr", Order())
    assert plan.counts() == plans["users_from_hr"]


def test_law_15_a_preview_is_given_nothing_that_writes(stand: Stand) -> None:
    spec = PROCESSES["users_to_hr"].scoped()
    source, target = ways(spec, None, stand.open())  # type: ignore[arg-type]
    with previewed(World(source, target, None, "Europe/London")) as world:  # type: ignore[arg-type]
        assert isinstance(world.target, ReadOnly)
        assert not hasattr(world.target, "apply")
