"""What is BambooHR's alone: job information, training types, expiry, and how its answers are
spelt."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import JSONResponse

from connectors.hr.bamboohr.trainings import expiry, keys, months_between, notes, renewed, usual
from reconciliation.frame import arrow, of
from reconciliation.plan import reconcile

from .bamboohr_fake import Bamboo
from .people import People, somebody
from .stands import Stand, bamboohr

AWARD = {
    "employee_id": "text",
    "award_id": "text",
    "award_label": "text",
    "status": "text",
    "completed_on": "day",
    "expires_on": "day",
}
DAY = date(2025, 3, 31)


@pytest.fixture
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    with bamboohr(request, tmp_path) as made:
        People(made.open()).write(somebody("E1"), somebody("E2"))
        yield made
        made.close()


@pytest.fixture
def account(bamboo: tuple[Bamboo, str], stand: Stand) -> Bamboo:
    return bamboo[0]


def award(
    key: str,
    expires: date | None = None,
    *,
    label: str = "First aid",
    completed: date | None = DAY,
    status: str = "Completed",
) -> list[Any]:
    return [key, "E1", "FA", label, status, completed, expires]


def write(stand: Stand, *awards: list[Any], settings: Any = None) -> dict[str, str]:
    """Key -> outcome, with the reason where there is one."""
    system = stand.open(settings)
    wanted = of({"award_record_id": "text", **AWARD}, awards)
    changes = reconcile(
        wanted,
        system.read("awards", AWARD, {"employee_id": ["E1", "E2"]}).frame,
        "award_record_id",
        AWARD,
        list(AWARD),
    ).changes
    rejections = system.rejections("awards", changes)
    fit = changes[~changes["key"].isin(rejections["key"])].reset_index(drop=True)
    rows = [*rejections.to_dict("records"), *system.apply("awards", fit).to_dict("records")]
    return {
        r["key"]: r["outcome"] if r["outcome"] != "unsupported" else f"unsupported: {r['reason']}"
        for r in rows
    }


def test_an_award_becomes_a_record_of_a_type_made_for_it(stand: Stand, account: Bamboo) -> None:
    assert write(stand, award("A1", date(2028, 3, 31)), award("A2", label="Fire warden")) == {
        "A1": "created",
        "A2": "created",
    }
    kinds = {
        t["name"]: (t["renewable"], t.get("frequency"), t["category"]["name"])
        for t in account.types.values()
    }
    assert kinds == {
        "First aid": (True, 36, "accessplanit"),
        "Fire warden": (False, None, "accessplanit"),
    }
    assert sorted(r["notes"] for r in account.records.values()) == [
        notes("A1", "FA"),
        notes("A2", "FA"),
    ]
    assert write(stand, award("A1", date(2028, 3, 31)), award("A2", label="Fire warden")) == {}
    assert write(
        stand,
        award("A1", date(2028, 4, 1), completed=date(2025, 4, 1)),
        award("A2", label="Fire warden"),
    ) == {"A1": "updated"}
    assert len(account.records) == 2


def test_what_it_has_no_place_for_is_unsupported(stand: Stand, account: Bamboo) -> None:
    write(stand, award("A1", date(2028, 3, 31)))
    future = date.today() + timedelta(days=3)
    told = write(
        stand,
        award("A1", date(2028, 3, 31)),
        award("A2", completed=None, status="In Progress"),
        award("A3", renewed(future, 36), completed=future),
        award("A4", date(2027, 1, 1)),
        award("A5"),
    )
    only, other = (
        "unsupported: BambooHR holds completed trainings only",
        "unsupported: its expiry is not the renewal period of its training type",
    )
    assert told == {
        "A2": only,
        "A3": f"{only}, and this one lies in the future",
        "A4": f"{other}, and no expiry_table is set",
        "A5": f"{other}, and no expiry_table is set",
    }
    assert len(account.records) == 1


def test_with_a_table_every_expiry_has_a_place(stand: Stand, account: Bamboo) -> None:
    settings = stand.settings.model_copy(update={"expiry_table": "customCertificates"})
    several = [award("A1", date(2028, 3, 31)), award("A2", date(2027, 1, 1)), award("A3")]
    assert set(write(stand, *several, settings=settings).values()) == {"created"}
    assert write(stand, *several, settings=settings) == {}
    several[1][-1] = date(2027, 2, 1)
    assert write(stand, *several, settings=settings) == {"A2": "updated"}
    number = next(n for n, p in account.people.items() if p["employeeNumber"] == "E1")
    rows = {
        r["accessplanitRecord"]: r["expires"] for r in account.tables[number, "customCertificates"]
    }
    assert rows == {"A1": "2028-03-31", "A2": "2027-02-01"}


@pytest.mark.parametrize(
    ("completed", "expires", "rejected"),
    [
        ("31/03/2026", "2027-01-01", "completed_on"),
        ("0000-00-00", "2027-01-01", "completed_on"),
        ("2026-03-31", "soon", "expires_on"),
        ("2026-03-31", "9999-12-31", None),
        ("2026-03-31", "0000-00-00", None),
    ],
)
def test_an_odd_date_is_of_one_award_and_is_corrected_in_its_place(
    stand: Stand, account: Bamboo, completed: str, expires: str, rejected: str | None
) -> None:
    settings = stand.settings.model_copy(update={"expiry_table": "customCertificates"})
    both = [award("A1", date(2027, 1, 1)), award("A2", date(2027, 1, 1))]
    write(stand, *both, settings=settings)
    number = next(n for n, p in account.people.items() if p["employeeNumber"] == "E1")
    next(r for r in account.records.values() if r["notes"] == notes("A1", "FA"))["completed"] = (
        completed
    )
    next(
        r for r in account.tables[number, "customCertificates"] if r["accessplanitRecord"] == "A1"
    )["expires"] = expires
    system = stand.open(settings)
    read = system.read("awards", AWARD, {"employee_id": ["E1"]})
    assert read.rejected["field"].tolist() == ([rejected] if rejected else [])
    assert dict(
        zip(read.frame["award_record_id"], arrow(read.frame["expires_on"]).to_pylist(), strict=True)
    ) == {
        **({} if rejected else {"A1": None}),
        "A2": date(2027, 1, 1),
    }
    wanted = of({"award_record_id": "text", **AWARD}, both[:1])
    change = reconcile(
        wanted, read.frame.head(0), "award_record_id", AWARD, list(AWARD)
    ).changes.assign(kind="update")
    assert system.apply("awards", change)["outcome"].tolist() == ["updated"]
    account.violations.clear()  # Of an account that does not keep to the contract.
    assert len(account.records) == 2, "none is made beside it"
    again = stand.open(settings).read("awards", AWARD, {"employee_id": ["E1"]})
    assert not len(again.rejected)
    assert set(arrow(again.frame["expires_on"]).to_pylist()) == {date(2027, 1, 1)}


def test_a_record_of_another_type_takes_the_place_of_the_old_one(
    stand: Stand, account: Bamboo
) -> None:
    write(stand, award("A1"))
    assert write(stand, award("A1", label="First aid at work")) == {"A1": "updated"}
    (record,) = account.records.values()
    assert account.types[int(record["type"])]["name"] == "First aid at work"


def test_what_hr_has_entered_itself_is_not_ours(stand: Stand, account: Bamboo) -> None:
    write(stand, award("A1"))
    (kind,) = account.types
    number = next(n for n, p in account.people.items() if p["employeeNumber"] == "E1")
    account.records[7] = {
        "id": 7,
        "employeeId": str(number),
        "type": str(kind),
        "completed": "2020-01-01",
        "notes": None,
    }
    assert write(stand, award("A1")) == {}
    assert 7 in account.records


def test_a_new_title_is_one_row_of_history_that_carries_the_rest_on(
    stand: Stand, account: Bamboo
) -> None:
    number = next(n for n, p in account.people.items() if p["employeeNumber"] == "E1")
    history = account.tables[number, "jobInfo"]
    history[-1]["department"] = "Works"
    people = People(stand.open())
    people.write(somebody("E1", job_title="Rigger"), somebody("E2"))
    assert [(r["jobTitle"], r["department"]) for r in history] == [
        ("Welder", "Works"),
        ("Rigger", "Works"),
    ]
    changes = people.plan(somebody("E1", job_title="Diver"), somebody("E2")).changes
    for _ in range(2):
        people.system.apply("employees", changes)
    assert [r["jobTitle"] for r in history] == ["Welder", "Rigger", "Diver"], (
        "sent twice it is written once"
    )


def test_a_number_that_several_have_is_nobodys(stand: Stand, account: Bamboo) -> None:
    account.people[account.number()] = {
        "firstName": "Second",
        "lastName": "Ashdown",
        "employeeNumber": "E1",
    }
    found = stand.open().read("employees", {"surname": "text"})
    assert found.rejected["reason"].tolist() == ["is the number of several employees"] * 2


@given(st.dates(date(2000, 1, 1), date(2090, 1, 1)), st.integers(1, 240))
def test_a_renewal_period_is_found_again(completed: date, months: int) -> None:
    until = expiry(completed, months)
    assert until is not None
    found = months_between(completed, until)
    assert found is not None
    assert renewed(completed, found) == until


def test_keys_stand_in_the_notes_and_may_have_anything_after_them() -> None:
    assert keys(f"Said HR. {notes('A 1', 'FA')}") == ("A 1", "FA")
    assert keys(notes("A1", None)) == ("A1", None)
    assert keys("a note of somebody") is None
    assert (
        usual(
            [
                {"completed_on": DAY, "expires_on": e}
                for e in (date(2026, 3, 31), date(2026, 3, 31), None)
            ]
        )
        == 12
    )


@pytest.mark.parametrize(("times", "complete"), [(0, True), (1, True), (9, False)])
def test_law_1_pages_of_people_that_move_are_read_again_or_incomplete(
    stand: Stand, account: Bamboo, monkeypatch: pytest.MonkeyPatch, times: int, complete: bool
) -> None:
    """Somebody leaves and somebody comes while the pages are read: their number says nothing."""
    account.people = {
        n: {"firstName": "Jo", "lastName": "Lee", "employeeNumber": f"N{n}"} for n in range(1, 2302)
    }
    whole, left = account.dataset, times

    def moving(body: dict[str, Any]) -> Any:
        nonlocal left
        answer = whole(body)
        if body["page"] == 1 and left:
            left -= 1
            first = min(account.people)
            account.people[5000 + left] = account.people.pop(first)
        return answer

    monkeypatch.setattr(account, "dataset", moving)
    found = stand.open().read("employees", {"surname": "text"})
    assert found.complete is complete
    if complete:
        assert len(found.frame) == len(account.people)
        assert set(found.frame["employee_id"]) == {
            person["employeeNumber"] for person in account.people.values()
        }


def test_law_1_a_field_that_nobody_has_any_more_is_not_a_field_without_values(
    stand: Stand, account: Bamboo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BambooHR leaves out what the API key may not see: of everybody, or of one person."""
    account.people = {
        n: {"firstName": "Jo", "lastName": "Lee", "employeeNumber": f"N{n}", "city": "Hove"}
        for n in (1, 2)
    }
    whole, hidden = account.dataset, {"N1", "N2"}

    def narrower(body: dict[str, Any]) -> Any:
        answer = json.loads(whole(body).body)
        for row in answer["data"]:
            if row["fields"]["employeeNumber"] in hidden:
                row["fields"].pop("city", None)
        return JSONResponse(answer)

    monkeypatch.setattr(account, "dataset", narrower)
    assert stand.open().read("employees", {"town": "text"}).vanished == ("town",)
    hidden.discard("N1")
    found = stand.open().read("employees", {"town": "text"})
    assert (found.vanished, found.frame["employee_id"].tolist()) == ((), ["N1"])
    assert found.rejected[["key", "field", "reason"]].to_numpy().tolist() == [
        ["N2", "city", "is missing from the record"]
    ]


