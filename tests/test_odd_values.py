"""The table of odd values through every door: the right value or the right refusal, no crash, and
the rows beside it load."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from connectors.accessplanit.decode import Envelope, Shape, decode, hashes, holds_escapes
from connectors.accessplanit.dialect import Dialect
from connectors.accessplanit.rules import broken
from connectors.accessplanit.target import AccessplanitTarget
from connectors.hr.bamboohr.people import person
from connectors.hr.cells import typed
from connectors.hr.csv_drop import CsvDropSettings
from connectors.hr.csv_drop.text import read
from connectors.hr.scim.user import value_of
from connectors.hr.sql import SqlHr
from reconciliation.frame import arrow, of
from reconciliation.plan import reconcile
from reconciliation.snapshot import Snapshot
from reconciliation.values import READERS, decoded, encoded

from . import odd_values as odd
from .conftest import DIALECTS, Side
from .odd_values import No
from .test_laws import examples

Table = Sequence[tuple[Any, Any]]
BY_KIND: Mapping[str, Table] = {
    "text": [*odd.TEXT, *odd.NUMBERS_AS_TEXT, *odd.NOT_TEXT],
    "flag": odd.FLAGS,
    "day": odd.DAYS,
    "moment": odd.MOMENTS,
    "number": odd.NUMBERS,
}


def test_there_are_enough_of_them() -> None:
    assert sum(map(len, BY_KIND.values())) + len(odd.LISTS) >= 150


@pytest.mark.parametrize("kind", BY_KIND)
def test_law_9_a_cell_is_its_value_or_a_rejected_row(kind: str) -> None:
    for said, meant in BY_KIND[kind]:
        if isinstance(meant, No):
            with pytest.raises(ValueError, match=meant.because):
                READERS[kind](said)
        else:
            found = READERS[kind](said)
            assert _same(found, meant), (said, found)


def _same(found: Any, meant: Any) -> bool:
    if isinstance(meant, datetime) and isinstance(found, datetime) and found.tzinfo is None:
        meant = meant.replace(tzinfo=None)
    return bool(found == meant) and isinstance(found, bool) == isinstance(meant, bool)


def check(read: Snapshot | tuple[Any, Any], column: str, table: Table) -> None:
    """Row ``r<n>`` says the n-th line of the table."""
    frame, rejected = (read.frame, read.rejected) if isinstance(read, Snapshot) else read
    key = str(frame.columns[0])
    values = dict(zip(frame[key], arrow(frame[column]).to_pylist(), strict=True))
    reasons = dict(zip(rejected["key"], rejected["reason"], strict=True))
    for number, (said, meant) in enumerate(table):
        name = f"r{number}"
        if isinstance(meant, No):
            assert meant.because in reasons.get(name, f"{values.get(name)!r} was read"), said
        else:
            assert name in values, (said, reasons.get(name))
            found = values[name].strip() or None if isinstance(values[name], str) else values[name]
            assert found == meant, said
    assert len(values) + len(reasons) == len(table)


# -- accessplanit --------------------------------------------------------------------------------

FIELDS = {
    "text": ("User", "job_title"),
    "flag": ("User", "marketing_opt_in"),
    "day": ("UserUserType", "valid_to"),
}
FIELDS |= {"moment": ("User", "created_at"), "number": ("CourseDate", "spaces_left")}
SOUND = {"Forenames": "Jo", "Surname": "Lee", "Status": "Enabled", "UserID": "u", "UserTypeID": "t"}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", FIELDS)
def test_law_9_odd_values_through_a_feed_of_accessplanit(kind: str, dialect: str) -> None:
    feed, column = FIELDS[kind]
    # In a zone without summer time and offset, the table's moments are UTC.
    spoken = DIALECTS[dialect].model_copy(update={"zone": "UTC", "sparse": True})
    table = [(said, meant) for said, meant in BY_KIND[kind] if not isinstance(said, bytes)]
    shape = Shape(feed, ["id", column], (), spoken)
    check(
        _decoded(
            shape,
            [{"ID": f"r{n}", shape.wire[column]: said} for n, (said, _) in enumerate(table)],
            spoken,
        ),
        column,
        table,
    )


def test_a_custom_field_keeps_its_type() -> None:
    dialect = Dialect(sparse=True)
    shape = Shape("User", ["id"], ["CF_A"], dialect)
    frame, rejected = _decoded(
        shape, [{"ID": f"r{n}", "CF_A": said} for n, (said, _) in enumerate(odd.LISTS)], dialect
    )
    values = {
        key: decoded(None if text is None else str(text))
        for key, text in zip(frame["id"], arrow(frame["CF_A"]).to_pylist(), strict=True)
    }
    meant = {f"r{n}": value for n, (_, value) in enumerate(odd.LISTS) if not isinstance(value, No)}
    assert values == meant
    assert all(isinstance(values[key], type(value)) for key, value in meant.items())
    assert rejected["key"].tolist() == [
        f"r{n}" for n, (_, value) in enumerate(odd.LISTS) if isinstance(value, No)
    ]


CUSTOM = st.recursive(
    st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]))
    | st.sampled_from(["7", "-1.5", "1e3", "true", "null", "[1]", '"x"', "{}", "NaN"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(CUSTOM)
def test_law_5_the_text_of_a_custom_field_has_its_value_back(value: Any) -> None:
    meant = value.strip() if isinstance(value, str) else value
    found = decoded(encoded(value))
    assert found == (meant if meant not in ("", []) else None)


def _decoded(shape: Shape, records: list[dict[str, Any]], dialect: Dialect) -> tuple[Any, Any]:
    page = json.dumps({dialect.results_key: records}).encode()
    raws, _ = Envelope(dialect).split(page)
    return decode(shape, raws, hashes(raws, 1), escapes=holds_escapes(page))


@pytest.mark.parametrize(("column", "kind"), [("job_title", "text"), ("marketing_opt_in", "flag")])
def test_what_is_written_to_accessplanit_can_be_read_there(column: str, kind: str) -> None:
    """On the way back: a value goes out only if the feed's own model reads it again."""
    table = [
        (said, meant)
        for said, meant in BY_KIND[kind]
        if isinstance(said, str) and "\ud800" not in said and "\udcfc" not in said
    ]
    rows = [(f"r{n}", "update", column, None, said) for n, (said, _) in enumerate(table)]
    changes = of(
        {"key": "text", "kind": "text", "fields": "text", "reason": "text", column: "text"}, rows
    )
    refused = broken("User", changes, {}, lambda _: None)
    assert {f"r{n}" for n, (_, meant) in enumerate(table) if isinstance(meant, No)} == set(refused)


