"""The SQL HR database, on real SQLite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.hr.cells import typed, unwritable
from connectors.hr.csv_drop import CsvDropSettings
from connectors.hr.csv_drop.system import CsvDrop
from connectors.hr.sql import SqlHr
from flows.catalogue import PROCESSES
from reconciliation.errors import Misconfigured, Refused, TargetFailed
from reconciliation.frame import of
from reconciliation.plan import reconcile
from tests.examples import share

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
COLUMNS = {
    "surname": "text",
    "email": "text",
    "marketing_opt_in": "flag",
    "source_created_at": "moment",
}
KEYED = {"employee_id": "text", **COLUMNS}
ROW = st.tuples(
    st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.sampled_from("\t\n\r"),
        min_size=1,
        max_size=9,
    ),
    st.none() | st.sampled_from(["A@x.example", "b@x.example"]),
    st.none() | st.booleans(),
    st.none() | st.datetimes(datetime(1950, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC)),
)


@pytest.fixture
def hr(tmp_path: Path) -> Iterator[SqlHr]:
    opened = SqlHr(f"sqlite:///{tmp_path / 'hr.db'}")
    yield opened
    opened.close()


@settings(
    max_examples=share(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    before=st.dictionaries(st.sampled_from("abcdef"), ROW),
    after=st.dictionaries(st.sampled_from("abcdef"), ROW),
)
def test_what_was_written_is_read_back_and_needs_nothing_more(
    hr: SqlHr, before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]
) -> None:
    with hr.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM employees")
    for rows in (before, after):
        desired = of(KEYED, [(k, *v) for k, v in rows.items()])
        plan = reconcile(
            desired,
            hr.read("employees", COLUMNS, None).frame,
            "employee_id",
            COLUMNS,
            list(COLUMNS),
        )
        receipts = hr.apply("employees", plan.changes)
        assert receipts["key"].tolist() == plan.changes["key"].tolist()
        assert [o.removesuffix("d") for o in receipts["outcome"]] == plan.changes["kind"].tolist()
        again = reconcile(
            desired,
            hr.read("employees", COLUMNS, None).frame,
            "employee_id",
            COLUMNS,
            list(COLUMNS),
        )
        assert len(again.changes) == 0
    assert hr.population("employees") == len(before.keys() | after.keys())


@given(text=st.text(st.characters(codec="utf-8"), min_size=1, max_size=5))
def test_what_could_not_be_read_back_is_not_written(text: str) -> None:
    """A cell is written or refused by the same rule by which it is read or rejected."""
    changes = of(
        {"kind": "text", "key": "text", "fields": "text", "reason": "text", "surname": "text"},
        [("create", "k", None, None, text)],
    )
    refused = unwritable(changes)["reason"].tolist()
    read, rejected = typed({"employee_id": "text", "surname": "text"}, [("k", text)])
    assert (refused, len(rejected)) in (([], 0), (["surname contains control characters"], 1))
    assert read["surname"].tolist() == ([text] if not refused else [])


def test_a_row_without_a_mandatory_value_is_refused_before_it_is_written(
    hr: SqlHr, tmp_path: Path
) -> None:
    """So that a preview counts it as a run does."""
    rows = [("k1", "Lee", None, None, None), ("k2", None, None, None, None)]
    plan = reconcile(of(KEYED, rows), of(KEYED, []), "employee_id", COLUMNS, list(COLUMNS))
    drop = CsvDrop.of(CsvDropSettings(), tmp_path)  # type: ignore[call-arg]
    with closing(drop):
        for system in (hr, drop):
            refused = system.rejections("employees", plan.changes)
            assert refused[["key", "reason"]].values.tolist() == [
                ["k2", "surname must have a value"]
            ]


def test_a_batch_with_a_bad_row_is_refused_whole(hr: SqlHr) -> None:
    rows = [(f"k{i}", None if i == 3 else "Lee", None, None, None) for i in range(7)]
    plan = reconcile(
        of(KEYED, rows),
        hr.read("employees", COLUMNS, None).frame,
        "employee_id",
        COLUMNS,
        list(COLUMNS),
    )
    with pytest.raises(Refused, match=r"NOT NULL constraint failed: employees\.surname$"):
        hr.apply("employees", plan.changes)
    assert hr.population("employees") == 0


def test_look_ups_pass_over_case_where_people_type(hr: SqlHr) -> None:
    plan = reconcile(
        of(
            KEYED,
            [
                ("K1", "Lee", "A@x.example", None, None),
                ("K2", "Fox", None, None, None),
                ("K3", "Ash", None, None, None),
            ],
        ),
        hr.read("employees", COLUMNS, None).frame,
        "employee_id",
        COLUMNS,
        list(COLUMNS),
    )
    hr.apply("employees", plan.changes)
    found = hr.read(
        "employees", COLUMNS, {"email": ["a@X.example"], "employee_id": ["K2", "K1", "k3"]}
    ).frame
    assert sorted(found["employee_id"]) == ["K1", "K2", "K3"], "each row once"
    assert len(hr.read("employees", COLUMNS, {}).frame) == 0


def test_unknown_entities_and_columns_and_an_unreachable_database(hr: SqlHr) -> None:
    with pytest.raises(Misconfigured, match=r"no entity 'ghosts'.*employees"):
        hr.population("ghosts")
    with pytest.raises(Misconfigured, match="has no column shoe_size"):
        hr.read("employees", {"shoe_size": "text"}, None)
    with pytest.raises(TargetFailed, match=r"cannot be used.*HRSYNC_SQL__URL") as caught:
        SqlHr("postgresql://hr:secret@127.0.0.1:1/hr")
    assert "secret" not in str(caught.value)


def test_every_spec_maps_to_columns_that_exist(hr: SqlHr) -> None:
    for spec in (
        PROCESSES["users_to_hr"].scoped(custom_fields=["CF_X"]),
        PROCESSES["awards_to_hr"].scoped(custom_fields=["CF_X"]),
    ):
        assert len(hr.read(spec.entity, spec.columns(), None).frame) == 0


def test_moments_are_utc_whatever_the_zone_of_the_database(postgresql: Callable[[], str]) -> None:
    url = postgresql()
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(
            f"ALTER DATABASE {engine.url.database} SET timezone = 'Asia/Tokyo'"
        )
    engine.dispose()
    hr = SqlHr(url)
    desired = of({"employee_id": "text", "surname": "text"}, [["E1", "Ashdown"]])
    nobody = hr.read("employees", {"surname": "text"}).frame
    hr.apply(
        "employees",
        reconcile(desired, nobody, "employee_id", {"surname": "text"}, ["surname"]).changes,
    )
    (moment,) = hr.read("employees", {"written_at": "moment"}).frame["written_at"].tolist()
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    hr.close()
