"""Is it right, and as of which day? Discrepancies that were planted are found, explained and
repaired; nothing is invented."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.accessplanit.client import AccessplanitSource
from connectors.checkpoints import Folder
from connectors.webhooks import Arrival
from flows import awards_to_hr
from flows._history import Answer, answer
from flows._run import Order, plainly, run_process
from flows.catalogue import PROCESSES
from reconciliation.capabilities import narrowed
from reconciliation.errors import Misconfigured, SourceFailed, UnsafePlan
from reconciliation.history import causes
from reconciliation.history import classes as c
from reconciliation.history.findings import to_repair
from reconciliation.history.inquiry import Inquiry, asks
from reconciliation.snapshot import Snapshot
from reconciliation.spec import ProcessSpec
from sandbox.faults import Faults
from tasks.history import compare_partition, origin_of

from .conftest import Side
from .test_chaos import Worker
from .test_chaos import worker as worker
from .test_trust import both, hr_sql, sandbox_sql

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


# -- 40 of 12 kinds ------------------------------------------------------------------------------


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


KINDS = [
    name
    for name, value in vars(Plants).items()
    if callable(value) and name not in ("__init__", "one", "hr", "source", "new_record")
]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_forty_discrepancies_of_twelve_kinds_are_found_explained_and_repaired(
    make_side: Callable[..., Side], dialect_name: str
) -> None:
    if WHOLE and dialect_name == "awkward":
        pytest.skip("the awkward dialect has been looked at in the small")
    side = make_side(size=52_000 if WHOLE else 1200, hourly_limit=10**6)
    both(side)
    before = ask(side)
    assert verdicts(before) == {}, "nothing is invented"
    plants = Plants(side, seed=11)
    assert len(KINDS) == 12
    for kind in [*KINDS * 3, *KINDS[:4]]:
        getattr(plants, kind)()
    # A renewal is seen twice: at the new record, and at the old one whose place it takes.
    assert len(plants.expected) == 40 + KINDS.count("renewed") * 3
    if side.dialect.date_updated is None:
        # Without the moment of the last change nobody can tell what was late from what went
        # unnoticed.
        plants.expected = {
            k: (v[0], "late by watermark" if v[1] == "changed unnoticed" else v[1])
            for k, v in plants.expected.items()
        }
    found = ask(side, partition=1000 if not WHOLE else 60_000)
    assert verdicts(found) == plants.expected
    if WHOLE:
        assert len(found.findings.rows) >= 200_000
    digest = repair(side, found)
    assert ask(side).findings.counts() == found.findings.counts(), (
        "nothing is written before somebody has approved"
    )
    spec = spec_of(side, "awards_to_hr")
    mark = side.store.watermark(spec.name, spec.fingerprint())
    assert mark.moment or side.dialect.date_updated is None
    run_process(spec, side.world(spec), Order(approve=digest), call=plainly)
    left = verdicts(ask(side))
    assert set(left.values()) <= {
        ("missing in HR", causes.UNLINKED),
        (c.QUARANTINED, "completed_on is not an ISO date"),
    }, "these are for people"
    # Who can, does what the report says: mends the records, and gives the others to somebody who is
    # in HR.
    person = side.rows("awards")[0]["accessplanit_user_id"]
    sandbox_sql(
        side,
        'UPDATE "UserAward" SET "UserID" = ?, "AwardID" = "ID" WHERE "UserID" = \'nobody-yet\'',
        person,
    )
    sandbox_sql(
        side,
        'UPDATE "UserAward" SET "Passed" = \'2026-01-01T00:00:00.000\' WHERE "Passed" = \'31 '
        "of never'",
    )
    again = ask(side)
    run_process(spec, side.world(spec), Order(approve=repair(side, again)), call=plainly)
    assert verdicts(ask(side)) == {}, "the second report is clean"
    assert side.store.watermark(spec.name, spec.fingerprint()) == mark
    assert side.awards(Order(sweep=True)).written == 0, "and a sweep agrees"


def test_every_process_of_a_healthy_system_is_right(side: Side) -> None:
    for name, chosen in PROCESSES.items():
        if name != "role_compliance":
            side.run(chosen.scoped())
    for name in PROCESSES:
        if name != "role_compliance":
            found = ask(side, name)
            assert verdicts(found) == {}, name
            needs = found.findings.needs()
            assert needs["nothing"] > 0, name
            assert sum(needs.values()) == len(found.findings.rows)


# -- people: whose value counts, who is who ------------------------------------------------------


@PLAIN
def test_people_that_nobody_can_tell_apart_are_ambiguous_and_so_is_the_row(side: Side) -> None:
    with side.sandbox.engine.begin() as connection:
        one, two = connection.exec_driver_sql(
            "SELECT ID FROM \"User\" WHERE Status = 'Enabled' AND ExternalID IS NULL ORDER BY "
            "ID LIMIT 2"
        ).scalars()
        connection.exec_driver_sql(
            'UPDATE "User" SET Email = ? WHERE ID IN (?, ?)', ("shared@example.org", one, two)
        )
    hr_sql(
        side,
        "INSERT INTO employees (employee_id, surname, email) VALUES ('E-SHARED', 'Doe', "
        "'shared@example.org')",
    )
    side.users()
    found = verdicts(ask(side, "users_to_hr"))
    assert found == {
        one: (c.AMBIGUOUS, "several users lead to the same employee"),
        two: (c.AMBIGUOUS, "several users lead to the same employee"),
        "E-SHARED": (c.AMBIGUOUS, "several records may be this row"),
    }


@PLAIN
def test_a_value_of_hr_that_counts_is_no_fault_of_hr(side: Side) -> None:
    both(side)
    row = side.rows("employees")[4]
    hr_sql(
        side,
        "UPDATE employees SET phone = '+44 1', written_at = '2030-01-01' WHERE employee_id = ?",
        row["employee_id"],
    )
    hr_sql(
        side,
        "UPDATE employees SET full_address = 'elsewhere' WHERE employee_id = ?",
        side.rows("employees")[5]["employee_id"],
    )
    found = ask(side, "users_to_hr")
    assert verdicts(found) == {
        row["employee_id"]: (c.DIFFERS, "HR's value counts"),
        side.rows("employees")[5]["employee_id"]: (c.DIFFERS, "edited in HR"),
    }
    (phone,) = [d for d in found.findings.differences.to_dict("records") if d["field"] == "phone"]
    assert (phone["source"], phone["target"], phone["ledger"]) == (
        row["phone"],
        "+44 1",
        row["phone"],
    )
    (changed,) = found.findings.faults[found.findings.faults["key"] == row["employee_id"]].to_dict(
        "records"
    )
    assert str(changed["changed_by"]).startswith("users_to_hr "), "who wrote it last"


@PLAIN
def test_no_value_is_a_difference_only_where_somebody_would_write_one(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    both(side)
    row = next(r for r in side.rows("employees") if r["employee_number"] is None)
    hr_sql(
        side,
        "UPDATE employees SET employee_number = 'N1' WHERE employee_id = ?",
        row["employee_id"],
    )
    assert verdicts(ask(side, "users_to_hr")) == {
        row["employee_id"]: (c.DIFFERS, "HR's value counts")
    }
    award = next(r for r in side.rows("awards") if r["target_date"] is None)
    hr_sql(
        side,
        "UPDATE awards SET target_date = '2030-01-01' WHERE award_record_id = ?",
        award["award_record_id"],
    )
    assert verdicts(ask(side)) == {award["award_record_id"]: (c.DIFFERS, "edited in HR")}
    kept = tuple(
        f.model_copy(update={"clears": f.target != "target_date"}) for f in awards_to_hr.SPEC.fields
    )
    monkeypatch.setattr(awards_to_hr, "SPEC", awards_to_hr.SPEC.model_copy(update={"fields": kept}))
    assert verdicts(ask(side)) == {}, "by this mapping no value erases nothing"


@PLAIN
def test_what_hr_refuses_and_what_a_person_has_discarded_is_quarantined(side: Side) -> None:
    both(side)
    keys = [r["award_record_id"] for r in side.rows("awards")][:2]
    sandbox_sql(
        side,
        'UPDATE "UserAward" SET "Passed" = \'never\', "DateUpdated" = ? WHERE "ID" IN (?, ?)',
        "2030-01-01T00:00:00.000",
        *keys,
    )
    side.awards()
    entry = next(
        e["id"]
        for e in side.store.quarantined("awards_to_hr", 2000)
        if e["key"] == keys[0] and e["stage"] == "rejected"
    )
    side.store.discard(entry, "a test")
    found = verdicts(ask(side))
    assert found[keys[1]] == (c.QUARANTINED, "completed_on is not an ISO date")
    assert found[keys[0]][0] == c.QUARANTINED


@PLAIN
def test_what_is_unreadable_now_still_stands_beside_the_others_of_its_group(side: Side) -> None:
    """The record that superseded another one was read well once: that it cannot be read now brings
    nothing back to life."""
    both(side)
    old, new = next(
        (r["award_record_id"], r["superseded_by"])
        for r in side.rows("awards")
        if r["state"] == "superseded"
    )
    sandbox_sql(side, 'UPDATE "UserAward" SET "Passed" = \'never\' WHERE "ID" = ?', new)
    assert verdicts(ask(side)) == {new: (c.QUARANTINED, "completed_on is not an ISO date")}, old


@PLAIN
def test_a_repair_reads_what_was_found_and_leaves_hints_to_others(side: Side) -> None:
    both(side)
    keys = [r["award_record_id"] for r in side.rows("awards")]
    hr_sql(
        side,
        "UPDATE awards SET award_label = 'x' WHERE award_record_id IN (?, ?, ?)",
        *keys[:2],
        keys[-1],
    )
    found = ask(side, people=(side.rows("awards")[0]["accessplanit_user_id"],))
    told = {k for k, v in verdicts(found).items() if v[1] == "edited in HR"}
    assert keys[-1] not in told
    arrival = Arrival("awards", "PUT", (("UserAward", keys[-1]),), "d1", True)
    side.store.accept([arrival], {("awards", "UserAward"): ["awards_to_hr"]}, datetime.now(UTC))
    digest = repair(side, found)
    plan = side.store.plan(digest)
    assert plan is not None
    assert set(plan.changes["key"]) == told
    spec = spec_of(side, "awards_to_hr")
    report, _ = run_process(spec, side.world(spec), Order(approve=digest), call=plainly)
    assert report.outcomes["updated"] == len(told)
    assert [hint.key for hint in side.store.hints("awards_to_hr")] == [keys[-1]]


@PLAIN
def test_only_what_a_repair_would_close_is_to_be_repaired(side: Side) -> None:
    both(side)
    hr_sql(side, "INSERT INTO employees (employee_id, surname) VALUES ('BY-HAND', 'Doe')")
    person = side.rows("employees")[0]
    sandbox_sql(side, 'DELETE FROM "User" WHERE "ID" = ?', person["accessplanit_id"])
    found = ask(side, "users_to_hr")
    assert verdicts(found) == {
        "BY-HAND": ("only in HR", "made in HR"),
        person["employee_id"]: ("only in HR", "gone from accessplanit"),
    }
    assert (found.findings.needs()["repair"], found.findings.needs()["person"]) == (0, 2)
    assert (
        to_repair(
            spec_of(side, "users_to_hr"),
            found.findings.rows,
            origin_of(side.store, spec_of(side, "users_to_hr")),
        )
        == ()
    )


# -- the day, and what was known -----------------------------------------------------------------


def test_as_of_a_day_and_as_known_at_a_moment(make_side: Callable[..., Side]) -> None:
    """Loaded on one day, renewed and edited later: what was true, what HR showed, what was
    known."""
    side = make_side()
    first = datetime.now(UTC).replace(hour=9, minute=0) - timedelta(days=40)
    for spec in (PROCESSES["users_to_hr"].scoped(), awards_to_hr.SPEC):
        side.run(spec, now=first)
    plants = Plants(side, seed=3)
    old = next(
        r
        for r in plants.single
        if str(r["completed_on"]) < str((first - timedelta(days=60)).date())
    )
    day = date.fromisoformat(str(first.date())) + timedelta(days=10)
    renewal = plants.new_record(
        old["award_record_id"], Passed=f"{day}T00:00:00.000", Expires="2031-01-01T00:00:00.000"
    )
    late = first + timedelta(days=30)
    side.run(awards_to_hr.SPEC, Order(full=True), now=late)

    def state(key: str, **question: Any) -> tuple[str, str, Any, Any]:
        found = ask(side, **question).findings.rows
        (row,) = found[(found["key"] == key) | (found["source_key"] == key)].to_dict("records")
        return str(row["class"]), str(row["cause"]), row["state"], row["target_state"]

    key, before, after = old["award_record_id"], day - timedelta(days=1), day + timedelta(days=1)
    assert state(key, as_of=before)[0] == c.EQUAL
    assert state(key, as_of=before)[2] in ("achieved", "expiring")
    assert state(renewal, as_of=before)[:2] == (c.OUTSIDE, "renewed after the day")
    assert state(renewal, as_of=after)[0] == c.EQUAL
    assert state(key, as_of=after)[2:] == ("superseded", "superseded")
    # On that day HR did not know: the renewal came thirty days after the first load.
    then = datetime(after.year, after.month, after.day, 12, tzinfo=UTC)
    assert state(renewal, as_of=after, known_at=then)[:2] == (
        c.MISSING,
        "arrived after that moment",
    )
    assert state(key, as_of=after, known_at=then)[0] == c.SUPERSEDED
    assert state(renewal, as_of=after, known_at=late + timedelta(hours=1))[0] == c.EQUAL
    assert state(key, as_of=after, known_at=first - timedelta(days=1))[:2] == (
        c.MISSING,
        "arrived after that moment",
    )


@PLAIN
def test_a_look_is_remembered(side: Side) -> None:
    """What somebody did in HR is known from the day on which it was seen, and what was known before
    stays."""
    both(side)
    row = side.rows("awards")[0]
    early = datetime.now(UTC)
    hr_sql(
        side,
        "UPDATE awards SET award_label = 'typed over' WHERE award_record_id = ?",
        row["award_record_id"],
    )
    hr_sql(
        side,
        "INSERT INTO awards (award_record_id, employee_id, award_id, status) VALUES ('HAND', "
        "'E1', 'A1', 'Completed')",
    )
    ask(side)
    versions = side.store.versions(spec_of(side, "awards_to_hr"))
    mine = versions[versions["key"] == row["award_record_id"]]
    assert mine["how"].tolist() == ["written", "seen"]
    assert mine["award_label"].tolist() == [row["award_label"], "typed over"]
    assert versions[versions["key"] == "HAND"]["how"].tolist() == ["seen"]
    assert verdicts(ask(side, known_at=early)) == {}, "nobody knew"
    assert row["award_record_id"] in verdicts(ask(side, known_at=datetime.now(UTC)))
    hr_sql(side, "DELETE FROM awards WHERE award_record_id = 'HAND'")
    before = len(versions)
    ask(side)
    ask(side)
    assert len(side.store.versions(spec_of(side, "awards_to_hr"))) == before + 1, (
        "that it is gone, once"
    )


# -- which records -------------------------------------------------------------------------------


def test_only_what_was_asked_about(side: Side) -> None:
    both(side)
    everything = {
        str(k): r for k, r in zip(ask(side).findings.rows["key"], side.rows("awards"), strict=False)
    }
    assert everything
    awards = side.rows("awards")
    hr_sql(side, "DELETE FROM awards WHERE award_record_id = ?", awards[0]["award_record_id"])
    hr_sql(
        side,
        "UPDATE awards SET award_label = 'x' WHERE award_record_id = ?",
        awards[-1]["award_record_id"],
    )
    one = awards[0]
    companies = {r["employee_id"]: r["company_id"] for r in side.rows("employees")}

    def keys(**question: Any) -> set[str]:
        found = ask(side, **question).findings.rows
        return set(found[~found["class"].isin([c.OUTSIDE, c.QUARANTINED])]["key"])

    assert keys(awards=(one["award_id"],)) == {
        r["award_record_id"] for r in awards if r["award_id"] == one["award_id"]
    }
    assert keys(people=(one["accessplanit_user_id"],)) == {
        r["award_record_id"] for r in awards if r["employee_id"] == one["employee_id"]
    }
    company = companies[one["employee_id"]]
    assert keys(companies=(company,)) == {
        r["award_record_id"] for r in awards if companies[r["employee_id"]] == company
    }
    first, last = date(TODAY.year - 1, 1, 1), date(TODAY.year - 1, 12, 31)
    within = {
        r["award_record_id"]
        for r in awards
        if r["completed_on"] and str(first) <= str(r["completed_on"]) <= str(last)
    }
    assert keys(first=first, last=last) == within
    assert verdicts(ask(side, first=first, last=last)).keys() <= {
        one["award_record_id"],
        awards[-1]["award_record_id"],
    }
    assert verdicts(ask(side, awards=(one["award_id"],), people=(one["accessplanit_user_id"],)))[
        one["award_record_id"]
    ] == (
        "missing in HR",
        "removed in HR",
    )


def test_a_day_that_the_sides_disagree_about_hides_nothing(side: Side) -> None:
    both(side)
    inside, outside = (
        next(
            r["award_record_id"]
            for r in side.rows("awards")
            if str(r["completed_on"]).startswith(f"{TODAY.year - back}-0")
        )
        for back in (1, 2)
    )
    hr_sql(side, "UPDATE awards SET completed_on = '2001-01-01' WHERE award_record_id = ?", inside)
    hr_sql(
        side,
        f"UPDATE awards SET completed_on = '{TODAY.year - 1}-02-02' WHERE award_record_id = ?",
        outside,
    )
    found = verdicts(ask(side, first=date(TODAY.year - 1, 1, 1), last=date(TODAY.year - 1, 12, 31)))
    assert (found[inside], found[outside]) == (
        (c.DIFFERS, "edited in HR"),
        (c.DIFFERS, "edited in HR"),
    )
    assert {name for name, _ in found.values()} <= {c.DIFFERS, c.SUPERSEDED}, (
        "and neither is missing"
    )


@PLAIN
def test_people_of_a_job_role(side: Side) -> None:
    for name in ("users_to_hr", "job_roles_to_hr", "assignments_to_hr", "awards_to_hr"):
        side.run(PROCESSES[name].scoped())
    held = [
        r
        for r in side.rows("assignments")
        if str(r["valid_from"] or "") <= str(TODAY)
        and (r["valid_to"] is None or str(r["valid_to"]) > str(TODAY))
    ]
    role = held[0]["job_role_id"]
    who = {r["employee_id"] for r in held if r["job_role_id"] == role}
    found = ask(side, roles=(role,)).findings.rows
    mine = set(found[found["class"] == c.EQUAL]["key"])
    assert mine == {r["award_record_id"] for r in side.rows("awards") if r["employee_id"] in who}


@PLAIN
def test_a_period_is_read_in_months_and_no_more(side: Side) -> None:
    both(side)
    side.sandbox.requests.clear()
    ask(side, first=date(2026, 1, 15), last=date(2026, 3, 14))
    asked = sum(side.sandbox.requests.values())
    side.sandbox.requests.clear()
    ask(side)
    assert asked < sum(side.sandbox.requests.values())
    spec = spec_of(side, "awards_to_hr")
    ranges = [
        a.range
        for a in asks(
            spec,
            Inquiry(process="x", as_of=TODAY, first=date(2026, 1, 15), last=date(2026, 3, 14)),
            TODAY,
            "UTC",
            {},
        )
    ]
    assert [(str(r.low), str(r.high)) for r in ranges if r] == [
        ("2026-01-15", "2026-02-01"),
        ("2026-02-01", "2026-03-01"),
        ("2026-03-01", "2026-03-15"),
    ]


# -- interrupted ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_random_points_it_is_taken_up_and_reads_nothing_twice(
    make_side: Callable[..., Side], worker: Worker, dialect_name: str
) -> None:
    side = make_side(hourly_limit=10**6)
    both(side)
    inquiry = {"process": "awards_to_hr", "as_of": str(TODAY), "first": f"{TODAY.year - 2}-01-01"}

    def run(work: str, kill: int | None) -> dict[str, Any]:
        return worker.run(
            side, side.folder, "awards", {}, kill, inquiry=inquiry, work=str(side.folder / work)
        )

    side.sandbox.requests.clear()
    calm = run("calm", None)
    undisturbed = sum(side.sandbox.requests.values())
    points = len(calm["names"])
    dice = random.Random(5)
    for number in range(10 if WHOLE else 3):
        side.sandbox.requests.clear()
        work = f"killed{number}"
        at = dice.randrange(3, points)
        assert run(work, at)["killed"]
        parts = len(list((side.folder / work).glob("part-*.json")))
        ended = run(work, None)
        assert ended["rows"] == calm["rows"], at
        assert ended["resumed"] == parts
        # The part that was being read is read again; a finished one is not.
        of_one_part = max(
            json.loads(f.read_text())["requests"]
            for f in (side.folder / "calm").glob("part-*.json")
        )
        assert undisturbed <= sum(side.sandbox.requests.values()) <= undisturbed + of_one_part, at


def test_a_part_that_cannot_be_read_is_no_absence(side: Side) -> None:
    both(side)
    side.sandbox.faults = Faults(rate=1.0, kinds=("503",))
    spec = spec_of(side, "awards_to_hr")
    folder = Folder(str(side.folder / "work"))
    inquiry = Inquiry(process=spec.name, as_of=TODAY)
    with pytest.raises(SourceFailed):
        answer(
            spec,
            inquiry,
            side.world(spec, attempts=1),
            side.target,
            folder,
            in_process,
            call=plainly,
        )
    side.sandbox.faults = Faults()
    found = answer(spec, inquiry, side.world(spec), side.target, folder, in_process, call=plainly)
    assert verdicts(found) == {}


@PLAIN
def test_what_a_run_writes_while_it_is_read_is_on_its_way(side: Side) -> None:
    """accessplanit was read before, HR after it: neither is wrong."""
    both(side)
    spec = spec_of(side, "awards_to_hr")
    plants = Plants(side, seed=4)
    world = side.world(spec)
    parts = len(asks(spec, Inquiry(process=spec.name, as_of=TODAY), TODAY, world.zone, {}))

    def meanwhile(done: int, _all: int) -> None:
        if done == parts:
            plants.changed()
            plants.new()
            side.awards()

    folder = Folder(str(side.folder / "work"))
    inquiry = Inquiry(process=spec.name, as_of=TODAY)
    found = answer(
        spec, inquiry, world, side.target, folder, in_process, call=plainly, progress=meanwhile
    )
    assert {cause for _, cause in verdicts(found).values()} == {"late by watermark"}
    assert found.findings.needs()["repair"] == 0


@PLAIN
def test_a_part_that_was_read_in_part_is_not_kept(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A feed that moves while it is read, or counts more than it gives: what is missing is not
    gone."""
    both(side)
    read = AccessplanitSource.read

    def short(self: AccessplanitSource, *args: Any) -> Snapshot:
        return replace(read(self, *args), complete=False)

    with monkeypatch.context() as patch:
        patch.setattr(AccessplanitSource, "read", short)
        with pytest.raises(SourceFailed, match="could not be read in full"):
            ask(side)
    assert not list((side.folder / "work").rglob("part-*"))
    assert verdicts(ask(side)) == {}