def plain(text: str) -> str | None:
    """As every reader gives it."""
    return text.strip() or None


WRITTEN = {
    "job_title": (
        st.text(st.characters(codec="utf-8"), max_size=30)
        | st.sampled_from(["a\x00b", "a\x1bb", "a\x85b", "null", "=1+1"])
    ).map(plain),
    "forenames": st.text(st.characters(codec="utf-8"), max_size=60).map(plain),
    "email": st.text("ab@.ö \n", max_size=90).map(plain),
    "marketing_opt_in": st.booleans(),
    "CF_Site": st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=30).map(
        encoded
    ),
}
COLUMNS = {name: "flag" if name == "marketing_opt_in" else "text" for name in WRITTEN}


def test_law_5_what_is_written_to_accessplanit_can_be_read_there(side: Side) -> None:
    """A value comes back as it was written, or it is refused with a reason and the record stays as
    it was."""
    target = AccessplanitTarget(side.source())

    @examples(25)
    @given(st.lists(st.fixed_dictionaries({}, optional=WRITTEN), min_size=3, max_size=3))
    def holds(rows: list[dict[str, Any]]) -> None:
        before = target.read("User", COLUMNS, None).frame.head(3)
        wanted = before.assign(**{name: _drawn(name, before, rows) for name in COLUMNS})
        plan = reconcile(wanted, before, "id", COLUMNS, list(COLUMNS))
        refused = set(target.unfit("User", plan.changes)["key"])
        receipts = target.apply(
            "User", plan.changes[~plan.changes["key"].isin(refused)].reset_index(drop=True)
        )
        refused |= set(receipts["key"][receipts["outcome"] == "failed"])
        after = target.read("User", COLUMNS, {"id": before["id"].tolist()})
        assert not len(after.rejected)
        assert (
            set(reconcile(wanted, after.frame, "id", COLUMNS, list(COLUMNS)).changes["key"])
            <= refused
        )
        unchanged = before[before["id"].isin(refused)]
        assert not len(reconcile(unchanged, after.frame, "id", COLUMNS, list(COLUMNS)).changes)

    holds()


