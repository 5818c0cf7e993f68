"""What people do on both sides, and what is there afterwards."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flows.catalogue import PROCESSES

from .sides import Side
from .verify_hr import compare_everything


def everything(side: Side, times: int = 1) -> None:
    """Every process once, without Prefect: the flow that a test is about runs in it."""
    for _ in range(times):
        for chosen in PROCESSES.values():
            side.run(chosen.scoped(), through=chosen.through)


def differences(side: Side) -> list[str]:
    return compare_everything(
        str(side.folder / "sandbox.db"), str(side.folder / "hr.db"), side.sandbox.now()
    )


def there(side: Side, query: str, *parameters: Any) -> list[dict[str, Any]]:
    """Rows of accessplanit."""
    with side.sandbox.engine.connect() as connection:
        return [dict(row) for row in connection.exec_driver_sql(query, parameters).mappings()]


def change(side: Side, statement: str, *parameters: Any) -> None:
    """A change in accessplanit, at a moment later than all that was read."""
    moment = (side.sandbox.now() + timedelta(seconds=2)).isoformat(timespec="milliseconds")
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(statement.replace("NOW", f"'{moment}'"), parameters)


def hr(side: Side, statement: str, *parameters: Any) -> None:
    """A change that somebody makes in HR."""
    with side.target.engine.begin() as connection:
        connection.exec_driver_sql(statement, parameters)


def reasons(side: Side, process: str) -> dict[str, str]:
    """Key -> why it is in quarantine."""
    return {
        str(e["key"]): f"{e['stage']}: {e['field']} {e['reason']}"
        for e in side.store.quarantined(process, 1000)
    }


def writes(side: Side) -> list[tuple[str, str, str]]:
    """What the API has written, by accessplanit's own log: (module, record, event)."""
    return [
        (str(c["module"]), str(c["record"]), str(c["event"]))
        for c in side.sandbox.changes_since(0)
        if "api" in str(c["event"])
    ]


def employee(side: Side, key: str, **values: Any) -> None:
    row = {
        "employee_id": key,
        "employee_number": key,
        "forenames": "Wyn",
        "surname": "Ashdown",
        "status": "Active",
    }
    row |= {
        "company_id": "DOUG900E",
        "email": f"{key.lower()}@hr.example",
        "country": "United Kingdom",
    } | values
    hr(
        side,
        f"INSERT INTO employees ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
        *row.values(),
    )


def linked(side: Side, number: int = 0) -> tuple[str, str]:
    """(employee, user) of somebody both sides have, with an e-mail address in neither's way."""
    with side.target.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT employee_id, accessplanit_id FROM employees WHERE status = 'Enabled' AND "
            "accessplanit_id IS NOT NULL ORDER BY 1"
        ).all()
    return str(rows[number][0]), str(rows[number][1])


def one(side: Side, user: str) -> dict[str, Any]:
    return there(side, 'SELECT * FROM "User" WHERE "ID" = ?', user)[0]


def new_user(side: Side, key: str, **values: Any) -> None:
    row = (
        one(side, linked(side)[1])
        | {"ID": key, "ExternalID": "", "Forenames": "Jo", "Surname": "Bie", "Email": ""}
        | values
    )
    names = ", ".join(f'"{name}"' for name in row)
    change(
        side, f'INSERT INTO "User" ({names}) VALUES ({", ".join("?" * len(row))})', *row.values()
    )
    change(side, 'UPDATE "User" SET "DateUpdated" = NOW WHERE "ID" = ?', key)
