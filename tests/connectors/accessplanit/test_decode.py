"""One definition of a record, two engines: the compiled one accepts a subset of the model, with
equal values."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.accessplanit.decode import (
    Envelope,
    Shape,
    Unreadable,
    decode,
    hashes,
    holds_escapes,
)
from connectors.accessplanit.dialect import Dialect
from connectors.accessplanit.feeds import FEEDS
from reconciliation.errors import Misconfigured, SourceFailed
from tests.examples import examples

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**6), 10**6)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=3,
)
DATES = st.one_of(
    st.datetimes().map(lambda d: d.isoformat()),
    st.dates().map(str),
    st.sampled_from(
        [
            *(
                "2026-11-26T10:00:00.1234567",
                "2026-11-26T10:00:00.9999999",
                "2026-03-29T01:30:00",
                "2026-10-25T01:30:00.5",
                "9999-12-31",
            ),
            *(
                "2026-10-25T01:30:00+01:00",
                "2026-11-26T10:00",
                "2026-11-26T10:00:00,5",
                "1899-12-31T00:00:00",
                "2026-11-26t10:00:00",
            ),
            *(
                "2025-02-30T00:00:00",
                "2025-02-22T11:01:38.17",
                "2026-06-25T00:00:00Z",
                "25/06/2026",
                "2025-02-22 10:00:00",
                "0001-01-01",
            ),
        ]
    ),
)
PLAIN = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(
    [" padded ", "", "   ", "jasmit", "a@b.example", "x" * 5000, "\x00"]
)
BY_KIND = {
    "text": PLAIN,
    "flag": st.booleans() | st.sampled_from(["true", "0", "yes"]),
    "moment": DATES,
    "day": DATES,
    "number": st.integers(0, 99) | st.sampled_from(["7", "-1", "x", ""]),
}


def full(feed: str, *, sparse: bool = True) -> Shape:
    return Shape(feed, list(FEEDS[feed].model_fields), (), Dialect(sparse=sparse))


SHAPES = {feed: full(feed) for feed in FEEDS}


def records(feed: str) -> st.SearchStrategy[dict[str, Any]]:
    shape = SHAPES[feed]
    fields: dict[str, st.SearchStrategy[Any]] = {}
    sound = {
        "id": "jasmit",
        "forenames": "Jo",
        "surname": "Lee",
        "status": "Completed",
        "user_id": "u",
        "award_id": "a",
    }
    for name, kind in shape.kinds.items():
        usual = (
            st.sampled_from(["Completed", "Target", "in progress", 2])
            if (feed, name) == ("UserAward", "status")
            else BY_KIND[kind]
        )
        fields[shape.wire[name]] = (
            usual | JSON if name != "id" else st.sampled_from(["jasmit", " a ", 7, "", None, ["x"]])
        )
    # A record with one mandatory field amiss tells nothing of its other fields: mostly they are
    # sound.
    needed = {shape.wire[n]: st.just(v) for n, v in sound.items() if n in shape.kinds}
    optional = {wire: strategy for wire, strategy in fields.items() if wire not in needed}
    return st.fixed_dictionaries(needed, optional=optional) | st.fixed_dictionaries(
        {}, optional=fields
    )


def by_model(shape: Shape, raws: list[msgspec.Raw]) -> tuple[list[dict[str, Any]], list[int]]:
    good, bad = [], []
    for place, raw in enumerate(raws):
        try:
            good.append(shape.validate(bytes(raw)))
        except Unreadable:
            bad.append(place)
    columns = shape.columns_of(good)
    return [{name: columns[name][i].as_py() for name in shape.kinds} for i in range(len(good))], bad


@pytest.mark.parametrize("feed", sorted(FEEDS))
@examples(80)
@given(data=st.data())
def test_both_engines_accept_and_reject_the_same(feed: str, data: st.DataObject) -> None:
    sparse = data.draw(st.booleans())
    shape = full(feed, sparse=sparse)
    found_records = data.draw(st.lists(records(feed), min_size=1, max_size=4))
    if not sparse and data.draw(st.booleans()):
        found_records = [
            {**dict.fromkeys(shape.wire.values()), **record} for record in found_records
        ]
    page = json.dumps({"results": found_records}).encode()
    raws, _ = Envelope(Dialect()).split(page)
    marks = hashes(raws, 1)
    frame, rejected = decode(shape, raws, marks, escapes=holds_escapes(page))
    expected, bad = by_model(shape, raws)
    assert sorted(rejected["hash"].tolist()) == sorted(int(marks[i]) for i in bad)
    found = frame.drop(columns="hash").astype(object).to_dict("records")
    as_text = sorted(json.dumps(row, default=str, sort_keys=True) for row in expected)
    there = [{k: None if v is None or v != v else v for k, v in row.items()} for row in found]
    there = [
        {k: None if str(v) == "<NA>" or str(v) == "NaT" else v for k, v in row.items()}
        for row in there
    ]
    assert [_plain(t) for t in _sorted(there)] == [
        _plain(t) for t in _sorted([json.loads(t) for t in as_text])
    ]


def _plain(row: dict[str, Any]) -> dict[str, str | None]:
    return {k: None if v is None else str(v).replace("T", " ") for k, v in row.items()}


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: json.dumps(_plain(row), sort_keys=True))


def one(record: object, feed: str = "User") -> tuple[Any, Any]:
    raws, _ = Envelope(Dialect()).split(json.dumps({"results": [record]}).encode())
    return decode(SHAPES[feed], raws, hashes(raws, 0), escapes=True)


GOOD = {"ID": "jasmit", "Forenames": "Jo", "Surname": "O'Brien", "Status": "Enabled"}


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"ID": None}, "id", "is empty"),
        ({"ID": "  "}, "id", "is empty"),
        ({"ID": {"x": 1}}, "id", "object"),
        ({"Surname": ""}, "surname", "is empty"),
        ({"Surname": "x" * 41}, "surname", "has more than 40 characters"),
        ({"ID": "x" * 251}, "id", "has more than 250 characters"),
        ({"Forenames": ["a", "b"]}, "forenames", "several values"),
        ({"Status": True}, "status", "true or false"),
        ({"Email": "nobody"}, "email", "is not a valid e-mail address"),
        ({"MarketingOptIn": "perhaps"}, "marketing_opt_in", "neither true nor false"),
        ({"DateCreated": "2025-02-30T10:00:00"}, "created_at", "exists"),
        ({"DateCreated": "22/02/2025"}, "created_at", "ISO"),
        ({"DateCreated": "1066-10-14T09:00:00"}, "created_at", "1900"),
        ({"JobTitle": "a\u0000b"}, "job_title", "control"),
        ({"JobTitle": "a\bb"}, "job_title", "control"),
        ({"JobTitle": "a\fb"}, "job_title", "control"),
    ],
)
def test_reasons_name_the_field_and_never_the_value(
    change: dict[str, object], field: str, reason: str
) -> None:
    frame, rejected = one({**GOOD, **change})
    assert len(frame) == 0
    assert rejected["field"][0] == field
    assert reason in rejected["reason"][0]
    assert "nobody" not in rejected["reason"][0]


@pytest.mark.parametrize("record", ["text", None, 5, [1]])
def test_what_is_no_object_is_rejected_without_a_key(record: object) -> None:
    _, rejected = one(record)
    assert rejected["reason"][0] == "is not an object"
    assert rejected["key"].isna()[0]


def test_unstable_types_of_the_vendor_are_read() -> None:
    odd = {
        "id": "x",
        "FORENAMES": ["Jo"],
        "Surname": "Lee",
        "Status": "Enabled",
        "MainRoleID": [],
        "Phone": 123,
        "MarketingOptIn": "True",
        "Email": "",
    }
    frame, rejected = one(odd)
    assert len(rejected) == 0
    row = frame.iloc[0]
    assert (row["id"], row["forenames"], row["phone"], bool(row["marketing_opt_in"])) == (
        "x",
        "Jo",
        "123",
        True,
    )
    assert frame[["access_role_id", "email"]].isna().all(axis=None)


def test_a_missing_envelope_is_an_error_and_not_an_empty_feed() -> None:
    with pytest.raises(SourceFailed, match="results_key"):
        Envelope(Dialect()).split(b'{"value": []}')


@pytest.mark.parametrize("broken", [b'"\\ud800"', b'"caf\xe9"'])
def test_a_record_that_is_no_strict_json_does_not_take_its_page_with_it(broken: bytes) -> None:
    bad = b'{"ID": "b", "Forenames": %s, "Surname": "x", "Status": "New"}' % broken
    page = b'{"results": [%s, %s], "count": 2}' % (json.dumps(GOOD).encode(), bad)
    raws, count = Envelope(Dialect()).split(page)
    frame, rejected = decode(SHAPES["User"], raws, hashes(raws, 0), escapes=True)
    assert (count, frame["id"].tolist(), rejected["key"].tolist()) == (2, ["jasmit"], ["b"])


def test_unknown_feed_and_field() -> None:
    with pytest.raises(Misconfigured, match=r"no feed 'Users'.*User"):
        Shape("Users", [], (), Dialect())
    with pytest.raises(Misconfigured, match="no field shoe_size"):
        Shape("User", ["id", "shoe_size"], (), Dialect())


def test_hashes_depend_on_bytes_and_seed() -> None:
    raws, _ = Envelope(Dialect()).split(b'{"results": [{"ID":"a"},{"ID":"a"},{"ID": "a"}]}')
    first, other = hashes(raws, 1), hashes(raws, 2)
    assert first.dtype == np.int64
    assert first[0] == first[1] != first[2]
    assert first[0] != other[0]


def test_a_moment_with_an_offset_is_what_it_says() -> None:
    """In the hour that comes twice only the offset tells which one is meant."""
    said = {
        "2026-10-25T01:30:00+01:00": "00:30",
        "2026-10-25T01:30:00+00:00": "01:30",
        "2026-10-25T01:30:00": "00:30",
    }
    for text, utc in said.items():
        frame, _ = one({**GOOD, "DateCreated": text})
        assert frame["created_at"][0].strftime("%H:%M") == utc


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"DateCreated": "2199-12-31T23:59:59"}, "2199-12-31 12:59:59+00:00"),
        ({"DateCreated": "2200-01-01T05:00:00"}, "lies before 1900 or after 2199"),
        ({"DateCreated": "1900-01-01T00:00:00"}, "1899-12-31 14:00:00+00:00"),
        ({"Email": "a@b.example\u00a0"}, "a@b.example"),
        ({"Email": "\u2003a@b.example"}, "a@b.example"),
        ({"Email": "a\u00a0b@c.example"}, "is not a valid e-mail address"),
    ],
)
def test_both_engines_agree_where_zones_and_foreign_spaces_meet_a_limit(
    change: dict[str, str], expected: str
) -> None:
    """The year that counts is the one that was written, whatever it is in UTC; a space is a space
    in every alphabet."""
    shape = Shape(
        "User", list(FEEDS["User"].model_fields), (), Dialect(sparse=True, zone="Australia/Sydney")
    )
    raws, _ = Envelope(Dialect()).split(json.dumps({"results": [{**GOOD, **change}]}).encode())
    frame, rejected = decode(shape, raws, hashes(raws, 0), escapes=True)
    found = [str(value) for value in frame[["created_at", "email"]].stack().dropna()]
    assert found + rejected["reason"].tolist() == [expected]
    if len(rejected):
        with pytest.raises(Unreadable, match=expected):
            shape.validate(bytes(raws[0]))
    else:
        columns = shape.columns_of([shape.validate(bytes(raws[0]))])
        assert [
            str(columns[name][0]) for name in ("created_at", "email") if columns[name][0].is_valid
        ] == found


@pytest.mark.parametrize(
    "page",
    [b'{"results":[{"ID":"a"}],"count":"1"}', b'\xef\xbb\xbf{"results":[{"ID":"a"}],"count":1}'],
)
def test_a_total_that_is_text_and_a_byte_order_mark_are_read(page: bytes) -> None:
    assert Envelope(Dialect()).split(page)[1] == 1


def test_an_address_is_lines_of_text() -> None:
    frame, _ = one({**GOOD, "FullAddress": "1 High St<br />Barrow &amp; Son<BR/>LA1 1AB"})
    assert frame["full_address"][0] == "1 High St\nBarrow & Son\nLA1 1AB"


def test_a_zone_that_does_not_exist_is_an_error_of_the_settings() -> None:
    with pytest.raises(ValueError, match="not a zone of the IANA database"):
        Dialect(zone="GMT Standard Time")
