"""Every process, end to end, on every system: what it can hold is as in the SQL database, the rest
is unsupported and counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from connectors.store.sql import SyncStore
from flows.catalogue import PROCESSES
from reconciliation.capabilities import narrowed
from reconciliation.report import RunReport
from tests.sides import Side

from .conftest import EVERY
from .content import rows, writes
from .stands import Stand

pytestmark = [
    pytest.mark.slow,
    # A mounted folder and SQLite go the same way as their siblings, which their own laws show.
    pytest.mark.parametrize(
        "stand", [p for p in EVERY if p.id not in ("sql-sqlite", "csv_drop-sftp")], indirect=True
    ),
]


@pytest.fixture
def dialect_name() -> str:
    """The systems are what differs here."""
    return "standard"


def everything(side: Side) -> dict[str, RunReport]:
    return {
        name: side.run(chosen.scoped(), through=chosen.through)
        for name, chosen in PROCESSES.items()
    }


ALIKE = {"Enabled": "Active", "New": "Active"}


def test_every_process_runs_on_every_system(
    stand: Stand, make_side: Callable[..., Side], tmp_path: Path
) -> None:
    reference = make_side(20, loaded=True)
    assert not writes(reference), "both begin with the same accessplanit"
    system = stand.open()
    side = replace(reference, target=system, store=SyncStore(f"sqlite:///{tmp_path / 'other.db'}"))  # type: ignore[arg-type]
    reports = everything(side)
    can = system.capabilities
    for name, report in reports.items():
        spec = narrowed(PROCESSES[name].scoped(), can)
        if (
            spec.direction == "to_hr"
            and spec.entity not in can.entities
            and spec.name != "role_compliance"
        ):
            assert report.outcomes["unsupported"] > 0, name
            assert report.written == report.outcomes["held"] == report.outcomes["failed"] == 0, name
            assert [reason for _, _, reason, _ in report.reasons] == [
                f"{can.system} holds no {spec.entity}"
            ]
    for entity, holds in can.entities.items():
        columns = {
            n: k
            for n, k in holds.columns.items()
            if n not in ("custom_for_accessplanit", "source_updated_at")
        }
        there, expected = rows(system, entity, columns), rows(reference.target, entity, columns)
        if stand.connector == "bamboohr" and entity == "awards":
            unsupported = reports["awards_to_hr"].outcomes["unsupported"]
            assert len(there) + unsupported == len(expected)
            assert there
            assert unsupported
            expected = {key: row for key, row in expected.items() if key in there}
        for side_ in (there, expected):
            for row in side_.values():
                row["status"] = (
                    ALIKE.get(row["status"], row["status"])
                    if "status" in row and entity == "employees"
                    else row.get("status")
                )
        assert there == expected, entity
        assert there or entity == "role_compliance", entity
    # A second time nothing is left to do, on either side.
    side.target = stand.open()  # type: ignore[assignment]
    before = writes(side)
    for name, report in everything(side).items():
        assert report.written == 0, (name, report.outcomes)
    assert writes(side) == before


def test_a_change_in_hr_reaches_accessplanit_from_every_system(
    stand: Stand, make_side: Callable[..., Side]
) -> None:
    side = make_side(size=20)
    side.target = system = stand.open()  # type: ignore[assignment]
    for name in ("users_to_hr", "users_from_hr"):
        side.run(PROCESSES[name].scoped())
    read = system.read("employees", {"email": "text", "town": "text"}).frame
    employee = str(read["employee_id"].iloc[3])
    stand.edit(employee, "town", "Kirkby Lonsdale")
    side.target = stand.open()  # type: ignore[assignment]
    report = side.run(PROCESSES["users_from_hr"].scoped())
    assert (report.outcomes["updated"], report.outcomes["created"], report.outcomes["closed"]) == (
        1,
        0,
        0,
    ), report.outcomes
    (user,) = side.store.links("employees", target_keys=[employee])["source_key"]
    with side.sandbox.engine.connect() as connection:
        assert (
            connection.exec_driver_sql(
                'SELECT "Town" FROM "User" WHERE "ID" = ?', (user,)
            ).scalar_one()
            == "Kirkby Lonsdale"
        )
    # accessplanit puts the old value back, and then HR its own: neither is taken for known.
    moment = (side.sandbox.now() + timedelta(seconds=2)).isoformat(timespec="milliseconds")
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(
            'UPDATE "User" SET "Town" = \'Kendal\', "DateUpdated" = ? WHERE "ID" = ?',
            (moment, user),
        )
    assert side.run(PROCESSES["users_to_hr"].scoped()).outcomes["updated"] == 1
    side.target = stand.open()  # type: ignore[assignment]
    towns = side.target.read("employees", {"town": "text"}).frame.set_index("employee_id")["town"]
    assert towns[employee] == "Kendal"
    stand.edit(employee, "town", "Kirkby Lonsdale")
    side.target = stand.open()  # type: ignore[assignment]
    assert side.run(PROCESSES["users_from_hr"].scoped()).outcomes["updated"] == 1
    stand.edit(employee, "status", "Inactive")
    side.target = stand.open()  # type: ignore[assignment]
    assert side.run(PROCESSES["users_from_hr"].scoped()).outcomes["closed"] == 1
    with side.sandbox.engine.connect() as connection:
        assert (
            connection.exec_driver_sql(
                'SELECT "Status" FROM "User" WHERE "ID" = ?', (user,)
            ).scalar_one()
            == "Inactive"
        )
