"""BambooHR as an HR system. An employee is known by the employee number; BambooHR's own ID is
looked up by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd

from reconciliation.errors import HrsyncError, Misconfigured
from reconciliation.frame import arrow, concat, of
from reconciliation.identifiers import identifier
from reconciliation.person import Erased, Person
from reconciliation.plan import managed
from reconciliation.receipts import PAST_TENSE, RECEIPTS, after
from reconciliation.snapshot import REJECTED, Snapshot
from reconciliation.values import day, text

from ..cells import SEVERAL, raw, several, unwritable
from .api import Api, Rejected
from .settings import BamboohrSettings, capabilities
from .trainings import expiry, frequency, keys, notes, unsupported, usual

LEFT = frozenset({"inactive", "left", "leaver", "terminated", "deleted"})
JOB = ("department", "division", "location", "reportsTo")
"""What a row of job information has beside the title: a new row carries it on."""
Receipt = tuple[str, str, str | None, None]


class Unreadable(ValueError):
    """A date of an award that cannot be read."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


class BambooHr:
    """Implements :class:`reconciliation.ports.HrSystem` for people and completed awards.

    Every change is a request or two of its own, and each row has a receipt of its own. What a run
    has read of people and training types it keeps until it ends.
    """

    batch = 100

    def __init__(self, settings: BamboohrSettings) -> None:
        self.settings, self.api = settings, Api(settings)
        self.name, self.capabilities = self.api.url, capabilities(settings)
        self._names = settings.names()
        self._ids: dict[str, str] | None = None
        self._types: dict[str, dict[str, Any]] | None = None

    def close(self) -> None:
        """Closes the connection."""
        self.api.close()

    def forget(self, person: Person) -> Erased:
        """Nothing: all rows are the system's own."""
        return Erased()

    def population(self, entity: str) -> int:
        """How many people there are; of awards, which BambooHR does not count, as many."""
        return self.api.people([self._names["employee_id"]], size=1, pages=1)[1]

    def read(
        self,
        entity: str,
        columns: Mapping[str, str],
        lookups: Mapping[str, Sequence[str]] | None = None,
        since: datetime | None = None,
    ) -> Snapshot:
        """People are read whole, a thousand at a time; awards one person at a time, for the people
        asked for. ``since`` is not used."""
        return (
            self._people(columns, lookups)
            if entity == "employees"
            else self._awards(columns, lookups)
        )

    def unfit(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Receipts of awards that BambooHR has no place for: unsupported."""
        if entity == "employees":
            lacking = (
                changes["forenames"].isna() | changes["surname"].isna()
                if "forenames" in changes
                else changes["key"].isna()
            )
            nameless = of(
                RECEIPTS,
                [
                    (key, "failed", "has no forenames or no surname", None)
                    for key in changes["key"][lacking]
                ],
            )
            return concat([nameless, unwritable(changes[~lacking])])
        rows = _dicts(changes)
        fresh = self._new_types(rows)
        today = datetime.now(UTC).date()
        found = []
        for row in rows:
            kind = self._all_types().get(str(row["award_label"]).lower())
            months = frequency(kind) if kind else fresh.get(str(row["award_label"]).lower(), 0)
            reason = unsupported(row, months, bool(self.settings.expiry_table), today)
            if reason or row["award_label"] is None:
                found.append(
                    (
                        row["key"],
                        "unsupported" if reason else "failed",
                        reason or "has no label to make a training type of",
                        None,
                    )
                )
        return of(RECEIPTS, found)

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """One change after the other.

        Raises:
            TargetFailed, CredentialsRefused: BambooHR cannot be asked. The error carries the
                receipts of what it had answered; the next run finds out about the rest.
        """
        rows, names = _dicts(changes), managed(changes)
        fresh = self._new_types(rows) if entity == "awards" else {}
        receipts: list[Receipt] = []
        for row in rows:
            try:
                made = (
                    self._person(names, row) if entity == "employees" else self._award(row, fresh)
                )
            except Rejected as refused:
                receipts.append((str(row["key"]), "failed", str(refused), None))
                continue
            except HrsyncError as fault:
                raise after(of(RECEIPTS, receipts), fault) from None
            receipts.append(
                (
                    str(row["key"]),
                    "created"
                    if made
                    else PAST_TENSE["update" if row["kind"] == "create" else row["kind"]],
                    None,
                    None,
                )
            )
        return of(RECEIPTS, receipts)

    # -- people -----------------------------------------------------------------------------------

    def _people(
        self, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None
    ) -> Snapshot:
        names = {**self._names, "employee_number": self._names["employee_id"]}
        wanted = list(dict.fromkeys(["id", "employee_id", *columns, *(lookups or {})]))
        rows, complete = self.api.everybody(list(dict.fromkeys(names[n] for n in wanted)))
        found: list[tuple[Any, ...]] = []
        rejected: list[tuple[Any, ...]] = []
        self._ids = {}
        plain = {name: {identifier(v) for v in values} for name, values in (lookups or {}).items()}
        vanished = tuple(
            n for n in columns if rows and not any(names[n] in record for record in rows)
        )
        twice = several(str(record.get(names["employee_id"]) or "").strip() for record in rows)
        for record in rows:
            row, wrong = _row(record, {n: names[n] for n in wanted if n not in vanished})
            key = row.get("employee_id")
            asked = lookups is None or any(
                identifier(str(row[n])) in values
                for n, values in plain.items()
                if row.get(n) is not None
            )
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
        read = of({"employee_id": "text", **columns}, found)
        return Snapshot(read, complete, of(REJECTED, rejected), vanished=vanished)

    def _id(self, employee: str) -> str | None:
        if self._ids is None:
            self._people({}, None)
        return (self._ids or {}).get(employee)

    def _person(self, names: Sequence[str], row: Mapping[str, Any]) -> bool:
        """Writes a person; true if there was none."""
        key = str(row["key"])
        known = self._id(key)
        fields = (
            str(row["fields"]).split(",")
            if row["fields"]
            else [n for n in names if row[n] is not None]
        )
        body = {
            self._names[n]: self._text(n, row[n])
            for n in fields
            if n in self._names and n != "job_title"
        }
        if known is None:
            title = {self._names["job_title"]: row["job_title"]} if row.get("job_title") else {}
            made = self.api.call(
                "POST", "v1/employees", {**body, **title, self._names["employee_id"]: key}
            )
            if self._ids is not None and made:
                self._ids[key] = str(made)
            return True
        if body:
            self.api.call("POST", f"v1/employees/{known}", body)
        if "job_title" in fields:
            self._job(known, row["job_title"])
        return False

    def _text(self, name: str, value: Any) -> str:
        if name == "status":
            return "Inactive" if str(value).lower() in LEFT else "Active"
        return "" if value is None else str(value)

    def _job(self, employee: str, title: str | None) -> None:
        """Job information is a history: a row more, unless the latest says the same already."""
        rows = [
            row
            for row in self.api.call("GET", f"v1/employees/{employee}/tables/jobInfo") or []
            if isinstance(row, dict)
        ]
        latest = max(
            rows, key=lambda row: (str(row.get("date") or ""), int(row.get("id") or 0)), default={}
        )
        if (latest.get("jobTitle") or None) != title:
            today = datetime.now(UTC).date().isoformat()
            carried = {name: str(latest[name]) for name in JOB if latest.get(name)}
            body = {
                **carried,
                "date": max(today, str(latest.get("date") or today)),
                "jobTitle": title or "",
            }
            self.api.call("POST", f"v1_1/employees/{employee}/tables/jobInfo", body)

    # -- awards -----------------------------------------------------------------------------------

    def _awards(
        self, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None
    ) -> Snapshot:
        if self._ids is None:
            self._people({}, None)
        ids = self._ids or {}
        people = (
            list(ids)
            if lookups is None or "employee_id" not in lookups
            else [p for p in lookups["employee_id"] if p in ids]
        )
        types = {int(kind["id"]): kind for kind in self._all_types().values()}
        rows: dict[str, dict[str, Any]] = {}
        rejected: dict[str, tuple[Any, ...]] = {}
        self._records: dict[str, tuple[int, str | None]] = {}
        for person in people:
            expiries = self._expiries(ids[person])
            for record in self.api.keyed(f"v1/training/record/employee/{ids[person]}"):
                ours = keys(record.get("notes"))
                if ours is None:
                    continue
                key, award_id = ours
                try:
                    number, kind = int(record["id"]), types.get(int(record["type"]))
                except (KeyError, TypeError, ValueError):
                    rejected[key] = (
                        key,
                        "type",
                        "is not the number of a training type",
                        raw(record),
                        None,
                    )
                    continue
                if number < self._records.get(key, (number, None))[0]:
                    continue
                self._records[key] = (number, str(kind["name"]) if kind else None)
                rows.pop(key, None)
                rejected.pop(key, None)
                try:
                    dates = self._dates(record, kind, expiries.get(key))
                except Unreadable as error:
                    rejected[key] = (
                        key,
                        error.column,
                        str(error),
                        raw({**record, "expires_on": expiries.get(key)}),
                        None,
                    )
                    continue
                told = {
                    "employee_id": person,
                    "award_id": award_id,
                    "award_label": self._records[key][1],
                    "status": "Completed",
                }
                rows[key] = {"award_record_id": key, **told, **dates}
        asked = {name: set(values) for name, values in (lookups or {}).items()}
        chosen = [
            r
            for r in rows.values()
            if lookups is None or any(r.get(n) in values for n, values in asked.items())
        ]
        names = ["award_record_id", *columns]
        kinds = {"award_record_id": "text", **columns}
        return Snapshot(
            of(kinds, [[r[n] for n in names] for r in chosen]),
            True,
            of(REJECTED, list(rejected.values())),
        )

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
            if self.settings.expiry_table
            else expiry(completed, frequency(kind))
        )
        return {"completed_on": completed, "expires_on": until}

    def _day(self, column: str, value: Any) -> date | None:
        """A date, of which BambooHR writes none as ``0000-00-00``."""
        try:
            return None if str(value).startswith("0000") else day(value, self.settings.no_end)
        except ValueError as error:
            raise Unreadable(column, str(error)) from None

    def _award(self, row: Mapping[str, Any], fresh: Mapping[str, int]) -> bool:
        """Writes an award; true if there was none."""
        employee = self._id(str(row["employee_id"]))
        if employee is None:
            raise Rejected("BambooHR has no such employee")
        kind = self._type(str(row["award_label"]), fresh)
        body = {
            "completed": row["completed_on"].isoformat(),
            "notes": notes(str(row["key"]), row["award_id"]),
        }
        self._awards({}, {"employee_id": [str(row["employee_id"])]})
        there = self._records.get(str(row["key"]))
        same_type = there is not None and there[1] == kind["name"]
        if there is not None and same_type:
            self.api.call("PUT", f"v1/training/record/{there[0]}", body)
        else:
            # A record keeps its type for good: the new one is made before the old one goes.
            self.api.call(
                "POST", f"v1/training/record/employee/{employee}", {**body, "type": int(kind["id"])}
            )
            if there is not None:
                self.api.call("DELETE", f"v1/training/record/{there[0]}")
        if self.settings.expiry_table:
            self._expire(employee, str(row["key"]), row["expires_on"])
        return there is None

    def _expiries(self, employee: str) -> dict[str, Any]:
        """Award record -> its expiry as the custom table has it."""
        if not self.settings.expiry_table:
            return {}
        s = self.settings
        rows = self.api.call("GET", f"v1/employees/{employee}/tables/{s.expiry_table}") or []
        ordered = sorted(
            (r for r in rows if isinstance(r, dict)), key=lambda r: int(r.get("id") or 0)
        )
        return {str(row.get(s.expiry_record)): row.get(s.expiry_date) for row in ordered}

    def _expire(self, employee: str, record: str, until: date | None) -> None:
        s = self.settings
        rows = [
            r
            for r in self.api.call("GET", f"v1/employees/{employee}/tables/{s.expiry_table}") or []
            if isinstance(r, dict)
        ]
        there = next((r for r in rows if str(r.get(s.expiry_record)) == record), None)
        body = {s.expiry_record: record, s.expiry_date: until.isoformat() if until else ""}
        if there is not None or until is not None:
            row = f"/{there['id']}" if there else ""
            self.api.call("POST", f"v1_1/employees/{employee}/tables/{s.expiry_table}{row}", body)

    # -- training types ---------------------------------------------------------------------------

    def _all_types(self) -> dict[str, dict[str, Any]]:
        """Name, in small letters -> type."""
        if self._types is None:
            self._types = {
                str(kind.get("name")).lower(): kind for kind in self.api.keyed("v1/training/type")
            }
        return self._types

    def _new_types(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        """Names of types that are to be made -> renewal period in months: that of most of the
        awards."""
        labels = {str(row["award_label"]).lower() for row in rows} - set(self._all_types())
        return {
            label: usual([r for r in rows if str(r["award_label"]).lower() == label])
            for label in labels
        }

    def _type(self, name: str, fresh: Mapping[str, int]) -> dict[str, Any]:
        """The training type of this name, created if it does not exist.

        Raises:
            Misconfigured: BambooHR does not let us make it.
        """
        there = self._all_types().get(name.lower())
        if there is not None:
            return there
        months = fresh.get(name.lower(), 0)
        body: dict[str, Any] = {
            "name": name,
            "category": {"id": self._category()},
            "renewable": bool(months),
        }
        try:
            made = self.api.call(
                "POST", "v1/training/type", {**body, **({"frequency": months} if months else {})}
            )
        except Rejected:
            raise Misconfigured(
                "BambooHR does not let us make a training type",
                "Give the API key's user the right, or make the types.",
            ) from None
        self._all_types()[name.lower()] = made
        return dict(made)

    def _category(self) -> int:
        name = self.settings.category
        there = next(
            (
                c
                for c in self.api.keyed("v1/training/category")
                if str(c.get("name")).lower() == name.lower()
            ),
            None,
        )
        return int((there or self.api.call("POST", "v1/training/category", {"name": name}))["id"])


def _row(
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


def _dicts(changes: pd.DataFrame) -> list[dict[str, Any]]:
    values = zip(*(arrow(changes[c]).to_pylist() for c in changes.columns), strict=True)
    return [dict(zip(changes.columns, row, strict=True)) for row in values]
