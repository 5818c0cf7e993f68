"""Employees of BambooHR. An employee is known by the employee number; BambooHR's own ID is looked
up by it."""

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
JOB = ("department", "division", "location", "reportsTo")
"""What a row of job information has beside the title: a new row carries it on."""


class People:
    """What a run has read of people it keeps until it ends."""

    def __init__(self, api: Api, settings: BamboohrSettings) -> None:
        self._api = api
        self._names = settings.names()
        self._ids: dict[str, str] = {}
        self._are_read = False

    def population(self) -> int:
        """How many people there are."""
        return self._api.people([self._names["employee_id"]], size=1, pages=1)[1]

    @property
    def ids(self) -> dict[str, str]:
        """Employee number -> BambooHR's own ID."""
        if not self._are_read:
            self.read({}, None)
        return self._ids

    def read(
        self, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None
    ) -> Snapshot:
        """All people are read; those that are asked for are returned. A person is rejected whose
        fields cannot be read, who has no number, or whose number several people have."""
        names = {**self._names, "employee_number": self._names["employee_id"]}
        wanted = list(dict.fromkeys(["id", "employee_id", *columns, *(lookups or {})]))
        records, complete = self._api.everybody(list(dict.fromkeys(names[n] for n in wanted)))
        vanished = tuple(
            n for n in columns if records and not any(names[n] in record for record in records)
        )
        twice = several(str(record.get(names["employee_id"]) or "").strip() for record in records)
        self._ids, self._are_read = {}, True
        found: list[tuple[Any, ...]] = []
        rejected: list[tuple[Any, ...]] = []
        for record in records:
            row, wrong = person(record, {n: names[n] for n in wanted if n not in vanished})
            key, asked = row.get("employee_id"), _is_asked_for(row, lookups)
            if wrong is None and (key is None or row["id"] is None):
                wrong = ("employeeNumber", "has no value: nobody can be told apart by it")
                if not asked:
                    continue
            if key in twice:
                wrong = wrong or ("employeeNumber", SEVERAL)
            if wrong is not None:
                rejected.append((key, *wrong, raw(record), None))
                continue
            self._ids[str(key)] = str(row["id"])
            if asked:
                found.append((key, *(row.get(n) for n in columns)))
        frame = of({"employee_id": "text", **columns}, found)
        return Snapshot(frame, complete, of(REJECTED, rejected), vanished=vanished)

    def write(self, names: Sequence[str], row: Mapping[str, Any]) -> bool:
        """Writes a person; true if there was none."""
        key = str(row["key"])
        known = self.ids.get(key)
        fields = (
            str(row["fields"]).split(",")
            if row["fields"]
            else [name for name in names if row[name] is not None]
        )
        sent = [name for name in fields if name in self._names and name != "job_title"]
        body = {self._names[name]: _text(name, row[name]) for name in sent}
        if known is None:
            title = {self._names["job_title"]: row["job_title"]} if row.get("job_title") else {}
            new = {**body, **title, self._names["employee_id"]: key}
            made = self._api.call("POST", "v1/employees", new)
            if made:
                self.ids[key] = str(made)
            return True
        if body:
            self._api.call("POST", f"v1/employees/{known}", body)
        if "job_title" in fields:
            self._write_title(known, row["job_title"])
        return False

    def _write_title(self, employee: str, title: str | None) -> None:
        """Job information is a history: a row more, unless the latest says the same already."""
        answer = self._api.call("GET", f"v1/employees/{employee}/tables/jobInfo") or []
        rows = [row for row in answer if isinstance(row, dict)]
        latest = max(
            rows, key=lambda row: (str(row.get("date") or ""), int(row.get("id") or 0)), default={}
        )
        if (latest.get("jobTitle") or None) == title:
            return
        today = datetime.now(UTC).date().isoformat()
        carried = {name: str(latest[name]) for name in JOB if latest.get(name)}
        begins = max(today, str(latest.get("date") or today))
        body = {**carried, "date": begins, "jobTitle": title or ""}
        self._api.call("POST", f"v1_1/employees/{employee}/tables/jobInfo", body)


def person(
    record: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[dict[str, str | None], tuple[str, str] | None]:
    """The columns of a person (column -> BambooHR's field) as far as they can be read, and (field,
    reason) of what cannot.

    A field that other records have and this one lacks is not a field without a value: it would be
    emptied in accessplanit.
    """
    found: dict[str, str | None] = {}
    for column, name in names.items():
        if name not in record:
            return found, (name, "is missing from the record")
        try:
            found[column] = text(record[name])
        except ValueError as error:
            return found, (name, str(error))
    said = found.get("status")
    if said is not None:
        # Any other word is an employment status of the tenant's own: the mapping names those that
        # count.
        found["status"] = (
            "Inactive" if said.lower() in LEFT else "Active" if said.lower() == "active" else said
        )
    return found, None


def rejections(changes: pd.DataFrame) -> pd.DataFrame:
    """Receipts of changes of people that BambooHR would refuse."""
    nameless = changes["key"].isna()
    if "forenames" in changes:
        nameless = changes[["forenames", "surname"]].isna().any(axis="columns")
    rows = [
        (key, "failed", "has no forenames or no surname", None) for key in changes["key"][nameless]
    ]
    return concat([of(RECEIPTS, rows), unwritable(changes[~nameless])])


def _is_asked_for(
    row: Mapping[str, str | None], lookups: Mapping[str, Sequence[str]] | None
) -> bool:
    return lookups is None or any(
        identifier(str(row[name])) in {identifier(value) for value in values}
        for name, values in lookups.items()
        if row.get(name) is not None
    )


def _text(name: str, value: Any) -> str:
    if name == "status":
        return "Inactive" if str(value).lower() in LEFT else "Active"
    return "" if value is None else str(value)
