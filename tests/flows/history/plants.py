"""Discrepancies that are planted, and the questions that must find them."""

from __future__ import annotations

import os
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.checkpoints import Folder
from flows._history import Answer, answer
from flows._run import Order, plainly, run_process
from flows.catalogue import PROCESSES
from reconciliation.capabilities import narrowed
from reconciliation.errors import UnsafePlan
from reconciliation.history import causes
from reconciliation.history import classes as c
from reconciliation.history.findings import to_repair
from reconciliation.history.inquiry import Inquiry
from reconciliation.spec import ProcessSpec
from tasks.history import compare_partition, origin_of
from tests.sides import Side
from tests.to_hr import hr_sql, sandbox_sql

PLAIN = pytest.mark.parametrize("dialect_name", ["standard"])
"""For what does not depend on how the tenant speaks."""
WHOLE = os.environ.get("HRSYNC_HISTORY_TESTS") == "whole"
TODAY = datetime.now(UTC).date()


def in_process(url: str, number: int) -> None:
    for part in range(number):
        compare_partition.fn(url, part)


def spec_of(side: Side, name: str) -> ProcessSpec:
    return narrowed(PROCESSES[name].scoped(), side.target.capabilities)


def ask(
    side: Side,
    name: str = "awards_to_hr",
    *,
    partition: int = 250_000,
    now: datetime | None = None,
    **wanted: Any,
) -> Answer:
    spec = spec_of(side, name)
    inquiry = Inquiry(process=name, **({"as_of": (now or datetime.now(UTC)).date()} | wanted))
    world = side.world(spec, now=now)
    folder = Folder(str(side.folder / "work" / inquiry.digest(b"salt")))
    found = answer(
        spec, inquiry, world, side.target, folder, in_process, rows=partition, call=plainly
    )
    folder.remove()
    counts = found.findings.counts()
    assert sum(counts.values()) == len(found.findings.rows), "every record is in one class"
    known = found.findings.rows["key"].dropna().tolist()
    assert len(known) == len(set(known)), "every row of HR is in one class"
    records = found.findings.rows["source_key"].dropna().tolist()
    assert len(records) == len(set(records)), "every record is in one class"
    return found


def verdicts(found: Answer) -> dict[str, tuple[str, str]]:
    """Key -> class and cause of all that is not as it should be; what has waited for its person
    since before is not news."""
    shown = found.findings.odd
    keys = shown["key"].fillna(shown["source_key"])
    return {
        str(k): (str(a), str(b))
        for k, a, b in zip(keys, shown["class"], shown["cause"], strict=True)
    }


def repair(side: Side, found: Answer) -> str:
    """Plans the repair; returns the digest that somebody has to decide on."""
    spec = spec_of(side, found.findings.inquiry.process)
    named = to_repair(spec, found.findings.rows, origin_of(side.store, spec))
    with pytest.raises(UnsafePlan, match="waits for somebody") as stopped:
        run_process(spec, side.world(spec), Order(named=named, confirm=True), call=plainly)
    return stopped.value.digest


