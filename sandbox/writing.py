"""POST, partial PUT, upsert and DELETE, with the field rules that are published for API v1."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from .people import ROLES, full_address, stamp
from .query import Names, stored
from .schema import metadata
from .tick import log
from .webhooks import triggered

LENGTHS = {"Forenames": 50, "MiddleNames": 250, "Surname": 40, "Email": 80, "ID": 64}
MANDATORY = {
    "User": ("Forenames", "Surname", "MainCompanyID"),
    "UserAward": ("UserID", "AwardID", "Status"),
    "UserCourseDate": ("UserID", "CourseDateID", "Status"),
    "UserUserType": ("UserID", "UserTypeID"),
}
REFERENCES = {
    "MainCompanyID": "Company",
    "MainRoleID": "Role",
    "UserID": "User",
    "AwardID": "Award",
    "CourseDateID": "CourseDate",
    "UserTypeID": "UserType",
}
COUNTRIES = ("United Kingdom", "Ireland")
DERIVED = {
    "Fullname",
    "FullAddress",
    "MainCompanyName",
    "MainRoleLabel",
    "DateCreated",
    "DateUpdated",
}
HOLDS = ("Booked", "In Progress", "Completed")
"""Delegate statuses that take a place."""
ALTERNATE_KEYS = {"User": "ExternalID"}


class Refused(ValueError):
    """The body breaks a field rule; ``errors`` goes into the 400 answer."""

    def __init__(self, errors: list[dict[str, str]]) -> None:
        super().__init__("refused")
        self.errors = errors


class Writer:
    """Writes to one module at the sandbox's own time."""

    def __init__(self, connection: sa.Connection, names: Names, now: datetime) -> None:
        self.connection, self.names, self.now = connection, names, now
        self.table = names.table

    def _row(self, body: Mapping[str, Any]) -> dict[str, Any]:
        found = ((self.names.column(wire), value) for wire, value in body.items())
        return {
            name: stored(self.table, name, value)
            for name, value in found
            if name and name not in DERIVED
        }

    def existing(self, identifier: str) -> dict[str, Any] | None:
        row = (
            self.connection.execute(sa.select(self.table).where(self.table.c.ID == identifier))
            .mappings()
            .first()
        )
        return dict(row) if row else None

    def insert(self, body: Mapping[str, Any]) -> dict[str, Any]:
        row = self._row(body)
        if self.table.name == "UserCourseDate":
            row["ID"] = f"{row.get('UserID')}~{row.get('CourseDateID')}"
        row.setdefault("ID", secrets.token_hex(5))
        row.setdefault("Status", "New" if self.table.name == "User" else None)
        if "Status" not in self.table.c:
            row.pop("Status")
        missing = [name for name in MANDATORY.get(self.table.name, ()) if not row.get(name)]
        self._check(row, [{"field": name, "message": "is mandatory"} for name in missing])
        if self.existing(row["ID"]):
            raise Refused([{"field": "ID", "message": "exists already"}])
        self._save({**row, "DateCreated": stamp(self.now)}, "api-insert")
        return row

    def update(self, before: dict[str, Any], body: Mapping[str, Any]) -> None:
        row = self._row(body)
        row.pop("ID", None)
        errors = [
            {"field": name, "message": "is mandatory"}
            for name in MANDATORY.get(self.table.name, ())
            if name in row and not row[name]
        ]
        self._check(row, errors, before["ID"])
        self._place(before, row)
        self._save({**before, **row}, "api-update")

    def _place(self, before: dict[str, Any], row: dict[str, Any]) -> None:
        """A delegate takes a place of the course or gives it back, and needs no authorisation any
        more."""
        if (
            self.table.name != "UserCourseDate"
            or row.get("Status", before["Status"]) == before["Status"]
        ):
            return
        dates = metadata.tables["CourseDate"]
        taken = (row["Status"] in HOLDS) - (before["Status"] in HOLDS)
        left = (
            self.connection.execute(
                sa.select(dates.c.SpacesLeft).where(dates.c.ID == before["CourseDateID"])
            ).scalar()
            or 0
        )
        if left - taken < 0:
            raise Refused([{"field": "Status", "message": "has no place left on this course"}])
        moved = dates.update().where(dates.c.ID == before["CourseDateID"])
        self.connection.execute(moved.values(SpacesLeft=left - taken, DateUpdated=stamp(self.now)))
        asked = metadata.tables["ManagerUserCourseDateAuthorisation"]
        self.connection.execute(asked.delete().where(asked.c.ID == before["ID"]))

    def upsert(self, body: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
        """Matches by ID, else by the module's alternate key; returns the row and whether it is
        new."""
        row = self._row(body)
        before = self.existing(row["ID"]) if row.get("ID") else None
        key = ALTERNATE_KEYS.get(self.table.name)
        if before is None and key and row.get(key):
            found = (
                self.connection.execute(sa.select(self.table).where(self.table.c[key] == row[key]))
                .mappings()
                .first()
            )
            before = dict(found) if found else None
        if before is None:
            return self.insert(body), True
        self.update(before, body)
        return before, False

    def delete(self, identifier: str) -> None:
        """Users are only marked; the rows of the other modules go."""
        if self.table.name == "User":
            self.connection.execute(
                self.table.update()
                .where(self.table.c.ID == identifier)
                .values(Status="Deleted", DateUpdated=stamp(self.now))
            )
        else:
            self.connection.execute(self.table.delete().where(self.table.c.ID == identifier))
        log(self.connection, self.now, self.table.name, identifier, "api-delete")
        triggered(self.connection, self.now, self.table.name, identifier, "deleted")

    def _check(
        self, row: dict[str, Any], errors: list[dict[str, str]], own: str | None = None
    ) -> None:
        for name, limit in LENGTHS.items():
            if len(str(row.get(name) or "")) > limit:
                errors.append({"field": name, "message": f"is longer than {limit} characters"})
        for name, module in REFERENCES.items():
            if (
                row.get(name)
                and not self.connection.execute(
                    sa.select(metadata.tables[module].c.ID).where(
                        metadata.tables[module].c.ID == row[name]
                    )
                ).first()
            ):
                errors.append({"field": name, "message": f"is not the ID of a {module}"})
        if row.get("Country") and row["Country"] not in COUNTRIES:
            errors.append({"field": "Country", "message": "is not in the list"})
        if self.table.name == "User" and row.get("Email"):
            holder = self.connection.execute(
                sa.select(self.table.c.ID).where(self.table.c.Email == row["Email"])
            ).scalar()
            if holder not in (None, own):
                errors.append({"field": "Email", "message": "is in use"})
        if errors:
            raise Refused(errors)

    def _save(self, row: dict[str, Any], event: str) -> None:
        row["DateUpdated"] = stamp(self.now)
        if self.table.name == "User":
            row["Fullname"] = f"{row.get('Forenames')} {row.get('Surname')}"
            row["FullAddress"] = full_address(
                {
                    name: row.get(name)
                    for name in ("Address", "Town", "County", "Country", "Postcode")
                }
            )
            row["MainRoleID"] = row.get("MainRoleID") or ROLES[3][0]
            row["MainRoleLabel"] = dict(ROLES).get(row["MainRoleID"])
            row["MainCompanyName"] = self.connection.execute(
                sa.text('SELECT "Name" FROM "Company" WHERE "ID" = :id'),
                {"id": row.get("MainCompanyID")},
            ).scalar()
        for label, module, key in (
            ("AwardLabel", "Award", "AwardID"),
            ("UserTypeLabel", "UserType", "UserTypeID"),
        ):
            if label in self.table.c:
                other = metadata.tables[module]
                row[label] = self.connection.execute(
                    sa.select(other.c.Label).where(other.c.ID == row.get(key))
                ).scalar()
        if "UserFullname" in self.table.c:
            people = metadata.tables["User"]
            row["UserFullname"] = self.connection.execute(
                sa.select(people.c.Fullname).where(people.c.ID == row.get("UserID"))
            ).scalar()
        known = self.existing(row["ID"])
        statement = (
            self.table.update().where(self.table.c.ID == row["ID"])
            if known
            else self.table.insert()
        )
        self.connection.execute(statement.values(row))
        log(self.connection, self.now, self.table.name, row["ID"], event)
        triggered(
            self.connection, self.now, self.table.name, row["ID"], "updated" if known else "created"
        )
