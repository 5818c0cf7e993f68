"""Random edits on both sides, faults, crashes and clock steps; then it settles, and both sides
agree.

1,000 steps in ``make chaos``; ten if pytest runs this file alone.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows import awards_to_hr, users_from_hr, users_to_hr
from flows._run import Order, World, plainly, run_process
from reconciliation.errors import HrsyncError
from reconciliation.spec import ProcessSpec
from sandbox.faults import Faults
from tasks.connections import ways
from tests.sides import Side
from tests.worlds import Deaths, Killed, Mortal

STEPS = 1000 if os.environ.get("HRSYNC_CHAOS") == "whole" else 10
SPECS = {"users": users_to_hr.SPEC, "people": users_from_hr.SPEC, "awards": awards_to_hr.SPEC}
pytestmark = [pytest.mark.soak, pytest.mark.timeout(3000)]


class Sides:
    """accessplanit and HR, as people, programs and accidents change them."""

    def __init__(self, side: Side, dice: random.Random) -> None:
        self.side, self.dice, self.skew = side, dice, timedelta(0)

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.side.sandbox.offset + self.skew

    def world(self, spec: ProcessSpec, deaths: Deaths, attempts: int) -> World:
        self.accessplanit = self.side.source(attempts=attempts, requests_per_hour=10**9)
        ends = ways(spec, self.accessplanit, self.side.target)
        ports: list[Any] = [Mortal(port, deaths) for port in (*ends, self.side.store)]
        return World(*ports, "Europe/London", self.clock)

    # -- what may happen --------------------------------------------------------------------------

    def people_change_things_in_accessplanit(self) -> None:
        self.side.sandbox.tick(self.dice.randint(1, 6))

    def time_passes(self) -> None:
        self.side.sandbox.tick(0, days=self.dice.choice([0.02, 0.5, 1, 3, 40]))

    def the_clock_of_this_machine_is_off(self) -> None:
        self.skew = timedelta(minutes=self.dice.randint(-8, 8))

    def an_award_is_deleted_in_accessplanit(self) -> None:
        with self.side.sandbox.engine.begin() as connection:
            self._some(connection, '"UserAward"', 'DELETE FROM "UserAward"')

    def somebody_types_over_a_row_in_hr(self) -> None:
        table, column = self.dice.choice(
            [
                ("employees", "job_title"),
                ("employees", "email"),
                ("awards", "award_label"),
                ("awards", "state"),
            ]
        )
        typed = (
            f"typed.{self.dice.randrange(10**6)}@x.example" if column == "email" else "typed over"
        )
        value = self.dice.choice(["NULL", f"'{typed}'"])
        with self.side.target.engine.begin() as connection:
            self._some(connection, table, f"UPDATE {table} SET {column} = {value}")

    def somebody_deletes_an_award_in_hr(self) -> None:
        with self.side.target.engine.begin() as connection:
            self._some(connection, "awards", "DELETE FROM awards")

    def _some(self, connection: Any, table: str, statement: str) -> None:
        # A revoked award has no record any more: nobody would mend what is typed over it.
        which = " WHERE state IS NOT 'revoked'" if table == "awards" else ""
        rows = connection.exec_driver_sql(f"SELECT rowid FROM {table}{which}").scalars().all()
        if rows:
            connection.exec_driver_sql(f"{statement} WHERE rowid = ?", (self.dice.choice(rows),))

    def a_process_runs(self) -> None:
        """With an accessplanit in whatever mood, perhaps killed on the way."""
        faults = Faults(
            rate=self.dice.choice([0.0, 0.0, 0.15, 0.5]), seed=self.dice.randrange(999), delay=0.02
        )
        self.side.sandbox.faults = faults
        order = self.dice.choice([Order(), Order(), Order(), Order(full=True), Order(sweep=True)])
        spec = SPECS[self.dice.choice(list(SPECS))]
        world = self.world(spec, Deaths(self.dice.choice([None, None, self.dice.randrange(60)])), 3)
        # A process is killed, or a run fails as runs may: what counts is how it ends.
        with suppress(HrsyncError, Killed):
            report, _ = run_process(spec, world, order, call=plainly)
            assert report.adds_up(), report
        self.accessplanit.close()
        with self.side.store.engine.begin() as connection:
            # The lease of a killed run expires by itself; nobody waits for that here.
            connection.exec_driver_sql("DELETE FROM lease")

    def step(self) -> None:
        usual = [self.people_change_things_in_accessplanit] * 3 + [self.a_process_runs] * 6
        seldom = [
            self.time_passes,
            self.the_clock_of_this_machine_is_off,
            self.an_award_is_deleted_in_accessplanit,
            self.somebody_types_over_a_row_in_hr,
            self.somebody_deletes_an_award_in_hr,
        ]
        self.dice.choice(usual + seldom)()

    def settle(self) -> None:
        """Nothing more happens, and everything works."""
        self.side.sandbox.faults, self.skew = Faults(), timedelta(0)
        for _ in range(4):
            for spec in SPECS.values():
                self.side.store.retry_now(spec.name, None)
                run_process(spec, self.world(spec, Deaths(), 3), Order(sweep=True), call=plainly)


def test_after_whatever_has_happened_both_sides_agree(make_side: Callable[..., Side]) -> None:
    seed = int(os.environ.get("HRSYNC_CHAOS_SEED", "7"))
    sides = Sides(make_side(110, seed=seed, hourly_limit=10**9), random.Random(seed))
    for _ in range(STEPS):
        sides.step()
    sides.settle()
    assert sides.side.differences() == []
    stages = {entry["stage"] for entry in sides.side.store.quarantined(limit=9999)}
    assert stages <= {"held"}, "what is left waits for somebody who is not in HR"
    assert not [
        intent for spec in SPECS.values() for intent in sides.side.store.open_intents(spec.name)
    ]