class Plants:
    """Plants discrepancies at random places, and notes what must be said of each."""

    def __init__(self, side: Side, seed: int) -> None:
        self.side, self.random = side, random.Random(seed)
        self.expected: dict[str, tuple[str, str]] = {}
        now = side.sandbox.now()
        self.late = (now + timedelta(seconds=2)).isoformat(timespec="milliseconds")
        self.early = (now - timedelta(days=30)).isoformat(timespec="milliseconds")
        held = side.rows("awards")
        groups = Counter((r["employee_id"], r["award_id"]) for r in held)
        # One of its kind: what is planted there has no bearing on another row.
        self.single = [
            r
            for r in held
            if groups[r["employee_id"], r["award_id"]] == 1
            and r["state"] == "achieved"
            and r["expires_on"]
        ]
        self.random.shuffle(self.single)
        self.superseded = [r for r in held if r["state"] == "superseded"]
        self.random.shuffle(self.superseded)
        self.number = 0

    def one(self) -> dict[str, Any]:
        return self.single.pop()

    def hr(self, statement: str, *parameters: Any) -> None:
        hr_sql(self.side, statement, *parameters)

    def source(self, statement: str, *parameters: Any) -> None:
        sandbox_sql(self.side, statement, *parameters)

    def new_record(self, like: str, **values: Any) -> str:
        """A record of accessplanit like another one, but for some values."""
        self.number += 1
        key = f"PLANTED{self.number:04}"
        with self.side.sandbox.engine.begin() as connection:
            row = dict(
                connection.exec_driver_sql('SELECT * FROM "UserAward" WHERE "ID" = ?', (like,))
                .mappings()
                .one()
            )
            row |= {"ID": key, "DateCreated": self.late, "DateUpdated": self.late} | values
            names, marks = ", ".join(f'"{n}"' for n in row), ", ".join("?" * len(row))
            connection.exec_driver_sql(
                f'INSERT INTO "UserAward" ({names}) VALUES ({marks})', tuple(row.values())
            )
        return key

    # the kinds

    def removed_in_hr(self) -> None:
        key = self.one()["award_record_id"]
        self.hr("DELETE FROM awards WHERE award_record_id = ?", key)
        self.expected[key] = ("missing in HR", "removed in HR")

    def edited_in_hr(self) -> None:
        key = self.one()["award_record_id"]
        self.hr("UPDATE awards SET award_label = 'typed over' WHERE award_record_id = ?", key)
        self.expected[key] = (c.DIFFERS, "edited in HR")

    def expired_in_hr(self) -> None:
        key = self.one()["award_record_id"]
        self.hr(
            "UPDATE awards SET expires_on = '2020-01-01', state = 'expired' WHERE "
            "award_record_id = ?",
            key,
        )
        self.expected[key] = (c.EXPIRED, "edited in HR")

    def current_in_hr(self) -> None:
        key = self.superseded.pop()["award_record_id"]
        self.hr(
            "UPDATE awards SET state = 'achieved', superseded_by = NULL WHERE award_record_id = ?",
            key,
        )
        self.expected[key] = (c.SUPERSEDED, "edited in HR")

    def made_in_hr(self) -> None:
        row, key = self.one(), f"BY-HAND-{self.number}"
        self.number += 1
        self.hr(
            "INSERT INTO awards (award_record_id, employee_id, award_id, status, completed_on, "
            "state) VALUES (?, ?, ?, 'Completed', ?, ?)",
            *(key, row["employee_id"], "AW-NONE", "2026-01-01", "achieved"),
        )
        self.expected[key] = ("only in HR", "made in HR")

    def gone(self) -> None:
        key = self.one()["award_record_id"]
        self.source('DELETE FROM "UserAward" WHERE "ID" = ?', key)
        self.expected[key] = ("only in HR", "gone from accessplanit")

    def new(self) -> None:
        key = self.new_record(
            self.one()["award_record_id"], AwardID="AW-NEW", AwardLabel="Something new"
        )
        self.expected[key] = ("missing in HR", "late by watermark")

    def changed(self) -> None:
        key = self.one()["award_record_id"]
        self.source(
            'UPDATE "UserAward" SET "AwardLabel" = \'Renamed\', "DateUpdated" = ? WHERE "ID" = ?',
            self.late,
            key,
        )
        self.expected[key] = (c.DIFFERS, "late by watermark")

    def changed_unnoticed(self) -> None:
        key = self.one()["award_record_id"]
        self.source(
            'UPDATE "UserAward" SET "AwardLabel" = \'Renamed\', "DateUpdated" = ? WHERE "ID" = ?',
            self.early,
            key,
        )
        self.expected[key] = (c.DIFFERS, "changed unnoticed")

    def renewed(self) -> None:
        old = self.one()
        key = self.new_record(
            old["award_record_id"],
            Passed=f"{TODAY}T00:00:00.000",
            Expires="2031-01-01T00:00:00.000",
        )
        self.expected[key] = ("missing in HR", "late by watermark")
        self.expected[old["award_record_id"]] = (c.SUPERSEDED, "another record has changed")

    def of_nobody(self) -> None:
        key = self.new_record(self.one()["award_record_id"], UserID="nobody-yet")
        self.expected[key] = ("missing in HR", causes.UNLINKED)

    def unreadable(self) -> None:
        key = self.one()["award_record_id"]
        self.source(
            'UPDATE "UserAward" SET "Passed" = \'31 of never\', "DateUpdated" = ? WHERE "ID" = ?',
            self.late,
            key,
        )
        self.expected[key] = (c.QUARANTINED, "completed_on is not an ISO date")
