"""Completed awards as training records of BambooHR, one employee at a time."""

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
    """What the training records of some people say, each by the key of the award record."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    rejected: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """Rows of ``snapshot.REJECTED``."""
    numbers: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    """The number of the latest training record, and its type's name."""


class Awards:
    """Reads and writes the training records that are ours."""

    def __init__(self, api: Api, settings: BamboohrSettings, people: People) -> None:
        self._api, self._settings, self._people = api, settings, people
        self._types = TrainingTypes(api, settings)

    def read(
        self, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None
    ) -> Snapshot:
        """The awards of the people who are asked for, or of everybody."""
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
        """Receipts of awards that BambooHR has no place for: unsupported."""
        rows = one_by_one(changes)
        new = self._types.new(rows)
        today = datetime.now(UTC).date()
        found = []
        for row in rows:
            months = self._types.months(str(row["award_label"]), new)
            reason = unsupported(row, months, bool(self._settings.expiry_table), today)
            if reason:
                found.append((row["key"], "unsupported", reason, None))
            elif row["award_label"] is None:
                reason = "has no label to make a training type of"
                found.append((row["key"], "failed", reason, None))
        return of(RECEIPTS, found)

    def new_types(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """The types that are made with these awards (:meth:`TrainingTypes.new`)."""
        return self._types.new(rows)

    def write(self, row: Mapping[str, Any], new: Mapping[str, int]) -> bool:
        """Writes an award; true if there was none."""
        employee, key = str(row["employee_id"]), str(row["key"])
        number = self._people.ids.get(employee)
        if number is None:
            raise Rejected("BambooHR has no such employee")
        kind = self._types.needed(str(row["award_label"]), new)
        body = {
            "completed": row["completed_on"].isoformat(),
            "notes": notes(key, row["award_id"]),
        }
        there = self._records_of([employee]).numbers.get(key)
        if there is not None and there[1] == kind["name"]:
            self._api.call("PUT", f"v1/training/record/{there[0]}", body)
        else:
            # A record keeps its type for good: the new one is made before the old one goes.
            typed = {**body, "type": int(kind["id"])}
            self._api.call("POST", f"v1/training/record/employee/{number}", typed)
            if there is not None:
                self._api.call("DELETE", f"v1/training/record/{there[0]}")
        if self._settings.expiry_table:
            self._write_expiry(number, key, row["expires_on"])
        return there is None

    # -- records ----------------------------------------------------------------------------------

    def _records_of(self, people: Sequence[str]) -> _Read:
        """Of several records with one key the latest counts."""
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
        """Adds a training record, unless a later one has been added. ``ours``: award record and
        award."""
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
            shown = raw({**record, "expires_on": expiries.get(key)})
            read.rejected[key] = (key, error.column, str(error), shown, None)
            return
        award = {"award_id": award_id, "award_label": label, "status": "Completed"}
        read.rows[key] = {"award_record_id": key, **holder, **award, **dates}

    def _dates(
        self, record: Mapping[str, Any], kind: Mapping[str, Any] | None, expires: Any
    ) -> dict[str, date | None]:
        """When the award was completed and when it expires.

        Raises:
            Unreadable: one of them is not a date.
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
        """A date; BambooHR writes ``0000-00-00`` for no date."""
        try:
            return None if str(value).startswith("0000") else day(value, self._settings.no_end)
        except ValueError as error:
            raise Unreadable(column, str(error)) from None

    # -- expiry dates in a custom table -----------------------------------------------------------

    def _expiry_rows(self, number: str) -> list[dict[str, Any]]:
        table = self._settings.expiry_table
        answer = self._api.call("GET", f"v1/employees/{number}/tables/{table}") or []
        return [row for row in answer if isinstance(row, dict)]

    def _expiries(self, number: str) -> dict[str, Any]:
        """Award record -> its expiry as the custom table has it."""
        settings = self._settings
        if not settings.expiry_table:
            return {}
        ordered = sorted(self._expiry_rows(number), key=lambda row: int(row.get("id") or 0))
        return {
            str(row.get(settings.expiry_record)): row.get(settings.expiry_date) for row in ordered
        }

    def _write_expiry(self, number: str, record: str, until: date | None) -> None:
        settings = self._settings
        rows = self._expiry_rows(number)
        there = next((row for row in rows if str(row.get(settings.expiry_record)) == record), None)
        if there is None and until is None:
            return
        row = f"/{there['id']}" if there else ""
        body = {
            settings.expiry_record: record,
            settings.expiry_date: until.isoformat() if until else "",
        }
        path = f"v1_1/employees/{number}/tables/{settings.expiry_table}{row}"
        self._api.call("POST", path, body)
