"""Rows are found and read as they were asked for, though people edit them and rows spoil."""

from __future__ import annotations

import time
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from connectors.hr.source import HrSource
from reconciliation.ask import Ask
from reconciliation.errors import Misconfigured
from reconciliation.frame import ARROW, arrow

from .people import KEY, People
from .stands import Stand

# -- looking up ----------------------------------------------------------------------------------


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
    told = people.system.capabilities.entities["employees"].read_only
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
    if "written_at" not in three.system.capabilities.entities["employees"].read_only:
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
