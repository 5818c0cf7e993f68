"""Odd values through the doors of each HR system."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.hr.bamboohr.people import person
from connectors.hr.cells import typed
from connectors.hr.csv_drop import CsvDropSettings
from connectors.hr.csv_drop.text import read
from connectors.hr.scim.user import value_of
from connectors.hr.sql import SqlHr
from tests import odd_values as odd
from tests.odd_tables import BY_KIND, check
from tests.odd_values import No


@pytest.mark.parametrize("text", ["a\x00b", "a\x1fb", "M\udcfcller"])
def test_law_9_one_odd_text_among_plain_ones_is_one_rejected_row(text: str) -> None:
    """Columns of nothing but text are read in one go."""
    read, rejected = typed(
        {"id": "text", "town": "text"}, [("r0", "Hove"), ("r1", text), ("r2", None)]
    )
    assert read["id"].tolist() == ["r0", "r2"]
    assert rejected["key"].tolist() == ["r1"]


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
