"""Who has left, who has not, and how many at once (law 16)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.catalogue import PROCESSES
from reconciliation.errors import UnsafePlan
from reconciliation.spec import ProcessSpec
from tests.edits import employee, hr, linked, one, there
from tests.examples import examples
from tests.sides import Side
from tests.stops import SWEEP
from tests.worlds import NOW, STORES, Feed, Hr, run, user


@pytest.fixture
def dialect_name() -> str:
    """With dates of change: without them a conflict waits for a person."""
    return "standard"


# -- law 16 --------------------------------------------------------------------------------------


def leavers(
    spec: ProcessSpec, people: int, gone: Iterable[int], others: int
) -> tuple[Feed, Hr, Any]:
    """A process that has loaded ``people``, of whom some leave, and an HR that holds ``others``
    besides."""
    feed, system, store = (
        Feed({f"u{n}": user(f"u{n}") for n in range(people)}),
        Hr(),
        STORES.fresh(),
    )
    run(spec, feed, system, store)
    elsewhere = Feed({f"x{n}": user(f"x{n}") for n in range(others)})
    if others:
        run(
            spec.model_copy(update={"guard": spec.guard.model_copy(update={"create": None})}),
            elsewhere,
            system,
            _apart(),
        )
    for n in gone:
        feed.records[f"u{n}"] |= {"status": "Inactive", "updated_at": NOW}
    return feed, system, store


def _apart() -> Any:
    from connectors.store.sql import SyncStore

    return SyncStore("sqlite://")


@given(st.integers(3, 40), st.sampled_from([0, 300]), st.booleans())
@examples(15)
def test_law_16_half_of_whom_the_process_answers_for_never_leave_unseen(
    people: int, others: int, sweep: bool
) -> None:
    """However many rows of others HR holds besides, and however small the process is."""
    spec = PROCESSES["users_to_hr"].scoped(leavers="close", gone="close")
    feed, system, store = leavers(spec, people, range((people + 1) // 2), others)
    if sweep:
        feed.records = {
            key: record for key, record in feed.records.items() if record["status"] == "Enabled"
        }
        feed.records |= {"u-new": user("u-new")}
    few = (people + 1) // 2 < 3
    before = system.content("employees")
    with (
        nullcontext()
        if few
        else pytest.raises(UnsafePlan, match=r"to close in HR|missing from the source")
    ):
        run(spec, feed, system, store, SWEEP if sweep else None)
    assert few or system.content("employees") == before


# -- who has left, and who has not ---------------------------------------------------------------


@pytest.mark.parametrize(("days", "unseen"), [(0, False), (1, False), (31, False), (32, True)])
def test_law_16_an_end_in_a_few_days_is_an_end(
    make_side: Callable[..., Side], days: int, unseen: bool
) -> None:
    side = make_side(40, loaded=True)
    until = side.sandbox.now().date() + timedelta(days=days)
    hr(side, "UPDATE assignments SET valid_to = ?, written_at = '2027-01-01'", until.isoformat())
    with (
        nullcontext()
        if unseen
        else pytest.raises(UnsafePlan, match="rows to close in accessplanit: half or more of them")
    ):
        side.run(PROCESSES["assignments_from_hr"].scoped())


@pytest.mark.parametrize(
    "spec",
    [
        PROCESSES["users_to_hr"].scoped(companies=["c1"], leavers="close"),
        PROCESSES["users_to_hr"].scoped(leavers="close"),
    ],
    ids=["of one company", "all"],
)
def test_somebody_who_changes_company_has_not_left(spec: ProcessSpec) -> None:
    people = {f"u{n}": user(f"u{n}", company_id="c1") for n in range(5)}
    feed, system, store = Feed(people), Hr(), STORES.fresh()
    run(spec, feed, system, store)
    people["u0"] |= {"company_id": "c2", "updated_at": NOW}
    people["u1"] |= {"status": "Inactive", "updated_at": NOW}
    run(spec, feed, system, store)
    status = dict(
        zip(
            system.tables["employees"]["accessplanit_id"],
            system.tables["employees"]["status"],
            strict=True,
        )
    )
    assert (status["u0"], status["u1"]) == ("Enabled", "Inactive")


def test_an_employee_who_changes_company_is_not_disabled(make_side: Callable[..., Side]) -> None:
    side = make_side(24, loaded=True)
    (key, mover), (other, leaver) = linked(side, 0), linked(side, 1)
    spec = PROCESSES["users_from_hr"].scoped(
        companies=[one(side, mover)["MainCompanyID"], one(side, leaver)["MainCompanyID"]]
    )
    side.run(spec)
    hr(side, "UPDATE employees SET company_id = 'ELSEWHERE' WHERE employee_id = ?", key)
    hr(side, "UPDATE employees SET status = 'Left' WHERE employee_id = ?", other)
    side.run(spec)
    assert (one(side, mover)["Status"], one(side, leaver)["Status"]) == ("Enabled", "Inactive")


@pytest.mark.parametrize("first", ["users_to_hr", "users_from_hr"])
def test_at_first_contact_hr_says_who_has_left(make_side: Callable[..., Side], first: str) -> None:
    side = make_side(24)
    known = there(
        side,
        'SELECT * FROM "User" WHERE "Status" = \'Enabled\' AND "ExternalID" IS NOT NULL ORDER '
        'BY "ID"',
    )[0]
    employee(
        side,
        known["ExternalID"],
        status="Left",
        forenames=known["Forenames"],
        surname=known["Surname"],
        email=known["Email"],
    )
    everything_of_people = [PROCESSES[name].scoped() for name in ("users_to_hr", "users_from_hr")]
    for spec in sorted(everything_of_people, key=lambda spec: spec.name != first) * 2:
        side.run(spec)
    assert one(side, known["ID"])["Status"] == "Inactive"
    assert [
        row["status"] for row in side.rows("employees") if row["employee_id"] == known["ExternalID"]
    ] == ["Left"]
