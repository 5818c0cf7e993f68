"""Compares a sandbox's database with an HR database, row by row, with nothing but sqlite3 and the
standard library.

    python tests/verify_hr.py .hrsync/sandbox.db .hrsync/hr.db

It shares no code with the flows: what HR must hold is worked out here a second time, in the
plainest way.
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
    "address": "Address",
    "town": "Town",
    "county": "County",
    "postcode": "Postcode",
    "country": "Country",
    "marketing_opt_in": "MarketingOptIn",
}
MEANS = {"Active": "Enabled", "Left": "Inactive", "Inactive": "Inactive"}
"""HR's words for accessplanit's."""
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


def lines(value: object) -> object:
    """What the vendor writes as HTML stands in HR as lines of text."""
    return value.replace("<br />", "\n") if isinstance(value, str) else value


def utc(value: object) -> str | None:
    if not value:
        return None
    moment = datetime.fromisoformat(str(value)).replace(tzinfo=LONDON).astimezone(ZoneInfo("UTC"))
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")


def expected_states(
    awards: list[dict[str, object]], today: date
) -> dict[str, tuple[str, str | None]]:
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
            state = {"Target": "targeted", "In Progress": "in_progress", "On Hold": "on_hold"}.get(
                str(award["Status"]), "achieved"
            )
            until = day(award["Expires"])
            if state == "achieved" and until and until < today.isoformat():
                state = "expired"
            elif (
                state == "achieved" and until and until <= (today + timedelta(days=90)).isoformat()
            ):
                state = "expiring"
            found[str(award["ID"])] = (state, None)
    return found


def compare(sandbox: str, hr: str, today: date, *, updated: bool = True) -> list[str]:
    """Every difference, in words; empty if HR holds exactly what it should.

    People who have left the scope since they were loaded stay in HR as they were, and so do their
    awards' people.
    """
    problems: list[str] = []
    users = {str(u["ID"]): u for u in rows(sandbox, "User")}
    employees = {str(e["accessplanit_id"]): e for e in rows(hr, "employees")}
    in_scope = {k for k, u in users.items() if u["Status"] in ("Enabled", "New")}
    problems += [f"user {k} is missing in HR" for k in sorted(in_scope - employees.keys())]
    # Somebody who left before accessplanit's ID had come back to HR has none there.
    strange = {k for k in employees.keys() - users.keys() if k != "None"}
    strange |= {
        str(e["employee_id"])
        for e in rows(hr, "employees")
        if not e["accessplanit_id"] and MEANS.get(str(e["status"])) != "Inactive"
    }
    problems += [f"employee of unknown user {k}" for k in sorted(strange)]
    for key in sorted(in_scope & employees.keys()):
        row = {
            **employees[key],
            "status": MEANS.get(str(employees[key]["status"]), employees[key]["status"]),
        }
        for column, source in USER.items():
            if (row[column] or None) != (lines(users[key][source]) or None):
                problems.append(f"employee of {key}: {column}")
        if updated and employees[key]["source_created_at"] != utc(users[key]["DateCreated"]):
            problems.append(f"employee of {key}: source_created_at")
    awards = [a for a in rows(sandbox, "UserAward") if str(a["UserID"]) in employees]
    held = {str(a["award_record_id"]): a for a in rows(hr, "awards")}
    # A target is loaded elsewhere; one that HR has as an award was something else before, and is
    # followed.
    awards = [a for a in awards if a["Status"] != "Target" or str(a["ID"]) in held]
    states = expected_states(awards, today)
    wanted = {str(a["ID"]): a for a in awards}
    problems += [f"award {k} is missing in HR" for k in sorted(wanted.keys() - held.keys())]
    problems += [
        f"award {k} is only in HR"
        for k in sorted(held.keys() - wanted.keys())
        if held[k]["state"] != "revoked"
    ]
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


SPELLED = {"NoAttend": "No Attend", "InProgress": "In Progress", "WaitingList": "Waiting List"}
REGISTRATION = {
    "course_date_id": "CourseDateID",
    "course_label": "CourseDateDetailsLabel",
    "company_id": "CompanyID",
    "company_name": "CompanyName",
}
TABLES = (
    "employees",
    "awards",
    "award_targets",
    "job_roles",
    "assignments",
    "registrations",
    "course_requests",
    "role_compliance",
)


def _one(
    kind: str, key: str, row: dict[str, object], source: dict[str, object], fields: dict[str, str]
) -> list[str]:
    return [
        f"{kind} {key}: {column}"
        for column, name in fields.items()
        if (row[column] or None) != (source[name] or None)
    ]


def compare_courses(sandbox: str, hr: str, now: datetime) -> list[str]:
    """Differences in registrations and course requests; ``now`` is the sandbox's wall time."""
    problems: list[str] = []
    people = {str(e["accessplanit_id"]): e for e in rows(hr, "employees")}
    delegates = {
        str(d["ID"]): d for d in rows(sandbox, "UserCourseDate") if str(d["UserID"]) in people
    }
    asked = {str(a["ID"]): a for a in rows(sandbox, "ManagerUserCourseDateAuthorisation")}
    there = {str(r["registration_id"]): r for r in rows(hr, "registrations")}
    wanted = {
        k
        for k, d in delegates.items()
        if d["Status"] in ("Booked", "Provisional", "In Progress", "Completed")
    }
    problems += [f"registration {k} is missing in HR" for k in sorted(wanted - there.keys())]
    for key, row in there.items():
        source = delegates.get(key)
        if source is None:
            problems += (
                [] if row["status"] == "Cancelled" else [f"registration {key} is only in HR"]
            )
            continue
        problems += _one("registration", key, row, source, REGISTRATION)
        if row["status"] != SPELLED.get(str(source["Status"]), source["Status"]) or row[
            "starts_at"
        ] != utc(source["StartDate"]):
            problems.append(f"registration {key}: status or start")
    requests = {str(r["course_request_id"]): r for r in rows(hr, "course_requests")}
    open_ = {
        k
        for k, d in delegates.items()
        if d["Status"] == "Provisional" and datetime.fromisoformat(str(d["StartDate"])) > now
    }
    problems += [f"course request {k} is missing in HR" for k in sorted(open_ - requests.keys())]
    for key in sorted(requests.keys() & delegates.keys()):
        row, source = requests[key], delegates[key]
        problems += _one("course request", key, row, source, REGISTRATION)
        if row["status"] != SPELLED.get(str(source["Status"]), source["Status"]):
            problems.append(f"course request {key}: status")
        if key in open_ and key in asked and row["venue"] != asked[key]["VenueName"]:
            problems.append(f"course request {key}: venue")
    return problems


