"""Whose data something is, by all that names a person."""

from __future__ import annotations

import json

import pytest

from reconciliation.frame import of
from reconciliation.person import FORGOTTEN, Person

WYN = Person.of(
    ["wynash"], ["AP-wynash"], ["UA77", "12"], ["wyn@hr.example", "Wyn Ashdown", "E-4711"]
)


@pytest.mark.parametrize(
    "key", ["wynash", "WYNASH", "wynash~101", "AP-wynash~JR1~AW1", "new:UA77", " ua77 ", "12"]
)
def test_keys_of_the_person_and_of_their_records(key: str) -> None:
    assert WYN.has(key)


@pytest.mark.parametrize(
    "key", ["wynash2", "awynash", "UA771", "", None, "112", "wyn@hr.example", "other~wynash"]
)
def test_keys_of_others(key: str | None) -> None:
    assert not WYN.has(key)


def test_rows_are_theirs_by_the_columns_that_name_somebody() -> None:
    rows = of(
        {"key": "text", "accessplanit_user_id": "text", "award_id": "text", "email": "text"},
        [
            ("UA77", None, "A", None),
            ("UA78", "WynAsh", "A", None),
            ("UA79", "other", "12", "wynash@elsewhere.example"),
            ("UA80", None, "A", "WYN@hr.example"),
        ],
    )
    assert WYN.theirs(rows).tolist() == [True, True, False, True]


def test_what_is_somebody_elses_loses_what_names_the_person_and_nothing_more() -> None:
    rows = of(
        {
            "key": "text",
            "fields": "text",
            "managers_emails": "text",
            "approver": "text",
            "label": "text",
        },
        [
            ("UA1", "", "a@hr.example; WYN@hr.example", "Wyn  Ashdown", "Lifting 12"),
            ("UA2", "", "swyn@hr.example", None, ""),
        ],
    )
    told = WYN.redacted(rows).to_dict("records")
    assert told[0] == {
        "key": "UA1",
        "fields": "",
        "managers_emails": f"a@hr.example; {FORGOTTEN}",
        "approver": FORGOTTEN,
        "label": "Lifting 12",
    }
    assert WYN.redacted(rows.iloc[1:].reset_index(drop=True))["managers_emails"].tolist() == [
        "swyn@hr.example"
    ]
    nobody = Person.of(["a"])
    assert nobody.redacted(rows) is rows


def test_a_record_as_it_was_received_is_theirs_if_a_value_says_so() -> None:
    assert WYN.has_record(json.dumps({"ID": "X1", "UserID": "WYNASH"}))
    assert WYN.has_record("X1;wynash;Booked")
    assert not WYN.has_record(json.dumps({"ID": "X1", "UserID": "other", "Note": "asked wynash"}))
    assert WYN.mentioned(json.dumps({"Note": "asked wynash"}))
    assert WYN.without(json.dumps({"Note": "asked wynash", "Seats": 3})) == json.dumps(
        {"Note": f"asked {FORGOTTEN}", "Seats": 3}
    )
    hidden = Person.of(["u"], values=["Zoë Ashdown"])
    assert hidden.mentioned('{"by": "Zo\\u00eb Ashdown"}')
    assert "Ashdown" not in hidden.without('{"by": "Zo\\u00eb Ashdown"}')


def test_the_id_of_a_user_may_be_the_key_of_another_employee() -> None:
    one = Person.of(["1001"], ["E7"], ["UA77"])
    rows = of(
        {"key": "text", "employee_id": "text", "accessplanit_id": "text"},
        [
            ("1001", None, "other"),
            ("A", "1001", None),
            ("E7", None, None),
            ("UA77", None, "other"),
            ("B", None, "1001"),
            ("1001", None, None),
        ],
    )
    theirs = [False, False, True, True, True, True]
    assert one.theirs(rows).tolist() == theirs
    said = [
        {name: None if value is None else str(value) for name, value in row.items()}
        for row in rows.astype(object).to_dict("records")
    ]
    assert [
        one.has_row({name: value for name, value in row.items() if isinstance(value, str)})
        for row in said
    ] == theirs
    assert one.redacted(rows) is rows, "a key of somebody else is no mention"
    kept = json.dumps({"EmployeeID": "1001", "Manager": "1001"})
    assert one.without(kept) == json.dumps({"EmployeeID": "1001", "Manager": FORGOTTEN})


def test_a_record_that_was_cut_off_is_known_by_its_fields() -> None:
    cut = '{"ID": "X1", "UserID": "wynash", "UserForenames": "Wyn", "Note": "' + "x" * 50
    assert WYN.has_record(cut)
    assert not WYN.has_record(cut.replace("wynash", "other"))


def test_a_name_is_known_in_cells_beside_each_other_and_a_short_number_only_alone() -> None:
    for text in ("Wyn,Ashdown,x", "Wyn;Ashdown", "Wyn  Ashdown"):
        assert WYN.mentioned(text)
    short = Person.of([], ["1"])
    assert not short.has_record("77,Lee,1")
    assert short.has_row({"employee_id": "1"})
