"""Reads and writes employees of BambooHR. We identify them by employee number, from which
BambooHR's own ID is looked up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from reconciliation.frame import concat, of
from reconciliation.identifiers import identifier
from reconciliation.receipts import RECEIPTS
from reconciliation.snapshot import REJECTED, Snapshot
from reconciliation.values import text

from ..cells import SEVERAL, raw, several, unwritable
from .api import Api
from .settings import BamboohrSettings

LEFT = frozenset({"inactive", "left", "leaver", "terminated", "deleted"})
"""Statuses, in lower case, that mean inactive."""
JOB = ("department", "division", "location", "reportsTo")
"""Fields of job information that are copied to a new row with another title."""


class People:
    """Employees, whose IDs are read once per run."""

    def __init__(self, api: Api, settings: BamboohrSettings) -> None:
        self._api = api
        self._names = settings.names()
        self._ids: dict[str, str] = {}
        self._are_read = False

    def population(self) -> int:
        """Returns the number of people."""
        return self._api.people([self._names["employee_id"]], size=1, pages=1)[1]

    @property
    def ids(self) -> dict[str, str]:
        """Employee number -> BambooHR's ID."""
        if not self._are_read:
            self.read({}, None)
        return self._ids

    def read(
        self, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None
    ) -> Snapshot:
        """Reads all people and returns the requested ones. People are rejected if their fields
        cannot be read, if they have no number, or if several people have the same number."""
        names = {**self._names, "employee_number": self._names["employee_id"]}
        wanted = list(dict.fromkeys(["id", "employee_id", *columns, *(lookups or {})]))
        records, complete = self._api.everybody(list(dict.fromkeys(names[n] for n in wanted)))
        vanished = tuple(
            n for n in columns if records and not any(names[n] in record for record in records)
        )
        twice = several(str(record.get(names["employee_id"]) or "").strip() for record in records)
        self._ids, self._are_read = {}, True
        rows: list[tuple[Any, ...]] = []
        rejected: list[tuple[Any, ...]] = []
        for record in records:
            row, fault = person(record, {n: names[n] for n in wanted if n not in vanished})
            key, requested = row.get("employee_id"), _is_requested(row, lookups)
            if fault is None and (key is None or row["id"] is None):
                fault = ("employeeNumber", "has no value, so the person cannot be identified")
                if not requested:
                    continue
            if key in twice:
                fault = fault or ("employeeNumber", SEVERAL)
            if fault is not None:
                rejected.append((key, *fault, raw(record), None))
                continue
            self._ids[str(key)] = str(row["id"])
            if requested:
                rows.append((key, *(row.get(n) for n in columns)))
        frame = of({"employee_id": "text", **columns}, rows)
        return Snapshot(frame, complete, of(REJECTED, rejected), vanished=vanished)

    def write(self, names: Sequence[str], row: Mapping[str, Any]) -> bool:
        """Writes a person. Returns true if the person did not exist before."""
        key = str(row["key"])
        bamboo_id = self.ids.get(key)
        fields = (
            str(row["fields"]).split(",")
            if row["fields"]
            else [name for name in names if row[name] is not None]
        )
        sent = [name for name in fields if name in self._names and name != "job_title"]
        body = {self._names[name]: _text(name, row[name]) for name in sent}
        if bamboo_id is None:
            title = {self._names["job_title"]: row["job_title"]} if row.get("job_title") else {}
            new = {**body, **title, self._names["employee_id"]: key}
            new_id = self._api.call("POST", "v1/employees", new)
            if new_id:
                self.ids[key] = str(new_id)
            return True
        if body:
            self._api.call("POST", f"v1/employees/{bamboo_id}", body)
        if "job_title" in fields:
            self._write_title(bamboo_id, row["job_title"])
        return False

    def _write_title(self, employee: str, title: str | None) -> None:
        """Writes the job title. Job information is a history, so a row is added, unless the latest
        row already has this title."""
        answer = self._api.call("GET", f"v1/employees/{employee}/tables/jobInfo") or []
        rows = [row for row in answer if isinstance(row, dict)]
        latest = max(
            rows, key=lambda row: (str(row.get("date") or ""), int(row.get("id") or 0)), default={}
        )
        if (latest.get("jobTitle") or None) == title:
            return
        today = datetime.now(UTC).date().isoformat()
        unchanged = {name: str(latest[name]) for name in JOB if latest.get(name)}
        # Not before the latest row, which may be in the future.
        begins = max(today, str(latest.get("date") or today))
        body = {**unchanged, "date": begins, "jobTitle": title or ""}
        self._api.call("POST", f"v1_1/employees/{employee}/tables/jobInfo", body)


def person(
    record: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[dict[str, str | None], tuple[str, str] | None]:
    """Reads the columns of a person, up to the first field that cannot be read.

    A missing field is a fault, not an empty value: else accessplanit's value would be cleared.

    Args:
        record: BambooHR's fields.
        names: column -> BambooHR's field.

    Returns:
        The columns, and (field, reason) of the fault or ``None``.
    """
    columns: dict[str, str | None] = {}
    for column, name in names.items():
        if name not in record:
            return columns, (name, "is missing from the record")
        try:
            columns[column] = text(record[name])
        except ValueError as error:
            return columns, (name, str(error))
    status = columns.get("status")
    if status is not None:
        # Any other status is the tenant's own employment status, which the mapping must name.
        if status.lower() in LEFT:
            columns["status"] = "Inactive"
        elif status.lower() == "active":
            columns["status"] = "Active"
    return columns, None


def rejections(changes: pd.DataFrame) -> pd.DataFrame:
    """Returns receipts of changes of people that BambooHR would refuse."""
    nameless = changes["key"].isna()
    if "forenames" in changes:
        nameless = changes[["forenames", "surname"]].isna().any(axis="columns")
    rows = [
        (key, "failed", "has no forenames or no surname", None) for key in changes["key"][nameless]
    ]
    return concat([of(RECEIPTS, rows), unwritable(changes[~nameless])])


def _is_requested(
    row: Mapping[str, str | None], lookups: Mapping[str, Sequence[str]] | None
) -> bool:
    """Whether a person has one of the looked-up values, in any spelling."""
    return lookups is None or any(
        identifier(str(row[name])) in {identifier(value) for value in values}
        for name, values in lookups.items()
        if row.get(name) is not None
    )


def _text(name: str, value: Any) -> str:
    """Returns the text to send for a column."""
    if name == "status":
        return "Inactive" if str(value).lower() in LEFT else "Active"
    return "" if value is None else str(value)
