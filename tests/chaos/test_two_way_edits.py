"""Random edits of people on both sides, with kills and lost answers on the way; then every person
is there once and the same.

Every run of the suite takes some rounds; ``make chaos`` takes 2,000.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows._run import Order, World, plainly, run_process
from flows.catalogue import PROCESSES
from reconciliation.errors import HrsyncError
from reconciliation.spec import ProcessSpec
from sandbox.faults import Faults
from tasks.connections import ways
from tests.edits import change, employee, hr, there, writes
from tests.sides import Side
from tests.worlds import Deaths, Killed, Mortal

WHOLE = os.environ.get("HRSYNC_CHAOS") == "whole"
ROUNDS, BETWEEN = (2000, 25) if WHOLE else (6, 3)
SPECS = (
    PROCESSES["users_to_hr"].scoped(leavers="close", gone="close"),
    PROCESSES["users_from_hr"].scoped(gone="close"),
)
SHARED = {
    "forenames": "Forenames",
    "surname": "Surname",
    "email": "Email",
    "job_title": "JobTitle",
    "town": "Town",
}
LEFT = ("Left", "Inactive")
pytestmark = [pytest.mark.soak, pytest.mark.timeout(3000)]


class People:
    """The people of both sides, as two offices and some accidents change them. Nobody is edited on
    both sides between two runs."""

    def __init__(self, side: Side, dice: random.Random) -> None:
        self.side, self.dice, self.number = side, dice, 0
        self.touched: set[str] = set()
        self.employed: dict[str, bool] = {}
        """User -> whether the last word of either office was that they are at work."""

    # -- what may happen --------------------------------------------------------------------------

    def accessplanit_corrects_a_field(self) -> None:
        if (user := self._user()) is not None:
            column = self.dice.choice(list(SHARED.values()))
            change(
                self.side,
                f'UPDATE "User" SET "{column}" = ?, "DateUpdated" = NOW WHERE "ID" = ?',
                self._value(column),
                user["ID"],
            )

    def hr_corrects_a_field(self) -> None:
        if (row := self._row()) is not None:
            column = self.dice.choice(list(SHARED))
            hr(
                self.side,
                f"UPDATE employees SET {column} = ? WHERE employee_id = ?",
                self._value(column),
                row["employee_id"],
            )

    def accessplanit_gets_a_user(self) -> None:
        if (like := self._user()) is not None:
            self._insert(like, ExternalID=self._next("A"), Email=self._value("email"))

    def hr_gets_an_employee(self) -> None:
        employee(self.side, self._next("H"))

    def hr_gets_an_employee_whose_number_is_not_the_key(self) -> None:
        employee(self.side, self._next("ROW"), employee_number=self._next("N"))

    def hr_says_that_somebody_has_left(self) -> None:
        if (row := self._row()) is not None:
            hr(
                self.side,
                "UPDATE employees SET status = 'Left' WHERE employee_id = ?",
                row["employee_id"],
            )
            self.employed[row["accessplanit_id"]] = False

    def accessplanit_disables_somebody(self) -> None:
        if (user := self._user()) is not None:
            change(
                self.side,
                'UPDATE "User" SET "Status" = \'Inactive\', "DateUpdated" = NOW WHERE "ID" = ?',
                user["ID"],
            )
            self.employed[user["ID"]] = False

    def hr_rehires_somebody_in_the_old_row(self) -> None:
        if (row := self._row(left=True)) is not None:
            hr(
                self.side,
                "UPDATE employees SET status = 'Active' WHERE employee_id = ?",
                row["employee_id"],
            )
            self.employed[row["accessplanit_id"]] = True

    def hr_rehires_somebody_in_a_new_row(self) -> None:
        if (row := self._row(left=True)) is not None:
            number = row["employee_number"] or row["employee_id"]
            hr(self.side, "DELETE FROM employees WHERE employee_id = ?", row["employee_id"])
            employee(self.side, self._next("ROW"), employee_number=number, email=row["email"])
            self.employed[row["accessplanit_id"]] = True

    def hr_gives_somebody_another_number(self) -> None:
        if (row := self._row()) is not None:
            hr(
                self.side,
                "UPDATE employees SET employee_number = ? WHERE employee_id = ?",
                self._next("N"),
                row["employee_id"],
            )

    def accessplanit_merges_two_users(self) -> None:
        """Somebody had a second, new account: it is the one that stays."""
        if (user := self._user()) is not None:
            change(self.side, 'DELETE FROM "User" WHERE "ID" = ?', user["ID"])
            self.employed.pop(user["ID"], None)
            self.touched.add(self._insert(user))

    def step(self) -> None:
        name = self.dice.choice(
            [name for name in vars(People) if name.startswith(("hr_", "accessplanit_"))]
        )
        getattr(self, name)()
        print(name, sorted(self.touched))  # shown if the test fails

    # -- runs -------------------------------------------------------------------------------------

    def run(self, spec: ProcessSpec, order: Order, deaths: Deaths) -> None:
        accessplanit = self.side.source(requests_per_hour=10**9)
        source, target = ways(spec, accessplanit, self.side.target)
        ports: list[Any] = [Mortal(port, deaths) for port in (source, target, self.side.store)]
        with suppress(Killed):
            run_process(
                spec, World(*ports, "Europe/London", lambda: datetime.now(UTC)), order, call=plainly
            )
        accessplanit.close()
        with self.side.store.engine.begin() as connection:
            # The lease of a killed run expires by itself; nobody waits for that here.
            connection.exec_driver_sql("DELETE FROM lease")

    def runs(self) -> None:
        """Both ways, in either order; one run in three is killed somewhere, one in four loses an
        answer or is refused."""
        for spec in self.dice.sample(SPECS, 2):
            lost = self.dice.choice(
                [None, None, None, self.dice.choice(["403", "502", "503", "html", "cut"])]
            )
            self.side.sandbox.faults = Faults(
                writes=lost, done=lost != "403", spared=self.dice.randrange(3)
            )
            place = self.dice.choice([None, None, self.dice.randrange(45)])
            with suppress(HrsyncError):
                self.run(
                    spec,
                    self.dice.choice([Order(), Order(), Order(full=True), Order(sweep=True)]),
                    Deaths(place),
                )
        self.side.sandbox.faults = Faults()
        self.touched.clear()

    def settle(self) -> None:
        for _ in range(3):
            for spec in SPECS:
                self.side.store.retry_now(spec.name, None)
                self.run(spec, Order(sweep=True), Deaths())
        self.touched.clear()

    # -- what must be true then -------------------------------------------------------------------

    def check(self) -> None:
        waiting = {
            (e["key"], e["reason"])
            for spec in SPECS
            for e in self.side.store.quarantined(spec.name, 1000)
        }
        assert waiting == set()
        people, staff = there(self.side, 'SELECT * FROM "User"'), self.side.rows("employees")
        numbers = Counter(user["ExternalID"] for user in people if user["ExternalID"])
        assert [number for number, times in numbers.items() if times > 1] == [], "made twice"
        at_work = Counter(row["accessplanit_id"] for row in staff if row["status"] not in LEFT)
        assert [user for user, times in at_work.items() if times > 1] == [], "two rows of one user"
        enabled = {user["ID"]: user for user in people if user["Status"] in ("Enabled", "New")}
        assert set(enabled) <= set(at_work), "everybody is in HR"
        assert {key: key in enabled for key in self.employed} == self.employed, (
            "who left has left, and who came back is back"
        )
        for row in staff:
            user = next((u for u in people if u["ID"] == row["accessplanit_id"]), None)
            if row["status"] in LEFT:
                assert user is None or user["Status"] == "Inactive" or user["ID"] in at_work, row[
                    "employee_id"
                ]
            else:
                assert user is not None, row["employee_id"]
                assert user["ID"] in enabled, row["employee_id"]
                assert user["ExternalID"] == (row["employee_number"] or user["ExternalID"])
                assert {c: user[w] for c, w in SHARED.items()} == {c: row[c] for c in SHARED}
        quiet = writes(self.side), [row["written_at"] for row in staff]
        for spec in SPECS:
            self.run(spec, Order(sweep=True), Deaths())
        assert (
            writes(self.side),
            [row["written_at"] for row in self.side.rows("employees")],
        ) == quiet, "nothing is left to do"

    # -- somebody ---------------------------------------------------------------------------------

    def _user(self) -> dict[str, Any] | None:
        """A user who is at work by both sides and has not been touched since the last runs."""
        row = self._row()
        return (
            there(self.side, 'SELECT * FROM "User" WHERE "ID" = ?', row["accessplanit_id"])[0]
            if row
            else None
        )

    def _row(self, left: bool = False) -> dict[str, Any] | None:
        users = {
            user["ID"]: user["Status"]
            for user in there(self.side, 'SELECT "ID", "Status" FROM "User"')
        }
        wanted = ("Inactive",) if left else ("Enabled", "New")
        rows = [
            row
            for row in self.side.rows("employees")
            if users.get(row["accessplanit_id"]) in wanted
        ]
        rows = [
            r
            for r in rows
            if (r["status"] in LEFT) == left and r["accessplanit_id"] not in self.touched
        ]
        if not rows:
            return None
        row = self.dice.choice(rows)
        self.touched.add(str(row["accessplanit_id"]))
        return row

    def _insert(self, like: dict[str, Any], **values: Any) -> str:
        moment = (self.side.sandbox.now() + timedelta(seconds=2)).isoformat(timespec="milliseconds")
        row = (
            like
            | {"ID": f"U{self._next('')}", "DateUpdated": moment, "DateCreated": moment}
            | values
        )
        names = ", ".join(f'"{name}"' for name in row)
        change(
            self.side,
            f'INSERT INTO "User" ({names}) VALUES ({", ".join("?" * len(row))})',
            *row.values(),
        )
        return str(row["ID"])

    def _next(self, letter: str) -> str:
        self.number += 1
        return f"{letter}{self.number:05}"

    def _value(self, column: str) -> str:
        self.number += 1
        return f"p{self.number}@x.example" if column.lower() == "email" else f"Value {self.number}"


@pytest.mark.parametrize("dialect_name", ["standard"], indirect=True)
def test_after_random_edits_on_both_sides_everybody_is_there_once_and_the_same(
    make_side: Callable[..., Side],
) -> None:
    seed = int(os.environ.get("HRSYNC_CHAOS_SEED", "11"))
    people = People(make_side(30, seed=seed, hourly_limit=10**9), random.Random(seed))
    people.settle()
    people.check()
    for number in range(1, ROUNDS + 1):
        for _ in range(people.dice.randint(0, 3)):
            people.step()
        people.runs()
        if number % BETWEEN == 0:
            people.settle()
            people.check()
