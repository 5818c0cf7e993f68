"""Reads and writes completed awards as BambooHR's training records, one employee at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd

from reconciliation.frame import of
from reconciliation.plan import one_by_one
from reconciliation.receipts import RECEIPTS
from reconciliation.snapshot import REJECTED, Snapshot
from reconciliation.values import day

from ..cells import raw
from .api import Api, Rejected
from .people import People
from .settings import BamboohrSettings
from .training_types import TrainingTypes
from .trainings import expiry, frequency, keys, notes, unsupported


class Unreadable(ValueError):
    """A value of a training record that cannot be read."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


@dataclass
class _Read:
    """The training records of some people, by the key of the award record."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    rejected: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """Rows of ``snapshot.REJECTED``."""
    numbers: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    """(number of the latest training record, name of its type)."""


class Awards:
    """Reads and writes the training records that hrsync has created."""

    def __init__(self, api: Api, settings: BamboohrSettings, people: People) -> None:
        self._api, self._settings, self._people = api, settings, people
        self._types = TrainingTypes(api, settings)

    def read(
        self, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None
    ) -> Snapshot:
        """Returns the awards of the requested people, or of all people."""
        ids = self._people.ids
        chosen = list(ids)
        if lookups is not None and "employee_id" in lookups:
            chosen = [employee for employee in lookups["employee_id"] if employee in ids]
        read = self._records_of(chosen)
        rows = [
            row
            for row in read.rows.values()
            if lookups is None or any(row.get(name) in values for name, values in lookups.items())
        ]
        kinds = {"award_record_id": "text", **columns}
        frame = of(kinds, [[row[name] for name in kinds] for row in rows])
        return Snapshot(frame, True, of(REJECTED, list(read.rejected.values())))

    def rejections(self, changes: pd.DataFrame) -> pd.DataFrame:
        """Returns receipts of awards that BambooHR cannot hold: unsupported, or failed without a
        label."""
        rows = one_by_one(changes)
        new = self._types.new(rows)
        today = datetime.now(UTC).date()
        receipts = []
        for row in rows:
            months = self._types.months(str(row["award_label"]), new)
            reason = unsupported(row, months, bool(self._settings.expiry_table), today)
            if reason:
                receipts.append((row["key"], "unsupported", reason, None))
            elif row["award_label"] is None:
                reason = "has no label, which is the name of its training type"
                receipts.append((row["key"], "failed", reason, None))
        return of(RECEIPTS, receipts)

    def new_types(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """Returns the types to create for these awards (:meth:`TrainingTypes.new`)."""
        return self._types.new(rows)

    def write(self, row: Mapping[str, Any], new: Mapping[str, int]) -> bool:
        """Writes an award. Returns true if it did not exist before."""
        employee, key = str(row["employee_id"]), str(row["key"])
        number = self._people.ids.get(employee)
        if number is None:
            raise Rejected("BambooHR has no such employee")
        kind = self._types.needed(str(row["award_label"]), new)
        body = {
            "completed": row["completed_on"].isoformat(),
            "notes": notes(key, row["award_id"]),
        }
        existing = self._records_of([employee]).numbers.get(key)
        if existing is not None and existing[1] == kind["name"]:
            self._api.call("PUT", f"v1/training/record/{existing[0]}", body)
        else:
            # The type of a record cannot be changed. A new record is created before the old one is
            # deleted.
            typed = {**body, "type": int(kind["id"])}
            self._api.call("POST", f"v1/training/record/employee/{number}", typed)
            if existing is not None:
                self._api.call("DELETE", f"v1/training/record/{existing[0]}")
        if self._settings.expiry_table:
            self._write_expiry(number, key, row["expires_on"])
        return existing is None

    # -- records ----------------------------------------------------------------------------------

    def _records_of(self, people: Sequence[str]) -> _Read:
        """Reads the training records of these employees. If several have the same key, the latest
        counts."""
        types, ids, read = self._types.by_number(), self._people.ids, _Read()
        for employee in people:
            expiries = self._expiries(ids[employee])
            for record in self._api.keyed(f"v1/training/record/employee/{ids[employee]}"):
                ours = keys(record.get("notes"))
                if ours is not None:
                    self._take(read, record, types, {"employee_id": employee}, ours, expiries)
        return read

    def _take(
        self,
        read: _Read,
        record: Mapping[str, Any],
        types: Mapping[int, Mapping[str, Any]],
        holder: Mapping[str, str],
        ours: tuple[str, str | None],
        expiries: Mapping[str, Any],
    ) -> None:
        """Adds a training record to ``read``, unless a later one with the same key has been added.
        ``ours`` is (award record, award) from its notes."""
        key, award_id = ours
        try:
            number, kind = int(record["id"]), types.get(int(record["type"]))
        except (KeyError, TypeError, ValueError):
            reason = "is not the number of a training type"
            read.rejected[key] = (key, "type", reason, raw(record), None)
            return
        if number < read.numbers.get(key, (number, None))[0]:
            return
        label = str(kind["name"]) if kind else None
        read.numbers[key] = (number, label)
        read.rows.pop(key, None)
        read.rejected.pop(key, None)
        try:
            dates = self._dates(record, kind, expiries.get(key))
        except Unreadable as error:
            with_expiry = raw({**record, "expires_on": expiries.get(key)})
            read.rejected[key] = (key, error.column, str(error), with_expiry, None)
            return
        award = {"award_id": award_id, "award_label": label, "status": "Completed"}
        read.rows[key] = {"award_record_id": key, **holder, **award, **dates}

    def _dates(
        self, record: Mapping[str, Any], kind: Mapping[str, Any] | None, expires: Any
    ) -> dict[str, date | None]:
        """Returns the dates of completion and expiry.

        Raises:
            Unreadable: one of them is not a date, or the award has no date of completion.
        """
        completed = self._day("completed_on", record.get("completed"))
        if completed is None:
            raise Unreadable("completed_on", "has no date")
        until = (
            self._day("expires_on", expires)
            if self._settings.expiry_table
            else expiry(completed, frequency(kind))
        )
        return {"completed_on": completed, "expires_on": until}

    def _day(self, column: str, value: Any) -> date | None:
        """Reads a date. BambooHR writes ``0000-00-00`` for no date."""
        try:
            return None if str(value).startswith("0000") else day(value, self._settings.no_end)
        except ValueError as error:
            raise Unreadable(column, str(error)) from None

    # -- expiry dates in a custom table -----------------------------------------------------------

    def _expiry_rows(self, number: str) -> list[dict[str, Any]]:
        """Returns an employee's rows in the custom table."""
        table = self._settings.expiry_table
        answer = self._api.call("GET", f"v1/employees/{number}/tables/{table}") or []
        return [row for row in answer if isinstance(row, dict)]

    def _expiries(self, number: str) -> dict[str, Any]:
        """Maps each award record of an employee to its expiry in the custom table. If it has
        several rows there, the latest counts."""
        settings = self._settings
        if not settings.expiry_table:
            return {}
        ordered = sorted(self._expiry_rows(number), key=lambda row: int(row.get("id") or 0))
        return {
            str(row.get(settings.expiry_record)): row.get(settings.expiry_date) for row in ordered
        }

    def _write_expiry(self, number: str, record: str, until: date | None) -> None:
        """Writes the expiry of an award record to the custom table."""
        settings = self._settings
        rows = self._expiry_rows(number)
        existing = next(
            (row for row in rows if str(row.get(settings.expiry_record)) == record), None
        )
        if existing is None and until is None:
            return
        row = f"/{existing['id']}" if existing else ""
        body = {
            settings.expiry_record: record,
            settings.expiry_date: until.isoformat() if until else "",
        }
        path = f"v1_1/employees/{number}/tables/{settings.expiry_table}{row}"
        self._api.call("POST", path, body)