def test_it_moves_no_watermark_and_writes_nothing_but_what_it_has_seen(side: Side) -> None:
    both(side)
    with sqlite3.connect(side.folder / "store.db") as store:
        tables = [
            r[0]
            for r in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if r[0] not in ("budget", "segment")
        ]
        before = {name: store.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
    hr = side.dump()
    hr_sql(
        side,
        "UPDATE awards SET award_label = 'x' WHERE award_record_id = (SELECT "
        "max(award_record_id) FROM awards)",
    )
    ask(side)
    with sqlite3.connect(side.folder / "store.db") as store:
        assert {
            name: store.execute(f"SELECT * FROM {name}").fetchall() for name in tables
        } == before
        assert store.execute("SELECT sum(rows) FROM segment").fetchone() == (1,)
    assert side.dump()["employees"] == hr["employees"]


def test_a_question_that_is_none() -> None:
    with pytest.raises(ValueError, match="ends before it begins"):
        Inquiry(process="x", as_of=TODAY, first=date(2026, 2, 1), last=date(2026, 1, 1))
    with pytest.raises(ValueError, match="needs an offset"):
        Inquiry(process="x", as_of=TODAY, known_at=datetime(2026, 1, 1))
    with pytest.raises(Misconfigured, match="HRSYNC_HISTORY__FOLDER"):
        Folder("nowhere://x")


def test_a_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path / "deep" / "er"))
    assert (folder.names(), folder.noted("x"), folder.text("x")) == ([], None, None)
    folder.note("x", {"a": 1})
    assert folder.noted("x") == {"a": 1}
    assert folder.names() == ["x.json"]
    memory = Folder("memory://bucket/reconciliations")
    memory.note("x", {"a": 2})
    assert (memory.noted("x"), memory.below("y").names()) == ({"a": 2}, [])
    memory.remove()
    assert memory.names() == []