def compare_roles(sandbox: str, hr: str, today: date) -> list[str]:
    """Differences in award targets, job roles, assignments and the compliance that follows from
    them."""
    problems: list[str] = []
    employees = rows(hr, "employees")
    people = {str(e["accessplanit_id"]): e for e in employees}
    targets: dict[tuple[str, str], list[str | None]] = defaultdict(list)
    for award in rows(sandbox, "UserAward"):
        if str(award["UserID"]) in people and award["Status"] == "Target":
            targets[str(award["UserID"]), str(award["AwardID"])].append(day(award["TargetDate"]))
    held: dict[tuple[str, str], list[str | None]] = defaultdict(list)
    for row in rows(hr, "award_targets"):
        if row["status"] == "Target":
            held[str(row["accessplanit_user_id"]), str(row["award_id"])].append(
                day(row["target_date"])
            )
    pairs = sorted(targets.keys() | held.keys())
    problems += [
        f"targets {p}: {held[p]} instead of {targets[p]}"
        for p in pairs
        if sorted(map(str, targets[p])) != sorted(map(str, held[p]))
    ]
    roles = {str(r["job_role_id"]): r["label"] for r in rows(hr, "job_roles")}
    if roles != {str(r["ID"]): r["Label"] for r in rows(sandbox, "UserType")}:
        problems.append("job roles")
    given = {
        (str(a["UserID"]), str(a["UserTypeID"])): a
        for a in rows(sandbox, "UserUserType")
        if str(a["UserID"]) in people
    }
    assigned: dict[tuple[str, str], dict[str, object]] = {}
    for row in rows(hr, "assignments"):
        assigned[str(row["accessplanit_user_id"]), str(row["job_role_id"])] = row
    problems += [
        f"assignment {pair} is missing in HR" for pair in sorted(given.keys() - assigned.keys())
    ]
    for pair, row in assigned.items():
        source = given.get(pair)
        if source is None:
            problems += (
                []
                if row["valid_to"] and str(row["valid_to"]) <= str(today)
                else [f"assignment {pair} is only in HR"]
            )
        elif (day(row["valid_from"]), day(row["valid_to"])) != (
            day(source["FromDate"]),
            day(source["ToDate"]),
        ):
            problems.append(f"assignment {pair}: from or to")
    return problems + _compliance(sandbox, hr, today, assigned)


