"""A simulated year: every week the sandbox moves on, HR edits too, every process runs; in the end
both sides agree.

2,000 people and 52 weeks in ``make year``; one week with few people if pytest runs this file alone.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from flows.catalogue import PROCESSES
from reconciliation.spec import Guard
from tests.edits import differences, there
from tests.sides import Side

WHOLE = os.environ.get("HRSYNC_CHAOS") == "whole"
UNGUARDED = Guard(create=None, update=None, close=None)
EXPLAINED = {
    "waits until this user is an employee in HR",
    "waits until this employee is a user in accessplanit",
    "was removed in accessplanit",
    "is for a course that has started",
    "is for a course that is full",
    "is for a course that is no longer held",
    "was decided in accessplanit already",
}
"""Why a row may be waiting in the end: each is a fact of the year, and not a fault."""


class Hr:
    """People in HR, who edit at simulated moments."""

    def __init__(self, side: Side, seed: int) -> None:
        self.side, self.dice, self.serial = side, random.Random(seed), 0

    def sql(self, statement: str, *parameters: object) -> None:
        with self.side.target.engine.begin() as connection:
            connection.exec_driver_sql(statement, parameters)

    def week(self, now: datetime, edits: int) -> None:
        """Some edits of each kind; ``now`` is UTC."""
        stamp = now.replace(tzinfo=None).isoformat(sep=" ")
        day = now.date()
        people = [
            r
            for r in self.side.rows("employees")
            if r["accessplanit_id"] and r["status"] in ("Enabled", "New", "Active")
        ]
        for _ in range(edits):
            person, kind = self.dice.choice(people), self.dice.random()
            self.serial += 1
            key = person["employee_id"]
            if kind < 0.35:
                columns = ("job_title", "mobile", "address", "town")
                column, value = self.dice.choice(columns), f"{self.serial}"
                value = f"07700 9{self.serial:05}" if column == "mobile" else f"Of week {value}"
                self.sql(
                    f"UPDATE employees SET {column} = ?, written_at = ? WHERE employee_id = ?",
                    value,
                    stamp,
                    key,
                )
            elif kind < 0.45:
                new = f"H{self.serial:05}"
                columns = (
                    "employee_id, employee_number, forenames, surname, status, company_id, "
                    "email, written_at"
                )
                values = (
                    new,
                    new,
                    "Wyn",
                    f"Ashdown-{self.serial}",
                    "Active",
                    "DOUG900E",
                    f"{new.lower()}@hr.example",
                    stamp,
                )
                self.sql(
                    f"INSERT INTO employees ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", *values
                )
            elif kind < 0.5:
                self.sql(
                    "UPDATE employees SET status = 'Left', written_at = ? WHERE employee_id = ?",
                    stamp,
                    key,
                )
            elif kind < 0.7:
                open_ = [
                    r
                    for r in self.side.rows("course_requests")
                    if r["status"] == "Provisional" and not r["decision"]
                ]
                if open_:
                    request = self.dice.choice(open_)["course_request_id"]
                    decision = self.dice.choice(("Approved", "Approved", "Rejected"))
                    decide = (
                        "UPDATE course_requests SET decision = ?, decided_at = ?, written_at "
                        "= ? WHERE course_request_id = ?"
                    )
                    self.sql(decide, decision, stamp, stamp, request)
            elif kind < 0.85:
                award = self.dice.choice(there(self.side, 'SELECT "ID" FROM "Award"'))["ID"]
                taken = [
                    r
                    for r in self.side.rows("award_targets")
                    if (r["employee_id"], r["award_id"]) == (key, award)
                ]
                if not taken:
                    aim = (
                        "INSERT INTO award_targets (award_target_id, employee_id, award_id, "
                        "target_date, written_at) VALUES (?, ?, ?, ?, ?)"
                    )
                    self.sql(
                        aim,
                        f"HT{self.serial}",
                        key,
                        award,
                        (day + timedelta(days=120)).isoformat(),
                        stamp,
                    )
            else:
                mine = {
                    r["job_role_id"]: r
                    for r in self.side.rows("assignments")
                    if r["employee_id"] == key
                }
                role = self.dice.choice(self.side.rows("job_roles"))["job_role_id"]
                if role not in mine:
                    give = (
                        "INSERT INTO assignments (assignment_id, employee_id, job_role_id, "
                        "valid_from, written_at) VALUES (?, ?, ?, ?, ?)"
                    )
                    self.sql(give, f"HA{self.serial}", key, role, day.isoformat(), stamp)
                elif mine[role]["valid_to"] is None:
                    end = (
                        "UPDATE assignments SET valid_to = ?, written_at = ? WHERE "
                        "assignment_id = ?"
                    )
                    self.sql(end, day.isoformat(), stamp, mine[role]["assignment_id"])


@pytest.mark.soak
@pytest.mark.timeout(3600 if WHOLE else 240)
def test_after_a_year_of_both_directions_both_systems_agree(
    make_side: Callable[..., Side], dialect_name: str
) -> None:
    if dialect_name != "standard":
        pytest.skip("a year is long; the awkward dialect has its turn in the other tests")
    people, weeks, events, edits = (2000, 52, 150, 60) if WHOLE else (40, 1, 30, 10)
    side = make_side(people, hourly_limit=10**9)
    office = Hr(side, 3)
    totals: Counter[str] = Counter()
    began = time.monotonic()
    # Who leaves in accessplanit leaves in HR: otherwise the two differ on purpose.
    specs = {name: chosen.scoped() for name, chosen in PROCESSES.items()}
    specs["users_to_hr"] = PROCESSES["users_to_hr"].scoped(leavers="close")

    def clock() -> datetime:
        return side.sandbox.now().replace(tzinfo=ZoneInfo("Europe/London")).astimezone(UTC)

    def everything(sweep: bool) -> int:
        from flows._run import Order

        written = 0
        for name, spec in specs.items():
            found = side.run(
                spec.model_copy(update={"guard": UNGUARDED}),
                Order(sweep=sweep or name == "role_compliance"),
                now=clock(),
                through=PROCESSES[name].through,
                requests_per_hour=10**9,
            )
            totals.update(
                {
                    f"{name} {outcome}": rows
                    for outcome, rows in found.outcomes.items()
                    if outcome not in ("unchanged", "out_of_scope")
                }
            )
            written += found.written
        return written

    everything(False)
    for week in range(weeks):
        side.sandbox.tick(events, days=7)
        office.week(clock(), edits)
        everything(sweep=week % 4 == 2)
    # It settles: what has come last is carried over, what waited is tried again.
    for _ in range(6):
        side.sandbox.tick(0, days=1)
        if everything(sweep=True) == 0:
            break
    found = differences(side)
    took = time.monotonic() - began
    print(
        f"\n{weeks} weeks, {people} people, both directions: {took:.0f} s, {len(found)} differences"
    )
    for name, rows in sorted(totals.items()):
        print(f"{name:45s} {rows:8,}")
    assert found == []
    unexplained = [
        e for e in side.store.quarantined(limit=10**6) if e["reason"].split(":")[0] not in EXPLAINED
    ]
    assert [(e["process"], e["field"], e["reason"]) for e in unexplained] == []