def answered(
    account: Bamboo, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], Any]
) -> None:
    """What the account answers to a request for people is changed before it is sent."""
    whole = account.dataset

    def dataset(body: dict[str, Any]) -> Any:
        answer = json.loads(whole(body).body)
        change(answer)
        return JSONResponse(answer)

    monkeypatch.setattr(account, "dataset", dataset)


@pytest.mark.parametrize("people", [7, 1000, 1500, 2000])
def test_law_1_people_without_a_total_are_read_to_the_last_page(
    stand: Stand, account: Bamboo, monkeypatch: pytest.MonkeyPatch, people: int
) -> None:
    account.people = {
        n: {"firstName": "Jo", "lastName": "Lee", "employeeNumber": f"N{n}"} for n in range(people)
    }
    answered(account, monkeypatch, lambda answer: answer["meta"].update(totalItems=None))
    found = stand.open().read("employees", {"surname": "text"})
    account.violations.clear()  # Of an account that does not keep to the contract.
    assert (len(found.frame), found.complete) == (people, True)


def test_law_9_an_odd_row_is_one_rejected_row(
    stand: Stand, account: Bamboo, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.people = {
        n: {"firstName": "Jo", "lastName": "Lee", "employeeNumber": f"N{n}", "status": "Active"}
        for n in range(4)
    }

    def odd(answer: dict[str, Any]) -> None:
        answer["data"][1]["fields"] = None
        answer["data"][2] = None

    answered(account, monkeypatch, odd)
    found = stand.open().read("employees", {"surname": "text"})
    account.violations.clear()
    assert found.frame["employee_id"].tolist() == ["N0", "N3"]
    assert len(found.rejected) == 2


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("Active", "Active"),
        ("inactive", "Inactive"),
        ("Terminated", "Inactive"),
        ("Contractor", "Contractor"),
        ("", None),
    ],
)
def test_a_status_is_active_only_if_it_says_so(
    stand: Stand, account: Bamboo, said: str, status: str | None
) -> None:
    account.people = {
        1: {"firstName": "Jo", "lastName": "Lee", "employeeNumber": "N1", "status": said}
    }
    found = stand.open().read("employees", {"status": "text"}).frame["status"]
    assert [None if pd.isna(value) else value for value in found] == [status]