def _drawn(name: str, before: pd.DataFrame, rows: list[dict[str, Any]]) -> pd.Series[Any]:
    """What is wanted of each record: the drawn value, else the one that it has."""
    values = [
        drawn.get(name, None if pd.isna(value) else value)
        for drawn, value in zip(rows, before[name], strict=True)
    ]
    return of({name: COLUMNS[name]}, [(value,) for value in values])[name]


@pytest.mark.parametrize("text", ["a\x00b", "a\x1fb", "M\udcfcller"])
def test_law_9_one_odd_text_among_plain_ones_is_one_rejected_row(text: str) -> None:
    """Columns of nothing but text are read in one go."""
    read, rejected = typed(
        {"id": "text", "town": "text"}, [("r0", "Hove"), ("r1", text), ("r2", None)]
    )
    assert read["id"].tolist() == ["r0", "r2"]
    assert rejected["key"].tolist() == ["r1"]


# -- HR ------------------------------------------------------------------------------------------

ENTITIES = {"text": ("employees", "job_title"), "flag": ("employees", "marketing_opt_in")}
ENTITIES |= {"day": ("awards", "completed_on"), "moment": ("employees", "source_created_at")}
MANDATORY = {"employees": {"surname": "Lee"}, "awards": {"employee_id": "E1", "award_id": "A1"}}


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqlHr]:
    opened = SqlHr(f"sqlite:///{tmp_path / 'hr.db'}")
    yield opened
    opened.close()


@pytest.mark.parametrize("kind", ENTITIES)
def test_law_9_odd_values_through_sqlite(sqlite: SqlHr, kind: str) -> None:
    """SQLite keeps in any column whatever somebody writes."""
    entity, column = ENTITIES[kind]
    # A half character cannot be bound: its bytes are written as text that is not UTF-8. A column of
    # text turns numbers into text.
    table = [
        (said, meant)
        for said, meant in BY_KIND[kind]
        if not isinstance(said, dict) and not (kind == "text" and isinstance(said, int | float))
    ]
    more = MANDATORY[entity]
    key = next(iter(sqlite.read(entity, {}, {}).frame.columns))
    raw = sqlite.engine.raw_connection()
    try:
        for number, (said, _) in enumerate(table):
            value = (
                said.encode("utf-8", errors="surrogatepass")
                if isinstance(said, str) and _half(said)
                else said
            )
            mark = "CAST(? AS TEXT)" if isinstance(said, str) and _half(said) else "?"
            names = ", ".join([key, *more, column])
            raw.cursor().execute(
                f"INSERT INTO {entity} ({names}) VALUES (?, {'?, ' * len(more)}{mark})",
                (f"r{number}", *more.values(), value),
            )
        raw.commit()
    finally:
        raw.close()
    check(sqlite.read(entity, {column: kind}), column, table)


def _half(text: str) -> bool:
    return any("\ud800" <= letter <= "\udfff" for letter in text)


