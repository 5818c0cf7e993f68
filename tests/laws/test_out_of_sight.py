"""People who cannot be seen, and what is theirs (laws 1 and 12)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows import awards_to_hr, users_to_hr
from flows._run import Order
from flows.catalogue import PROCESSES
from tests.edits import change, everything, hr, linked, one, there
from tests.examples import examples
from tests.sides import Side
from tests.stops import SWEEP
from tests.worlds import STORES, Feed, Hr, Record, award, run, user


@pytest.fixture
def dialect_name() -> str:
    """With dates of change: without them a conflict waits for a person."""
    return "standard"


ROWS = {
    "awards_to_hr": ("UserAward", "awards", "award_record_id"),
    "award_targets_to_hr": ("UserAward", "award_targets", "award_target_id"),
    "assignments_to_hr": ("UserUserType", "assignments", "assignment_id"),
    "delegates_to_hr": ("UserCourseDate", "registrations", "registration_id"),
}
"""Process -> its module, entity and key in HR."""


class Tenant:
    """Implements the Source port over several feeds. ``unseen``: people out of sight."""

    name, requests = "memory", 0

    def __init__(self, people: Iterable[Record], awards: Iterable[Record]) -> None:
        self.feeds = {
            "User": Feed({p["id"]: p for p in people}),
            "UserAward": Feed({a["id"]: a for a in awards}),
        }

    def kinds(self, feed: str) -> Any:
        return self.feeds[feed].kinds(feed)

    def updated_column(self, feed: str, column: str) -> str:
        return column

    def read(self, feed: str, *args: Any) -> Any:
        return self.feeds[feed].read(feed, *args)


@given(st.sets(st.integers(0, 11)), st.sets(st.integers(0, 11)), st.sets(st.integers(0, 11)))
@examples(25)
def test_law_1_somebody_who_cannot_be_seen_has_not_lost_everything(
    unseen: set[int], unreadable: set[int], lost: set[int]
) -> None:
    """Awards that a sweep finds gone are revoked for people who can be seen and read, and for
    nobody else."""
    spec = awards_to_hr.SPEC.model_copy(
        update={"guard": awards_to_hr.SPEC.guard.model_copy(update={"close": None})}
    )
    numbers = range(12)
    tenant: Any = Tenant(
        (user(f"u{n}") for n in numbers), (award(f"a{n}", f"u{n}") for n in numbers)
    )
    system, store = Hr(), STORES.fresh()
    run(users_to_hr.SPEC, tenant, system, store)
    run(spec, tenant, system, store)
    people, awards = tenant.feeds["User"], tenant.feeds["UserAward"]
    for n in unseen - {0}:
        del people.records[f"u{n}"]
    people.broken = {f"u{n}": "unreadable" for n in unreadable - unseen - {0}}
    for n in (unseen | unreadable | lost) - {0}:
        del awards.records[f"a{n}"]
    run(spec, tenant, system, store, SWEEP)
    table = system.tables["awards"]
    revoked = set(table.loc[table["state"] == "revoked", "award_record_id"])
    assert revoked == {f"a{n}" for n in lost - unseen - unreadable - {0}}


def test_law_1_an_award_that_cannot_be_read_in_hr_holds_those_of_its_person(
    make_side: Callable[..., Side],
) -> None:
    """The award that superseded another one is there, though nobody can read it: the other one does
    not come back."""
    side = make_side(40, loaded=True)
    states = {row["award_record_id"]: row for row in side.rows("awards")}
    old, new = next(
        (key, row["superseded_by"]) for key, row in states.items() if row["state"] == "superseded"
    )
    others = [
        key for key, row in states.items() if row["employee_id"] != states[old]["employee_id"]
    ]
    hr(side, "UPDATE awards SET completed_on = 'soon' WHERE award_record_id = ?", new)
    for key in (old, others[0]):
        change(
            side,
            'UPDATE "UserAward" SET "AwardLabel" = \'Renamed\', "DateUpdated" = NOW WHERE "ID" = ?',
            key,
        )
    side.run(awards_to_hr.SPEC)
    now = {row["award_record_id"]: row for row in side.rows("awards")}
    assert {key: row for key, row in now.items() if key not in (new, others[0])} == {
        key: row for key, row in states.items() if key not in (new, others[0])
    }
    assert now[others[0]]["award_label"] == "Renamed"
    assert [
        (e["key"], e["reason"]) for e in side.store.quarantined("awards_to_hr") if e["key"] == old
    ] == [(old, "HR has such an award of this person that cannot be read; correct it there")]
    hr(
        side,
        "UPDATE awards SET completed_on = ? WHERE award_record_id = ?",
        states[new]["completed_on"],
        new,
    )
    side.run(awards_to_hr.SPEC, SWEEP)
    (row,) = (row for row in side.rows("awards") if row["award_record_id"] == old)
    assert (row["award_label"], row["state"]) == ("Renamed", "superseded")


@pytest.mark.parametrize("name", ROWS)
def test_the_rows_of_somebody_out_of_sight_stay_and_those_of_others_are_closed(
    make_side: Callable[..., Side], name: str
) -> None:
    side = make_side(40, loaded=True)
    module, entity, key = ROWS[name]
    open_ones = {
        row[key]: row
        for row in side.rows(entity)
        if row.get("state", "") not in ("revoked", "superseded")
    }
    users = {
        row["ID"]: row["UserID"] for row in there(side, f'SELECT "ID", "UserID" FROM "{module}"')
    }
    hidden, lost = list({users[record]: record for record in open_ones if record in users}.items())[
        :2
    ]
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql('DELETE FROM "User" WHERE "ID" = ?', (hidden[0],))
        for _, record in (hidden, lost):
            connection.exec_driver_sql(f'DELETE FROM "{module}" WHERE "ID" = ?', (record,))
    side.run(PROCESSES[name].scoped(), SWEEP)
    after = {row[key]: row for row in side.rows(entity)}
    stamps = ("written_at",)
    assert {k: v for k, v in after[hidden[1]].items() if k not in stamps} == {
        k: v for k, v in open_ones[hidden[1]].items() if k not in stamps
    }
    assert after[lost[1]] != open_ones[lost[1]]


@pytest.mark.parametrize("order", [Order(), SWEEP], ids=["window", "sweep"])
@pytest.mark.parametrize("name", ["awards_to_hr", "delegates_to_hr"])
def test_law_1_what_has_moved_to_somebody_who_is_no_employee_ends_for_the_former_holder(
    make_side: Callable[..., Side], name: str, order: Order
) -> None:
    """As long as that user is there: where two users are merged, their records move before the
    employee does."""
    side = make_side(40, loaded=True)
    module, entity, key = ROWS[name]
    ended = dict(PROCESSES[name].scoped().scope.closed)
    open_ones = {
        row[key]: row for row in side.rows(entity) if row.get("state", "achieved") == "achieved"
    }
    users = {
        row["ID"]: row["UserID"] for row in there(side, f'SELECT "ID", "UserID" FROM "{module}"')
    }
    (holder, moved), (merged, kept) = list(
        {users[record]: record for record in open_ones if record in users}.items()
    )[:2]
    stranger = one(side, holder) | {
        "ID": "stranger",
        "ExternalID": "",
        "Email": "",
        "Status": "Inactive",
    }
    with side.sandbox.engine.begin() as connection:
        columns, marks = ", ".join(f'"{name}"' for name in stranger), ", ".join("?" * len(stranger))
        connection.exec_driver_sql(
            f'INSERT INTO "User" ({columns}) VALUES ({marks})', tuple(stranger.values())
        )
        connection.exec_driver_sql('DELETE FROM "User" WHERE "ID" = ?', (merged,))
    for record in (moved, kept):
        change(
            side,
            f'UPDATE "{module}" SET "UserID" = \'stranger\', "DateUpdated" = NOW WHERE "ID" = ?',
            record,
        )
    report = side.run(PROCESSES[name].scoped(), order)
    assert report.adds_up()
    after = {row[key]: row for row in side.rows(entity)}
    assert {column: after[moved][column] for column in ended} == ended
    assert after[moved]["employee_id"] == open_ones[moved]["employee_id"]
    assert all(after[kept][column] == open_ones[kept][column] for column in ended)
    # When that user becomes an employee, what is theirs is theirs.
    side.store.set_link("employees", "stranger", "STRANGER", side.sandbox.now())
    hr(
        side,
        "INSERT INTO employees (employee_id, accessplanit_id, surname, status) VALUES "
        "('STRANGER', 'stranger', 'Nobody', 'Active')",
    )
    side.run(PROCESSES[name].scoped(), SWEEP)
    after = {row[key]: row for row in side.rows(entity)}
    assert [after[record]["employee_id"] for record in (moved, kept)] == ["STRANGER", "STRANGER"]
    assert all(after[moved][column] == open_ones[moved][column] for column in ended)


def test_law_12_what_belongs_to_somebody_follows_to_the_row_that_hr_has_made_anew(
    make_side: Callable[..., Side],
) -> None:
    """HR gives an employee another key: awards, targets, registrations and assignments follow in
    the next runs, without a sweep."""
    side = make_side(40, loaded=True)
    known, user_id = linked(side)

    def held_by(key: str) -> dict[str, int]:
        return {
            entity: sum(row["employee_id"] == key for row in side.rows(entity))
            for _, entity, _ in ROWS.values()
        }

    before = held_by(known)
    assert before["awards"] > 0
    hr(side, "UPDATE employees SET employee_id = 'ANEW' WHERE employee_id = ?", known)
    change(
        side,
        'UPDATE "User" SET "JobTitle" = \'Foreman\', "DateUpdated" = NOW WHERE "ID" = ?',
        user_id,
    )
    side.run(users_to_hr.SPEC)
    everything(side)
    assert (held_by("ANEW"), sum(held_by(known).values())) == (before, 0)
