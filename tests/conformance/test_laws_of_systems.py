"""The laws. They speak of employees, which every system holds; a plan is made of what is read and
what is wanted, as in a run."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from connectors.hr import connectors
from connectors.hr.absent import NotHeld
from connectors.hr.schema import metadata
from connectors.hr.source import HrSource
from connectors.hr.sql import columns_of
from flows.catalogue import PROCESSES
from reconciliation.ask import Ask
from reconciliation.capabilities import narrowed
from reconciliation.errors import CredentialsRefused, HrsyncError, Misconfigured, TargetFailed
from reconciliation.frame import ARROW, arrow, concat, of
from reconciliation.plan import Plan, reconcile
from reconciliation.ports import HrSystem
from reconciliation.receipts import RECEIPTS
from reconciliation.run.load import Sending

from .stands import STANDS, Stand

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
        unfit = self.system.unfit("employees", changes)
        fit = changes[~changes["key"].isin(unfit["key"])].reset_index(drop=True)
        spec = narrowed(PROCESSES["users_to_hr"].scoped(), self.system.capabilities)
        sending = Sending(spec, fit)
        while (part := sending.next()) is not None:
            try:
                sending.receive(self.system.apply("employees", part))
            except HrsyncError:
                raise
            except Exception as error:
                sending.refuse(error)
        receipts = concat([sending.receipts, unfit])
        self.reasons = [r for r in receipts["reason"].tolist() if not pd.isna(r)]
        return list(zip(receipts["key"].tolist(), receipts["outcome"].tolist(), strict=True))


@pytest.fixture
def people(stand: Stand) -> People:
    return People(stand.open())


def somebody(key: str = "E1", **values: Any) -> dict[str, Any]:
    return {KEY: key, **values}


# -- enrolment -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(connectors()))
def test_every_connector_has_a_stand(name: str) -> None:
    assert STANDS.get(name), (
        f"the connector {name} has no stand in tests/conformance/stands.py: nothing proves what "
        "it supports"
    )


def test_capabilities_name_what_hr_has(stand: Stand) -> None:
    can = stand.open().capabilities
    assert can.system
    for entity, holds in can.entities.items():
        kinds = columns_of(entity)
        assert next(iter(kinds)) == holds.key
        assert {name: kinds[name] for name in holds.kinds()} == holds.kinds()
        assert not set(holds.columns) & set(holds.told)


def test_what_it_can_with_these_settings_is_known_before_it_is_asked(stand: Stand) -> None:
    before = connectors()[stand.connector].can(stand.settings)
    now = stand.open().capabilities
    assert set(now.entities) == set(before.entities)
    for entity, holds in now.entities.items():
        assert set(holds.columns) <= set(before.entities[entity].columns), (
            "a server may hold less, never more"
        )


def test_every_process_can_be_narrowed_to_it(stand: Stand) -> None:
    can = stand.open().capabilities
    for process in PROCESSES.values():
        spec = narrowed(process.scoped(), can)
        assert spec.system == can.system
        if spec.direction == "to_hr" and spec.entity in can.entities:
            assert set(spec.columns()) - {spec.holder} <= set(can.entities[spec.entity].columns)
        assert spec.fingerprint() != process.scoped().fingerprint()


def test_what_has_no_place_is_unsupported_and_never_written(stand: Stand) -> None:
    system = stand.open()
    absent = sorted(set(metadata.tables) - set(system.capabilities.entities))
    if not absent:
        pytest.skip("holds every entity")
    target = NotHeld(system)
    plan = reconcile(of({"id": "text"}, [["1"], ["2"]]), of({"id": "text"}, []), "id", {}, [])
    receipts = target.unfit(absent[0], plan.changes)
    assert receipts["outcome"].tolist() == ["unsupported"] * 2
    assert receipts["reason"].tolist() == [f"{system.capabilities.system} holds no {absent[0]}"] * 2


# -- writing and reading back --------------------------------------------------------------------


def test_an_empty_system_is_read_whole(people: People) -> None:
    read = people.system.read("employees", people.columns)
    assert (len(read.frame), read.complete, people.system.population("employees")) == (0, True, 0)


def test_a_new_row_is_created_and_read_back_as_it_was_written(people: People, stand: Stand) -> None:
    assert people.write(somebody()) == [("E1", "created")]
    expected = {KEY: "E1", **{n: {**WYN, "email": "e1@hr.example"}[n] for n in people.columns}}
    assert people.read() == {"E1": expected}
    assert People(stand.open()).read() == {"E1": expected}, "it outlives the connection"


def test_what_was_written_needs_nothing_more(people: People) -> None:
    people.write(somebody(), somebody("E2", phone=None))
    plan = people.plan(somebody(), somebody("E2", phone=None))
    assert not len(plan.changes)


def test_an_update_changes_what_it_names_and_nothing_else(people: People) -> None:
    people.write(somebody(), somebody("E2"))
    before = people.read()
    assert people.write(somebody(job_title="Rigger"), somebody("E2")) == [("E1", "updated")]
    before["E1"]["job_title"] = "Rigger"
    assert people.read() == before


def test_an_update_leaves_alone_what_is_not_managed(people: People, stand: Stand) -> None:
    people.write(somebody())
    narrow = {n: k for n, k in people.columns.items() if n != "town"}
    stand.edit("E1", "town", "Hove")
    system = stand.open()
    wanted = people.wanted(somebody(job_title="Rigger"))[[KEY, *narrow]]
    plan = reconcile(wanted, system.read("employees", narrow).frame, KEY, narrow, list(narrow))
    system.apply("employees", plan.changes)
    assert People(stand.open()).read()["E1"]["town"] == "Hove"


def test_no_value_takes_a_value_away_and_a_blank_is_no_value(people: People) -> None:
    people.write(somebody())
    people.write(somebody(phone=None, job_title=None))
    read = people.read()["E1"]
    assert pd.isna(read["phone"])
    assert pd.isna(read["job_title"])
    people.write(somebody(phone="01539 555002", job_title=None))
    assert people.read()["E1"]["phone"] == "01539 555002"


def test_a_closed_row_stays_and_says_so(people: People) -> None:
    people.write(somebody())
    changes = people.plan(somebody(status="Inactive")).changes.assign(kind="close")
    assert people.load(changes) == [("E1", "closed")]
    assert people.read()["E1"]["status"] == "Inactive"
    assert people.system.population("employees") == 1, "nobody is deleted"


def test_somebody_closed_can_come_back(people: People) -> None:
    people.write(somebody())
    people.write(somebody(status="Inactive"))
    people.write(somebody())
    assert people.read()["E1"]["status"] == "Active"


TEXTS = {
    "accents": "Zoë Ångström-Ñuñez",
    "other scripts": "李小龍 Дмитрий עִבְרִית",
    "emoji": "Wyn 👩🏽‍🔧",
    "combining": "e\u0301 a\u030a",
    "quotes": 'O\'Brien "Bob" & <Co>',
    "delimiters": "a,b;c\td|e",
    "lines": "first\nsecond",
    "formula": '=HYPERLINK("http://x.example")',
    "at": "@SUM(1)",
    "minus": "-2+3+cmd|' /C calc'!A0",
    "percent": "100%s {x} $1 \\n",
    "digits": "007",
    "null": "null",
    "long": "x" * 250,
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_is_kept_to_the_letter(people: People, text: str) -> None:
    assert people.write(somebody(job_title=text, surname=text[:60])) == [("E1", "created")]
    read = people.read()["E1"]
    assert (read["job_title"], read["surname"]) == (text, text[:60])
    assert not len(people.plan(somebody(job_title=text, surname=text[:60])).changes)


CONTROLS = ("a\x00b", "a\x1bb", "a\x85b", "a\u2028b", "a\ufeffb", "a\x0bb")
DRAWN: dict[str, st.SearchStrategy[Any]] = {
    "text": (
        st.text(st.characters(codec="utf-8"), max_size=30)
        | st.sampled_from([*TEXTS.values(), *CONTROLS])
    ).map(lambda text: text.strip() or None),
    "flag": st.booleans(),
    "day": st.dates(date(1900, 1, 1), date(2199, 12, 31)),
    "moment": st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC)),
}
"""Values of each kind that a record may hold, and text that none may."""
OF_A_FORM = {
    "email",
    "phone",
    "mobile",
    "status",
    "custom",
    "custom_for_accessplanit",
    "accessplanit_id",
}
"""Columns whose text has a form of its own."""


@pytest.mark.slow
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_law_5_what_is_written_can_be_read(people: People, data: st.DataObject) -> None:
    """Through every HR system: a value comes back as it was written, or its row is refused with a
    reason and stays as it was."""
    held = people.system.capabilities.entities["employees"].columns
    people.columns |= held
    drawn = {name: DRAWN[kind] for name, kind in held.items() if name not in OF_A_FORM}
    for _ in range(2):
        before = people.read()
        chosen = [
            somebody(key, **data.draw(st.fixed_dictionaries({}, optional=drawn)))
            for key in ("E1", "E2", "E3")
        ]
        outcomes = dict(people.write(*chosen))
        read, rejected = people.read(), people.system.read("employees", people.columns).rejected
        assert not len(rejected)
        refused = {key for key, outcome in outcomes.items() if outcome == "failed"}
        assert {key: read.get(key) for key in refused} == {key: before.get(key) for key in refused}
        assert set(people.plan(*chosen).changes["key"]) <= refused


def test_every_column_that_is_held_is_kept(people: People) -> None:
    holds = people.system.capabilities.entities["employees"]
    sample = {
        "text": lambda n: f"{n} 1",
        "day": lambda n: date(2026, 3, 31),
        "flag": lambda n: True,
    }
    sample["moment"] = lambda n: datetime(2026, 3, 31, 12, 30, tzinfo=UTC)
    special = {
        "email": "a@hr.example",
        "status": "Active",
        "custom": '{"CF_A": "1"}',
        "custom_for_accessplanit": '{"CF_B": "2"}',
    }
    row = {n: special.get(n) or sample[k](n) for n, k in holds.columns.items()}
    wanted = of({KEY: "text", **holds.columns}, [["E1", *row.values()]])
    nobody = people.system.read("employees", holds.columns).frame
    people.load(reconcile(wanted, nobody, KEY, holds.columns, list(holds.columns)).changes)
    (read,) = people.system.read("employees", holds.columns).frame.to_dict("records")
    assert {n: read[n] for n in row} == row


LIKELY = {
    "custom": None,
    KEY: "E1",
    "status": "Completed",
    "completed_on": date(2025, 3, 31),
    "expires_on": date(2026, 3, 31),
}
"""What a record of accessplanit may really hold, where not everything may stand."""


def test_every_entity_that_is_held_is_kept(stand: Stand) -> None:
    system = stand.open()
    People(system).write(somebody())
    sample = {
        "text": lambda n: f"{n} 1",
        "day": lambda n: date(2026, 3, 31),
        "flag": lambda n: True,
    }
    sample["moment"] = lambda n: datetime(2026, 3, 31, 12, 30, tzinfo=UTC)
    for entity, holds in system.capabilities.entities.items():
        if entity == "employees":
            continue
        row = {n: LIKELY.get(n, sample[k](n)) for n, k in holds.columns.items()}
        wanted = of({holds.key: "text", **holds.columns}, [["R1", *row.values()]])
        nothing = system.read(entity, holds.columns).frame
        plan = reconcile(wanted, nothing, holds.key, holds.columns, list(holds.columns))
        fit = plan.changes[~plan.changes["key"].isin(system.unfit(entity, plan.changes)["key"])]
        assert system.apply(entity, fit)["outcome"].tolist() == ["created"], entity
        again = reconcile(
            wanted,
            system.read(entity, holds.columns).frame,
            holds.key,
            holds.columns,
            list(holds.columns),
        )
        assert not len(again.changes), entity


# -- receipts ------------------------------------------------------------------------------------


def test_receipts_are_one_for_each_change_in_their_order(people: People) -> None:
    people.write(somebody("E2"), somebody("E4"))
    changes = people.plan(*(somebody(f"E{n}", job_title="Rigger") for n in range(1, 6))).changes
    receipts = people.system.apply("employees", changes)
    assert list(receipts.columns) == list(RECEIPTS)
    assert receipts["key"].tolist() == changes["key"].tolist()
    assert receipts["outcome"].tolist() == ["created", "updated", "created", "updated", "created"]
    assert receipts["reason"].isna().all()


def test_no_changes_are_no_receipts(people: People) -> None:
    receipts = people.system.apply("employees", people.plan().changes)
    assert (list(receipts.columns), len(receipts)) == (list(RECEIPTS), 0)


def test_many_rows_go_through_in_batches(people: People) -> None:
    count = min(people.system.batch + 7, 120)
    everybody = [somebody(f"E{n:03}") for n in range(count)]
    assert {outcome for _, outcome in people.write(*everybody)} == {"created"}
    assert people.system.population("employees") == len(people.read()) == count


def test_of_a_key_that_comes_twice_in_a_batch_the_last_counts(people: People) -> None:
    one, other = (people.plan(somebody(job_title=title)).changes for title in ("Welder", "Rigger"))
    receipts = people.system.apply("employees", concat([one, other]))
    assert receipts["outcome"].tolist() == ["created", "updated"]
    assert people.read()["E1"]["job_title"] == "Rigger"
    assert people.system.population("employees") == 1


def test_a_create_that_is_sent_again_meets_itself(people: People, stand: Stand) -> None:
    changes = people.plan(somebody()).changes
    people.system.apply("employees", changes)
    again = stand.open()
    assert again.apply("employees", changes)["outcome"].tolist() == ["updated"], (
        "what is there is not created, and the receipt says so"
    )
    assert again.population("employees") == 1


def bad(system: HrSystem) -> dict[str, Any]:
    """Somebody whom this system cannot take."""
    if system.capabilities.system == "the SCIM server":
        return somebody("E5", email="e2@hr.example")
    return somebody("E5", surname=None)


def test_a_bad_row_is_blamed_and_its_neighbours_are_loaded(people: People) -> None:
    people.write(somebody("E2"))
    others = [somebody(f"E{n}") for n in (1, 3, 4, 6, 7)]
    outcomes = dict(people.write(*others, bad(people.system)))
    assert outcomes == {**{f"E{n}": "created" for n in (1, 3, 4, 6, 7)}, "E5": "failed"}
    assert set(people.read()) == {"E1", "E2", "E3", "E4", "E6", "E7"}


def test_law_10_the_reason_of_a_failure_holds_nothing_of_the_person(people: People) -> None:
    people.write(somebody("E2"))
    people.write(bad(people.system) | {"forenames": "Unmistakable"})
    (reason,) = people.reasons
    assert reason
    assert "Unmistakable" not in reason
    assert "hr.example" not in reason


def test_a_mended_row_goes_through(people: People) -> None:
    people.write(somebody("E2"))
    people.write(bad(people.system))
    assert people.write(somebody("E5")) == [("E5", "created")]


# -- looking up ----------------------------------------------------------------------------------


@pytest.fixture
def three(people: People) -> People:
    people.write(somebody("E1"), somebody("E2", surname="Beck"), somebody("E3", surname="Crag"))
    return people


def test_look_up_by_key_finds_just_these(three: People) -> None:
    assert set(three.read(employee_id=["E2", "E9"])) == {"E2"}


def test_look_up_passes_over_case_where_people_type(three: People) -> None:
    assert set(three.read(email=["E3@HR.EXAMPLE"])) == {"E3"}


def test_look_up_by_several_columns_finds_each_row_once(three: People) -> None:
    rows = three.system.read(
        "employees", three.columns, {KEY: ["E1"], "email": ["e1@hr.example", "e2@hr.example"]}
    ).frame
    assert sorted(rows[KEY]) == ["E1", "E2"]


def test_look_up_of_nothing_finds_nothing(three: People) -> None:
    assert three.read(employee_id=[]) == {}
    assert three.read(email=["nobody@hr.example"]) == {}


def test_look_up_of_very_many_keys(three: People) -> None:
    assert set(three.read(employee_id=[f"E{n}" for n in range(2, 700)])) == {"E2", "E3"}


def test_a_value_that_looks_like_a_query_is_only_a_value(three: People) -> None:
    assert three.read(email=['" or "1" eq "1', "' OR '1'='1", "*", "%"]) == {}


def test_a_read_has_the_columns_that_were_asked_for_and_their_types(three: People) -> None:
    read = three.system.read("employees", {"surname": "text", "email": "text"}).frame
    assert list(read.columns) == [KEY, "surname", "email"]
    assert {arrow(read[name]).type for name in read.columns} == {ARROW["text"]}


def test_a_read_is_of_arrow_types_even_when_it_is_empty(people: People) -> None:
    told = people.system.capabilities.entities["employees"].told
    read = people.system.read("employees", {**people.columns, **told}).frame
    assert all(isinstance(arrow(read[name]), pa.Array) for name in read.columns)
    assert [arrow(read[n]).type for n in read.columns] == [
        ARROW[k] for k in ("text", *people.columns.values(), *told.values())
    ]


# -- people edit, and rows spoil -----------------------------------------------------------------


def test_what_people_change_there_is_seen(three: People, stand: Stand) -> None:
    stand.edit("E2", "job_title", "Diver")
    assert People(stand.open()).read()["E2"]["job_title"] == "Diver"


def test_what_has_changed_since_is_told(three: People, stand: Stand) -> None:
    if "written_at" not in three.system.capabilities.entities["employees"].told:
        pytest.skip("does not tell when a row was changed")
    (latest,) = [three.system.read("employees", {"written_at": "moment"}).frame["written_at"].max()]
    time.sleep(2.2)
    stand.edit("E2", "job_title", "Diver")
    since = latest.to_pydatetime() + timedelta(seconds=2)
    rows = stand.open().read("employees", {"job_title": "text"}, None, since).frame
    assert rows.values.tolist() == [["E2", "Diver"]]


def test_a_row_that_cannot_be_read_is_rejected_and_hides_nobody(
    three: People, stand: Stand
) -> None:
    if stand.spoil is None:
        pytest.skip("takes nothing that cannot be read")
    stand.spoil()
    system = stand.open()
    dated = {
        n: k for n, k in system.capabilities.entities["employees"].columns.items() if k == "moment"
    }
    read = system.read("employees", {**three.columns, **dated})
    assert set(read.frame[KEY]) == {"E1", "E2", "E3"}
    assert read.complete
    (rejected,) = read.rejected.to_dict("records")
    assert rejected["field"]
    assert rejected["reason"]
    assert rejected["raw"]


def test_as_a_source_it_tells_what_is_known_already(three: People, stand: Stand) -> None:
    source = HrSource(stand.open())
    wanted = [KEY, "surname", "job_title"] + [
        n for n in ["written_at"] if n in source.kinds("employees")
    ]
    first = source.read("employees", wanted, (), Ask(), np.empty(0, dtype=np.int64), "1")
    known = np.sort(arrow(first.frame["hash"]).to_numpy())
    assert (first.read, first.skipped) == (3, 0)
    stand.edit("E2", "surname", "Beck")
    touched = HrSource(stand.open()).read("employees", wanted, (), Ask(), known, "1")
    assert (touched.read, touched.skipped) == (3, 3), "touched is not changed"
    stand.edit("E2", "surname", "Dale")
    changed = HrSource(stand.open()).read("employees", wanted, (), Ask(), known, "1")
    assert changed.frame["surname"].tolist() == ["Dale"]
    assert HrSource(stand.open()).kinds("no such entity") == {}


def test_an_unknown_column_is_named_and_what_to_do(people: People) -> None:
    with pytest.raises(Misconfigured, match=r"shoe_size.*docs/hr-systems.md"):
        HrSource(people.system).read(
            "employees", [KEY, "shoe_size"], (), Ask(), np.empty(0, dtype=np.int64), "0"
        )


# -- what networks and servers do ----------------------------------------------------------------


def test_a_server_that_is_not_there_is_said_without_secrets(stand: Stand) -> None:
    with pytest.raises((TargetFailed, Misconfigured)) as caught:
        stand.open(stand.nowhere).population("employees")
    assert_discreet(caught.value, stand)


def test_refused_credentials_are_said_without_secrets(stand: Stand) -> None:
    if stand.wrong is None:
        pytest.skip("asks for no credentials here")
    with pytest.raises(CredentialsRefused) as caught:
        stand.open(stand.wrong).population("employees")
    assert "renew" in str(caught.value).lower()
    assert_discreet(caught.value, stand)


def assert_discreet(error: HrsyncError, stand: Stand) -> None:
    told = (
        f"{error} {error.__cause__} {error.__context__ if not error.__suppress_context__ else ''}"
    )
    for settings_ in (stand.settings, stand.wrong, stand.nowhere):
        for secret in secrets(settings_):
            assert secret not in told


def secrets(settings_: Any) -> Iterator[str]:
    for value in vars(settings_).values() if settings_ else ():
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from secrets(value)


def test_settings_keep_their_secrets(stand: Stand) -> None:
    shown = repr(stand.settings) + str(stand.settings) + stand.open().name
    # The URL of a file holds no password.
    assert not [s for s in secrets(stand.settings) if s in shown and not s.startswith("sqlite")]


@pytest.fixture
def between(stand: Stand) -> Any:
    if stand.between is None:
        pytest.skip("is not called by HTTP")
    return stand.between


@pytest.mark.parametrize("status", ["429", "503"])
def test_a_server_that_has_had_enough_is_asked_again(
    people: People, between: Any, status: str
) -> None:
    people.write(somebody())
    between.fault(status, 2)
    assert set(people.read()) == {"E1"}
    between.fault("429", 1, write=True)
    assert people.write(somebody(job_title="Rigger")) == [("E1", "updated")]
    assert people.read()["E1"]["job_title"] == "Rigger"


def test_a_server_that_goes_on_refusing_ends_the_run_and_loses_nothing(
    people: People, between: Any
) -> None:
    people.write(somebody())
    between.fault("503", 9)
    with pytest.raises(TargetFailed, match="lost"):
        people.system.population("employees")
    between.clear()
    assert set(people.read()) == {"E1"}


@pytest.mark.parametrize("kind", ["403", "408", "500", "html"])
def test_law_11_a_fault_of_the_system_is_no_fault_of_a_row(
    people: People, between: Any, stand: Stand, kind: str
) -> None:
    everybody = [somebody(f"E{n}") for n in range(3)]
    changes = people.plan(*everybody).changes
    between.fault(kind, 9, write=True)
    with pytest.raises((TargetFailed, CredentialsRefused)) as stopped:
        people.system.apply("employees", changes)
    assert (
        stopped.value.answered is None or "failed" not in stopped.value.answered["outcome"].tolist()
    )
    between.clear()
    again = People(stand.open())
    again.write(*everybody)
    assert set(again.read()) == {"E0", "E1", "E2"}


def test_law_11_what_was_answered_before_a_fault_is_receipted(
    people: People, between: Any, stand: Stand
) -> None:
    people.write(*[somebody(f"E{n}") for n in range(3)])
    changes = people.plan(*[somebody(f"E{n}", job_title="Rigger") for n in range(3)]).changes
    between.fault("", 1, write=True)
    between.fault("500", 9, write=True)
    try:
        # A system that takes all three in one request has answered them all.
        answered = people.system.apply("employees", changes)
    except TargetFailed as stopped:
        answered = stopped.answered
    between.clear()
    titles = [row["job_title"] for row in People(stand.open()).read().values()]
    assert titles.count("Rigger") == (
        0 if answered is None else answered["outcome"].tolist().count("updated")
    )


def test_law_11_a_database_that_is_full_or_read_only_refuses_no_row(
    people: People, stand: Stand
) -> None:
    if stand.connector != "sql":
        pytest.skip("is no database")
    engine = people.system.engine  # type: ignore[attr-defined]
    readonly = (
        "PRAGMA query_only = ON" if engine.dialect.name == "sqlite" else "SET TRANSACTION READ ONLY"
    )
    changes = people.plan(somebody("E1")).changes

    def spoil(connection: Any) -> None:
        connection.exec_driver_sql(readonly)

    sa.event.listen(engine, "begin", spoil)
    with pytest.raises(TargetFailed):
        people.system.apply("employees", changes)
    sa.event.remove(engine, "begin", spoil)
    engine.dispose()
    assert set(People(stand.open()).read()) == set()
    again = People(stand.open())
    again.write(somebody("E1"))
    assert set(again.read()) == {"E1"}


@pytest.mark.parametrize("kind", ["lost", "hang"])
def test_after_an_answer_that_never_came_the_truth_is_read_and_nothing_is_doubled(
    people: People, between: Any, stand: Stand, kind: str
) -> None:
    people.write(somebody("E0"))
    everybody = [somebody(f"E{n}") for n in range(3)]
    changes = people.plan(*everybody).changes
    between.fault(kind, 4, write=True)
    with pytest.raises(TargetFailed):
        people.system.apply("employees", changes)
    between.clear()
    again = People(stand.open())
    assert set(again.read()) >= {"E0"}
    again.write(*everybody)
    assert set(again.read()) == {"E0", "E1", "E2"}
    assert again.system.population("employees") == 3
    assert not len(again.plan(*everybody).changes)


def test_a_time_out_while_reading_is_asked_again(people: People, between: Any) -> None:
    people.write(somebody())
    between.fault("hang", 1)
    assert set(people.read()) == {"E1"}


def test_its_settings_are_a_form_and_an_environment(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    from connectors.settings import load
    from tasks.blocks import block_of

    model = connectors()[stand.connector].settings
    assert model(), "every field has a default"
    kind = block_of(stand.connector)
    assert set(model.model_fields) <= set(kind.model_fields)
    assert kind._block_type_slug == f"hrsync-{stand.connector.replace('_', '-')}"
    name = next(iter(model.model_fields))
    assert (
        load().of_connector(stand.connector) == model()
        or getattr(load().of_connector(stand.connector), name) is not None
    )
    monkeypatch.setenv(f"HRSYNC_{stand.connector.upper()}__NO_SUCH_FIELD", "x")
    with pytest.raises(Misconfigured, match="NO_SUCH_FIELD"):
        load().of_connector(stand.connector)
