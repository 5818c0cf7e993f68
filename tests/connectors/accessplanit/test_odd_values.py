"""Odd values through the doors of accessplanit."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.accessplanit.decode import Envelope, Shape, decode, hashes, holds_escapes
from connectors.accessplanit.dialect import Dialect
from connectors.accessplanit.rules import broken
from connectors.accessplanit.target import AccessplanitTarget
from reconciliation.frame import arrow, of
from reconciliation.plan import reconcile
from reconciliation.values import decoded, encoded
from tests import odd_values as odd
from tests.examples import examples
from tests.odd_tables import BY_KIND, check
from tests.odd_values import No
from tests.sides import DIALECTS, Side

FIELDS = {
    "text": ("User", "job_title"),
    "flag": ("User", "marketing_opt_in"),
    "day": ("UserUserType", "valid_to"),
}
FIELDS |= {"moment": ("User", "created_at"), "number": ("CourseDate", "spaces_left")}


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
        refused = set(target.rejections("User", plan.changes)["key"])
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
