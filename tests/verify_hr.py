"""Compares a sandbox's database with an HR database, row by row, with nothing but sqlite3 and the standard library.

    python tests/verify_hr.py .hrsync/sandbox.db .hrsync/hr.db

It shares no code with the flows: what HR must hold is worked out here a second time, in the plainest way.
"""

from __future__ import annotations

import sqlite3
import sys
from collections import defaultdict
from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

LONDON = ZoneInfo("Europe/London")
USER = {
    "employee_number": "ExternalID",
    "forenames": "Forenames",
    "surname": "Surname",
    "email": "Email",
    "phone": "Phone",
    "mobile": "Mobile",
    "job_title": "JobTitle",
    "status": "Status",
    "company_id": "MainCompanyID",
    "company_name": "MainCompanyName",
    "access_role_id": "MainRoleID",
    "access_role": "MainRoleLabel",
    "full_address": "FullAddress",
    "marketing_opt_in": "MarketingOptIn",
}
AWARD = {
    "accessplanit_user_id": "UserID",
    "award_id": "AwardID",
    "award_label": "AwardLabel",
    "status": "Status",
    "renewed": "Renewed",
}
DAYS = {"target_date": "TargetDate", "completed_on": "Passed", "expires_on": "Expires"}


def rows(path: str, table: str) -> list[dict[str, object]]:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f'SELECT * FROM "{table}"')]


def day(value: object) -> str | None:
    return str(value)[:10] if value else None


def utc(value: object) -> str | None:
    if not value:
        return None
    moment = datetime.fromisoformat(str(value)).replace(tzinfo=LONDON).astimezone(ZoneInfo("UTC"))
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def expected_states(awards: list[dict[str, object]], today: date) -> dict[str, tuple[str, str | None]]:
    groups: dict[tuple[object, object], list[dict[str, object]]] = defaultdict(list)
    for award in awards:
        groups[award["UserID"], award["AwardID"]].append(award)
    found: dict[str, tuple[str, str | None]] = {}
    for group in groups.values():
        done = [a for a in group if a["Status"] == "Completed"]
        done.sort(key=lambda a: (day(a["Passed"]), day(a["Expires"]) or "9999", str(a["ID"])))
        for earlier, later in pairwise(done):
            found[str(earlier["ID"])] = ("superseded", str(later["ID"]))
        for award in group:
            if str(award["ID"]) in found:
                continue
            state = {"Target": "targeted", "In Progress": "in_progress", "On Hold": "on_hold"}.get(str(award["Status"]), "achieved")
            until = day(award["Expires"])
            if state == "achieved" and until and until < today.isoformat():
                state = "expired"
            elif state == "achieved" and until and until <= (today + timedelta(days=90)).isoformat():
                state = "expiring"
            found[str(award["ID"])] = (state, None)
    return found


def compare(sandbox: str, hr: str, today: date, *, updated: bool = True) -> list[str]:
    """Every difference, in words; empty if HR holds exactly what it should.

    People who have left the scope since they were loaded stay in HR as they were, and so do their awards' people.
    """
    problems: list[str] = []
    users = {str(u["ID"]): u for u in rows(sandbox, "User")}
    employees = {str(e["accessplanit_id"]): e for e in rows(hr, "employees")}
    in_scope = {k for k, u in users.items() if u["Status"] in ("Enabled", "New")}
    problems += [f"user {k} is missing in HR" for k in sorted(in_scope - employees.keys())]
    problems += [f"employee of unknown user {k}" for k in sorted(employees.keys() - users.keys())]
    for key in sorted(in_scope & employees.keys()):
        for column, source in USER.items():
            if (employees[key][column] or None) != (users[key][source] or None):
                problems.append(f"employee of {key}: {column}")
        if updated and employees[key]["source_created_at"] != utc(users[key]["DateCreated"]):
            problems.append(f"employee of {key}: source_created_at")
    awards = [a for a in rows(sandbox, "UserAward") if str(a["UserID"]) in employees]
    held = {str(a["award_record_id"]): a for a in rows(hr, "awards")}
    states = expected_states(awards, today)
    wanted = {str(a["ID"]): a for a in awards}
    problems += [f"award {k} is missing in HR" for k in sorted(wanted.keys() - held.keys())]
    problems += [f"award {k} is only in HR" for k in sorted(held.keys() - wanted.keys()) if held[k]["state"] != "revoked"]
    for key in sorted(wanted.keys() & held.keys()):
        award, row = wanted[key], held[key]
        for column, source in AWARD.items():
            if row[column] != award[source]:
                problems.append(f"award {key}: {column}")
        for column, source in DAYS.items():
            if row[column] != day(award[source]):
                problems.append(f"award {key}: {column}")
        if row["employee_id"] != employees[str(award["UserID"])]["employee_id"]:
            problems.append(f"award {key}: employee_id")
        if (row["state"], row["superseded_by"]) != states[key]:
            problems.append(f"award {key}: state {row['state']} instead of {states[key][0]}")
    return problems


def main() -> int:
    sandbox, hr = sys.argv[1:3]
    problems = compare(sandbox, hr, datetime.now(LONDON).date())
    people, awards = len(rows(hr, "employees")), len(rows(hr, "awards"))
    for problem in problems[:20]:
        print(problem)
    print(f"{people:,} employees and {awards:,} awards compared with the sandbox: {len(problems):,} differences")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
