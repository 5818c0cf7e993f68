"""The SQL HR database and the sync store, on real SQLite."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.database import connect, migrate
from connectors.hr import schema as hr_schema
from connectors.hr.sql import SqlHr
from connectors.store import schema as store_schema
from connectors.store.sql import SyncStore
from flows import awards_to_hr, users_to_hr
from reconciliation.errors import Misconfigured, StoreFailed, TargetFailed
from reconciliation.frame import of
from reconciliation.match import LINKS
from reconciliation.plan import reconcile
from reconciliation.ports import QUARANTINE, Settlement
from reconciliation.report import RunReport
from reconciliation.watermark import Watermark

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
COLUMNS = {"surname": "text", "email": "text", "marketing_opt_in": "flag", "source_created_at": "moment"}
KEYED = {"employee_id": "text", **COLUMNS}
ROW = st.tuples(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=9),
    st.none() | st.sampled_from(["A@x.example", "b@x.example"]),
    st.none() | st.booleans(),
    st.none() | st.datetimes(datetime(1950, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC)),
)


@pytest.fixture
def hr(tmp_path: Path) -> Iterator[SqlHr]:
    opened = SqlHr(f"sqlite:///{tmp_path / 'hr.db'}")
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SyncStore]:
    opened = SyncStore(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


@pytest.mark.parametrize(("module", "scripts"), [(hr_schema, "hr"), (store_schema, "store")])
def test_migrations_make_exactly_the_declared_tables(module: Any, scripts: str, tmp_path: Path) -> None:
    engine = connect(f"sqlite:///{tmp_path / 'x.db'}")
    folder = Path(module.__file__).parent / "migrations"
    migrate(engine, folder)
    migrate(engine, folder)
    declared = sa.create_engine("sqlite://")
    module.metadata.create_all(declared)
    for table in module.metadata.sorted_tables:
        made, wanted = sa.inspect(engine), sa.inspect(declared)
        assert {c["name"]: (str(c["type"]), c["nullable"]) for c in made.get_columns(table.name)} == {
            c["name"]: (str(c["type"]), c["nullable"]) for c in wanted.get_columns(table.name)
        }
        assert made.get_pk_constraint(table.name)["constrained_columns"] == wanted.get_pk_constraint(table.name)["constrained_columns"]
    query = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
    with engine.connect() as one, declared.connect() as other:
        assert one.exec_driver_sql(query).all() == other.exec_driver_sql(query).all()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.dictionaries(st.sampled_from("abcdef"), ROW), after=st.dictionaries(st.sampled_from("abcdef"), ROW))
def test_what_was_written_is_read_back_and_needs_nothing_more(
    hr: SqlHr, before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]
) -> None:
    with hr.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM employees")
    for rows in (before, after):
        desired = of(KEYED, [(k, *v) for k, v in rows.items()])
        plan = reconcile(desired, hr.read("employees", COLUMNS, None).frame, "employee_id", COLUMNS, list(COLUMNS))
        receipts = hr.apply("employees", plan.changes)
        assert receipts["key"].tolist() == plan.changes["key"].tolist()
        assert [o.removesuffix("d") for o in receipts["outcome"]] == plan.changes["kind"].tolist()
        again = reconcile(desired, hr.read("employees", COLUMNS, None).frame, "employee_id", COLUMNS, list(COLUMNS))
        assert len(again.changes) == 0
    assert hr.population("employees") == len(before.keys() | after.keys())


@pytest.mark.parametrize("bad", [[0], [6], [0, 1, 2], list(range(7)), [3, 5]])
def test_a_refused_row_is_a_receipt_and_its_neighbours_load(hr: SqlHr, bad: list[int]) -> None:
    rows = [(f"k{i}", None if i in bad else "Lee", None, None, None) for i in range(7)]
    plan = reconcile(of(KEYED, rows), hr.read("employees", COLUMNS, None).frame, "employee_id", COLUMNS, list(COLUMNS))
    receipts = hr.apply("employees", plan.changes)
    assert [o == "failed" for o in receipts["outcome"]] == [i in bad for i in range(7)]
    assert set(receipts["reason"].dropna()) == {"NOT NULL constraint failed: employees.surname"}
    assert hr.population("employees") == 7 - len(bad)


def test_look_ups_pass_over_case_where_people_type(hr: SqlHr) -> None:
    plan = reconcile(
        of(KEYED, [("K1", "Lee", "A@x.example", None, None), ("K2", "Fox", None, None, None), ("K3", "Ash", None, None, None)]),
        hr.read("employees", COLUMNS, None).frame,
        "employee_id",
        COLUMNS,
        list(COLUMNS),
    )
    hr.apply("employees", plan.changes)
    found = hr.read("employees", COLUMNS, {"email": ["a@X.example"], "employee_id": ["K2", "K1", "k3"]}).frame
    assert sorted(found["employee_id"]) == ["K1", "K2"], "each row once; keys are exact"
    assert len(hr.read("employees", COLUMNS, {}).frame) == 0


def test_unknown_entities_and_columns_and_an_unreachable_database(hr: SqlHr) -> None:
    with pytest.raises(Misconfigured, match=r"no entity 'ghosts'.*employees"):
        hr.population("ghosts")
    with pytest.raises(Misconfigured, match="has no column shoe_size"):
        hr.read("employees", {"shoe_size": "text"}, None)
    with pytest.raises(TargetFailed, match=r"cannot be used.*operator") as caught:
        SqlHr("postgresql://hr:secret@127.0.0.1:1/hr")
    assert "secret" not in str(caught.value)
    with pytest.raises(StoreFailed, match=r"HRSYNC_STORE__URL"):
        SyncStore("sqlite:////proc/nowhere/store.db")


def test_every_spec_maps_to_columns_that_exist(hr: SqlHr) -> None:
    for spec in (users_to_hr.scoped(custom_fields=["CF_X"]), awards_to_hr.scoped(custom_fields=["CF_X"])):
        assert len(hr.read(spec.entity, spec.columns(), None).frame) == 0


# -- the store ---------------------------------------------------------------------------------------------------------

SPEC = users_to_hr.SPEC


def settle(
    store: SyncStore,
    run: str,
    *,
    landed: list[tuple[str, int]] = [],  # noqa: B006
    bad: list[tuple[object, ...]] = [],  # noqa: B006
    links: list[tuple[str, str]] = [],  # noqa: B006
    mark: Watermark | None = None,
    looked_again: bool = False,
    now: datetime = NOW,
) -> None:
    store.start(run, SPEC.name, "apply", now)
    report = RunReport(SPEC.name, "apply", "test", now)
    settlement = Settlement(
        of({"key": "text", "hash": "hash"}, landed), of(LINKS, links), of(QUARANTINE, bad), mark or Watermark(), looked_again
    )
    store.settle(run, SPEC, settlement, report, now)


def entry(key: str | None, digest: int | None, waits_for: str | None = None) -> tuple[object, ...]:
    return (key, "held" if waits_for else "rejected", "field", "reason", waits_for, "{}", digest)


def test_records_links_and_watermarks_are_remembered(store: SyncStore) -> None:
    mark = Watermark(NOW, date(2026, 11, 23), True)
    settle(store, "r1", landed=[("a", 5), ("b", -7)], links=[("a", "A"), ("b", "B")], mark=mark)
    settle(store, "r2", landed=[("a", 6)], mark=mark)
    assert store.known(SPEC.name).tolist() == [-7, 6]
    assert store.watermark(SPEC.name, SPEC.fingerprint()) == mark
    assert store.watermark(SPEC.name, "another scope") == Watermark()
    assert store.links("employees").to_numpy().tolist() == [["a", "A"], ["b", "B"]]
    assert store.links("employees", source_keys=["b"], target_keys=["A"])["source_key"].tolist() == ["b", "a"]
    assert [r["outcome"] for r in store.runs(5)] == ["completed", "completed"]


def test_a_settlement_is_one_transaction(store: SyncStore) -> None:
    with pytest.raises(StoreFailed, match="IntegrityError"):
        settle(store, "r1", landed=[("a", 5)], links=[("a", "A"), ("b", "A")], mark=Watermark(NOW))
    assert store.known(SPEC.name).size == 0
    assert store.watermark(SPEC.name, SPEC.fingerprint()) == Watermark()


def test_the_quarantine_retries_eagerly_then_ever_more_seldom(store: SyncStore) -> None:
    for attempt in range(1, 6):
        settle(store, f"r{attempt}", bad=[entry("a", 1)])
    (found,) = store.quarantined()
    assert found["attempts"] == 5
    assert store.retryable(SPEC.name, NOW) == []
    assert store.retryable(SPEC.name, NOW + timedelta(hours=4)) == ["a"]
    settle(store, "r9", landed=[("a", 2)])
    assert store.quarantined() == []
    gone = store.quarantine_entry(found["id"])
    assert gone is not None
    assert gone["status"] == "replayed"


def test_who_waits_for_a_person_is_tried_when_the_person_arrives(store: SyncStore) -> None:
    settle(store, "r1", bad=[entry("award", None, "u1"), entry("other", None, "u2")])
    assert store.retryable(SPEC.name, NOW + timedelta(days=99)) == []
    settle(store, "r2", links=[("u1", "E1")])
    assert store.retryable(SPEC.name, NOW) == ["award"]


def test_records_without_a_key_are_known_by_their_bytes_and_vanish(store: SyncStore) -> None:
    settle(store, "r1", bad=[entry(None, 1), entry(None, 1), entry(None, 2)])
    assert store.known_bad(SPEC.name) == {1, 2}
    settle(store, "r2", bad=[entry(None, 1)], looked_again=True)
    assert [e["hash"] for e in store.quarantined()] == [1]
    assert store.quarantine_counts() == {(SPEC.name, "rejected"): 1}


def test_a_plan_is_kept_whole_under_its_digest(store: SyncStore) -> None:
    plan = reconcile(of(KEYED, [("k", "Lee", None, None, None)]), of(KEYED, []), "employee_id", COLUMNS, list(COLUMNS))
    store.save_plan(plan, SPEC.name, NOW)
    store.save_plan(plan, SPEC.name, NOW)
    with store.engine.connect() as connection:
        rows = connection.execute(sa.select(store_schema.plan)).all()
    assert [row.digest for row in rows] == [plan.digest]
