"""Employees of a system that is put to the laws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from flows.catalogue import PROCESSES
from reconciliation.capabilities import narrowed
from reconciliation.errors import HrsyncError
from reconciliation.frame import concat, of
from reconciliation.plan import Plan, reconcile
from reconciliation.ports import HrSystem
from reconciliation.run.load import Sending

KEY = "employee_id"
WYN = {
    "accessplanit_id": "U1",
    "forenames": "Wyn",
    "surname": "Ashdown",
    "email": "wyn@hr.example",
    "phone": "+44 1539 555001",
    "mobile": "07700 900123",
    "job_title": "Welder",
    "status": "Active",
    "town": "Kendal",
}
"""Somebody invented."""


class People:
    """A system seen through plans over the columns that it holds."""

    def __init__(self, system: HrSystem) -> None:
        self.system = system
        held = system.capabilities.entities["employees"].columns
        self.columns = {name: held[name] for name in WYN if name in held}

    def wanted(self, *people: Mapping[str, Any]) -> pd.DataFrame:
        rows = [
            [
                p[KEY],
                *(
                    {**WYN, "email": f"{p[KEY]}@hr.example".lower(), **p}.get(n)
                    for n in self.columns
                ),
            ]
            for p in people
        ]
        return of({KEY: "text", **self.columns}, rows)

    def read(self, **lookups: list[str]) -> dict[str, dict[str, Any]]:
        rows = self.system.read("employees", self.columns, lookups or None).frame
        return {str(r[KEY]): r for r in rows.to_dict("records")}

    def plan(self, *people: Mapping[str, Any]) -> Plan:
        return reconcile(
            self.wanted(*people),
            self.system.read("employees", self.columns).frame,
            KEY,
            self.columns,
            list(self.columns),
        )

    def write(self, *people: Mapping[str, Any]) -> list[tuple[str, str]]:
        """(key, outcome) of each change of the plan, loaded as a run loads it."""
        return self.load(self.plan(*people).changes)

    def load(self, changes: pd.DataFrame) -> list[tuple[str, str]]:
        rejections = self.system.rejections("employees", changes)
        fit = changes[~changes["key"].isin(rejections["key"])].reset_index(drop=True)
        spec = narrowed(PROCESSES["users_to_hr"].scoped(), self.system.capabilities)
        sending = Sending(spec, fit)
        while (part := sending.next()) is not None:
            try:
                sending.receive(self.system.apply("employees", part))
            except HrsyncError:
                raise
            except Exception as error:
                sending.refuse(error)
        receipts = concat([sending.receipts, rejections])
        self.reasons = [r for r in receipts["reason"].tolist() if not pd.isna(r)]
        return list(zip(receipts["key"].tolist(), receipts["outcome"].tolist(), strict=True))


def somebody(key: str = "E1", **values: Any) -> dict[str, Any]:
    return {KEY: key, **values}


def bad(system: HrSystem) -> dict[str, Any]:
    """Somebody whom this system cannot take."""
    if system.capabilities.system == "the SCIM server":
        return somebody("E5", email="e2@hr.example")
    return somebody("E5", surname=None)