def _compliance(
    sandbox: str, hr: str, today: date, assigned: dict[tuple[str, str], dict[str, object]]
) -> list[str]:
    """Worked out person by person from what HR holds and accessplanit requires."""
    required = defaultdict(set)
    for need in rows(sandbox, "AwardUserType"):
        required[str(need["UserTypeID"])].add(str(need["AwardID"]))
    until: dict[tuple[object, object], str] = {}
    for award in rows(hr, "awards"):
        if award["status"] == "Completed" and award["state"] != "revoked":
            pair = award["employee_id"], award["award_id"]
            until[pair] = max(until.get(pair, ""), day(award["expires_on"]) or "9999-12-31")
    aimed = {
        (t["employee_id"], t["award_id"])
        for t in rows(hr, "award_targets")
        if t["status"] == "Target"
    }
    gone = {"inactive", "left", "leaver", "terminated", "deleted"}
    active = {
        e["employee_id"] for e in rows(hr, "employees") if str(e["status"]).lower() not in gone
    }
    wanted: dict[str, str] = {}
    soon = (today + timedelta(days=90)).isoformat()
    for row in assigned.values():
        begun = not row["valid_from"] or str(row["valid_from"]) <= today.isoformat()
        if (
            row["employee_id"] not in active
            or not begun
            or (row["valid_to"] and str(row["valid_to"]) <= today.isoformat())
        ):
            continue
        for award in required[str(row["job_role_id"])]:
            pair = row["employee_id"], award
            end = until.get(pair)
            state = "targeted" if pair in aimed else "expired" if end else "missing"
            if end and end >= today.isoformat():
                state = "expiring" if end <= soon else "held"
            wanted[f"{row['employee_id']}~{row['job_role_id']}~{award}"] = state
    found = {
        str(r["compliance_id"]): str(r["state"])
        for r in rows(hr, "role_compliance")
        if r["state"] != "not required"
    }
    return [
        f"compliance {key}: {found.get(key)} instead of {wanted.get(key)}"
        for key in sorted(wanted.keys() ^ found.keys())
    ] + [
        f"compliance {key}: {found[key]} instead of {wanted[key]}"
        for key in sorted(wanted.keys() & found.keys())
        if wanted[key] != found[key]
    ]


def compare_everything(sandbox: str, hr: str, now: datetime) -> list[str]:
    """Every difference on every entity; ``now`` is the sandbox's wall time."""
    return (
        compare(sandbox, hr, now.date())
        + compare_courses(sandbox, hr, now)
        + compare_roles(sandbox, hr, now.date())
    )


def main() -> int:
    sandbox, hr = sys.argv[1:3]
    problems = compare_everything(sandbox, hr, datetime.now(LONDON).replace(tzinfo=None))
    for problem in problems[:20]:
        print(problem)
    counts = ", ".join(f"{len(rows(hr, table)):,} {table.replace('_', ' ')}" for table in TABLES)
    print(f"{counts} compared with the sandbox: {len(problems):,} differences")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
