"""The query builder, against the parser that the sandbox takes from a library."""

from __future__ import annotations

from datetime import date, datetime

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from connectors.accessplanit.odata import AnyOf, Compare, filters, literal, options
from sandbox.query import Names, where
from sandbox.schema import MODULES
from sandbox.tenant import AWKWARD, STANDARD

TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=30)


def matches(filter_: str, rows: list[dict[str, object]], tenant: object = STANDARD) -> list[object]:
    table = MODULES["user"]
    engine = sa.create_engine("sqlite://")
    table.create(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), rows)
        names = Names(tenant, table)  # type: ignore[arg-type]
        return list(
            connection.execute(sa.select(table.c.ID).where(where(tenant, names, filter_))).scalars()
        )  # type: ignore[arg-type]


@given(wanted=TEXT, other=TEXT)
def test_a_text_literal_finds_exactly_that_text(wanted: str, other: str) -> None:
    (filter_,) = filters([Compare("Surname", "eq", wanted)], "bare", True)
    rows: list[dict[str, object]] = [{"ID": "a", "Surname": wanted}, {"ID": "b", "Surname": other}]
    assert matches(filter_, rows) == (["a", "b"] if other == wanted else ["a"])


@given(wanted=st.lists(TEXT, min_size=1, max_size=4, unique=True), company=TEXT)
def test_and_binds_tighter_than_or_with_and_without_or(wanted: list[str], company: str) -> None:
    conditions = [
        AnyOf(tuple(Compare("Surname", "eq", w) for w in wanted)),
        Compare("MainCompanyID", "eq", company),
    ]
    rows: list[dict[str, object]] = [
        {"ID": f"in{i}", "Surname": w, "MainCompanyID": company} for i, w in enumerate(wanted)
    ]
    rows += [
        {"ID": f"out{i}", "Surname": w, "MainCompanyID": company + "x"}
        for i, w in enumerate(wanted)
    ]
    expected = sorted(str(r["ID"]) for r in rows[: len(wanted)])
    (joined,) = filters(conditions, "bare", True)
    assert sorted(map(str, matches(joined, rows))) == expected
    apart = [
        str(found) for text in filters(conditions, "bare", False) for found in matches(text, rows)
    ]
    assert sorted(apart) == expected


@given(st.datetimes(datetime(1950, 1, 1), datetime(2150, 1, 1)))
def test_dates_in_both_spellings(moment: datetime) -> None:
    moment = moment.replace(microsecond=0)
    rows: list[dict[str, object]] = [{"ID": "a", "DateUpdated": moment.isoformat()}]
    for spelling, tenant in (("bare", STANDARD), ("quoted", AWKWARD)):
        name = "DateUpdated" if tenant is STANDARD else "DateCreated"
        rows = [{"ID": "a", name: moment.isoformat()}]
        (filter_,) = filters([Compare(name, "ge", moment)], spelling, True)  # type: ignore[arg-type]
        assert matches(filter_, rows, tenant) == ["a"]
        (filter_,) = filters([Compare(name, "lt", moment)], spelling, True)  # type: ignore[arg-type]
        assert matches(filter_, rows, tenant) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("O'Brien", "'O''Brien'"),
        (5, "'5'"),
        (True, "true"),
        (date(2026, 6, 25), "2026-06-25T00:00:00"),
        ("pebrid~12368", "'pebrid~12368'"),
    ],
)
def test_literals_as_the_vendor_writes_them(value: object, text: str) -> None:
    assert literal(value, "bare") == text  # type: ignore[arg-type]


def test_options_and_zones() -> None:
    assert options(["ID"], "", ["ID"], 10, 0, False) == {
        "$select": "ID",
        "$orderby": "ID asc",
        "$top": "10",
        "$skip": "0",
    }
    with pytest.raises(ValueError, match="naive"):
        literal(datetime.fromisoformat("2026-01-01T00:00:00+00:00"), "bare")