def _read_alike(kind: str, said: Any, meant: Any) -> bool:
    """Whether a text reaches a column of PostgreSQL as what the table says: the database has
    readings of its own for other forms."""
    if not isinstance(said, str) or isinstance(meant, No) or meant is None:
        return False
    return kind not in ("day", "moment") or (
        not any(sign in said for sign in "Z+") and "-05:00" not in said
    )


@pytest.mark.parametrize("kind", ENTITIES)
def test_law_9_odd_values_through_postgresql(postgresql: Callable[[], str], kind: str) -> None:
    """PostgreSQL refuses most of what is odd itself; what it keeps is read as anywhere else."""
    entity, column = ENTITIES[kind]
    table = [(said, meant) for said, meant in BY_KIND[kind] if _read_alike(kind, said, meant)]
    hr = SqlHr(postgresql())
    try:
        key = next(iter(hr.read(entity, {}, {}).frame.columns))
        names = [key, *MANDATORY[entity], column]
        cast = {"text": "text", "flag": "boolean", "day": "date", "moment": "timestamp"}[kind]
        marks = ", ".join([f":{name}" for name in names[:-1]] + [f"CAST(:{column} AS {cast})"])
        with hr.engine.begin() as connection:
            for number, (said, _) in enumerate(table):
                values = {key: f"r{number}", **MANDATORY[entity], column: said}
                connection.execute(
                    sa.text(f"INSERT INTO {entity} ({', '.join(names)}) VALUES ({marks})"), values
                )
        check(hr.read(entity, {column: kind}), column, table)
    finally:
        hr.close()


@pytest.mark.parametrize("kind", ENTITIES)
def test_law_9_odd_values_through_a_csv_file(kind: str) -> None:
    """A cell is text: what JSON says with a type of its own does not come this way."""
    column = ENTITIES[kind][1]
    # The form of dates in a file is a setting, and read as leniently as Python reads it.
    table = [
        (said, meant)
        for said, meant in BY_KIND[kind]
        if isinstance(said, str) and said.strip() and said != "2026-1-31"
    ]
    settings = CsvDropSettings(formulas="keep")
    out = io.StringIO(newline="")
    csv.writer(out).writerows(
        [["employee_id", column], *([f"r{n}", said] for n, (said, _) in enumerate(table))]
    )
    lines = list(
        read(
            out.getvalue().encode("utf-8", errors="surrogatepass"),
            {"employee_id": "text", column: kind},
            settings,
        )
    )
    for (said, meant), line in zip(table, lines, strict=True):
        if isinstance(meant, No):
            assert line.wrong is not None, said
            assert line.wrong[0] == column
        else:
            assert (line.values[column], line.wrong) == (meant, None), said


@pytest.mark.parametrize(("said", "meant"), [*odd.TEXT, *odd.NUMBERS_AS_TEXT, *odd.NOT_TEXT])
def test_law_9_odd_values_through_bamboohr(said: Any, meant: Any) -> None:
    row, wrong = person({"title": said}, {"job_title": "title"})
    if isinstance(meant, No):
        assert wrong is not None
        assert meant.because in wrong[1]
    else:
        assert (row, wrong) == ({"job_title": meant}, None)


@pytest.mark.parametrize(("said", "meant"), odd.FLAGS)
def test_law_9_odd_values_through_scim(said: Any, meant: Any) -> None:
    """``active``: no value is no statement that somebody has left."""
    if isinstance(meant, No):
        with pytest.raises(ValueError, match=meant.because):
            value_of({"active": said}, "status")
    else:
        assert value_of({"active": said}, "status") == ("Inactive" if meant is False else "Active")


@pytest.mark.parametrize(("said", "meant"), [*odd.TEXT, *odd.NUMBERS_AS_TEXT, *odd.NOT_TEXT])
def test_law_9_odd_texts_through_scim(said: Any, meant: Any) -> None:
    if isinstance(meant, No):
        with pytest.raises(ValueError, match=meant.because):
            value_of({"title": said}, "job_title")
    else:
        assert value_of({"title": said}, "job_title") == meant
