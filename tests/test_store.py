"""The sync store, on real SQLite and real PostgreSQL."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from connectors.database import connect, migrate
from connectors.hr import schema as hr_schema
from connectors.store import schema as t
from connectors.store.sql import SyncStore
from connectors.webhooks import Arrival
from flows import award_targets_from_hr, awards_to_hr, users_from_hr, users_to_hr
from reconciliation.ask import Range
from reconciliation.draft import Draft
from reconciliation.errors import Misconfigured, StalePlan, StoreFailed
from reconciliation.frame import empty, of, strings
from reconciliation.hints import Hint
from reconciliation.history.inquiry import Inquiry
from reconciliation.match import HELD, LINKS
from reconciliation.ownership import AGREED
from reconciliation.plan import NEW, Plan, reconcile
from reconciliation.ports import Batch
from reconciliation.receipts import RECEIPTS, done
from reconciliation.report import RunReport
from reconciliation.settle import QUARANTINE, Compared, Settled
from reconciliation.snapshot import REJECTED, Snapshot
from reconciliation.spec import ProcessSpec
from reconciliation.sweep import ORIGIN
from reconciliation.tables import texts
from reconciliation.watermark import Watermark

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
SPEC = users_to_hr.SPEC
COLUMNS = SPEC.columns()
KEYED = {"employee_id": "text", **COLUMNS}
OUTSIDE = {"key": "text", "hash": "hash", "target_key": "text"}
PAIRS = {"source_key": "text", "key": "text", "hash": "hash"}


@pytest.fixture
def store(store_url: str) -> Iterator[SyncStore]:
    opened = SyncStore(store_url)
    yield opened
    opened.close()


def employee(key: str, user: str, surname: str = "Lee") -> tuple[object, ...]:
    row = dict.fromkeys(KEYED) | {"employee_id": key, "accessplanit_id": user, "surname": surname}
    return tuple(row.values())


def make_plan(desired: list[tuple[object, ...]], there: list[tuple[object, ...]] = []) -> Plan:  # noqa: B006
    return reconcile(of(KEYED, desired), of(KEYED, there), "employee_id", COLUMNS, SPEC.compared())


def make_draft(
    plan: Plan, mark: Watermark | None = None, before: Watermark | None = None, **more: Any
) -> Draft:
    none = {
        "links": empty(LINKS),
        "gone": empty(ORIGIN),
        "reported": empty(ORIGIN),
        "outside": empty(OUTSIDE),
        "pairs": empty(PAIRS),
    }
    none |= {"unfit": empty(RECEIPTS), "agreed": empty({**AGREED, "row": "text"})}
    compared = Compared(
        empty(REJECTED),
        held=empty({**HELD, "hash": "hash"}),
        **none,
        plan=plan,
        population=0,
        figures={},
    )
    return Draft(
        SPEC,
        compared,
        before or Watermark(),
        mark or Watermark(),
        RunReport(SPEC.name, "apply", "test", NOW),
        **more,
    )


@contextmanager
def leased(store: SyncStore, run: str, spec: ProcessSpec = SPEC) -> Iterator[None]:
    store.start(run, spec, "apply", NOW)
    with store.lease(spec.name, run) as mine, store.lease(str(spec.pair), run) as alone:
        assert mine
        assert alone
        yield


def settle(
    store: SyncStore,
    run: str,
    *,
    landed: list[tuple[str, int]] = [],  # noqa: B006
    bad: list[tuple[object, ...]] = [],  # noqa: B006
    links: list[tuple[str, str]] = [],  # noqa: B006
    agreed: list[tuple[str, str, str | None]] = [],  # noqa: B006
    draft: Draft | None = None,
    last: Batch | None = None,
    now: datetime = NOW,
    failure: str | None = None,
) -> tuple[str, ...]:
    rows = of({"key": "text", "hash": "hash"}, landed)
    settled = Settled(
        {},
        0,
        rows,
        of(LINKS, links),
        of(QUARANTINE, bad),
        texts(),
        of(AGREED, agreed),
        [],
    )
    with leased(store, run):
        return store.settle(run, draft or make_draft(make_plan([])), settled, last, now, failure)


def entry(
    key: str | None, digest: int | None, waits_for: str | None = None, stage: str = "rejected"
) -> tuple[object, ...]:
    return (key, "held" if waits_for else stage, "field", "reason", waits_for, "{}", digest)


def count(store: SyncStore, table: sa.Table) -> int:
    with store.engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


# -- tables --------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [hr_schema, t], ids=["hr", "store"])
def test_migrations_make_exactly_the_declared_tables(
    module: Any, store_url: str, postgresql: Any
) -> None:
    engine = connect(store_url)
    folder = Path(module.__file__).parent / "migrations"
    migrate(engine, folder, "version")
    migrate(engine, folder, "version")
    declared = (
        sa.create_engine("sqlite://")
        if engine.dialect.name == "sqlite"
        else sa.create_engine(postgresql())
    )
    module.metadata.create_all(declared)
    for table in module.metadata.sorted_tables:
        made, wanted = sa.inspect(engine), sa.inspect(declared)
        assert {
            c["name"]: (str(c["type"]), c["nullable"]) for c in made.get_columns(table.name)
        } == {c["name"]: (str(c["type"]), c["nullable"]) for c in wanted.get_columns(table.name)}
        assert (
            made.get_pk_constraint(table.name)["constrained_columns"]
            == wanted.get_pk_constraint(table.name)["constrained_columns"]
        )
    names = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER "
        "BY name",
        "postgresql": "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' AND "
        "left(indexname, 3) = 'ix_' ORDER BY indexname",
    }
    with engine.connect() as one, declared.connect() as other:
        query = names[engine.dialect.name]
        assert one.exec_driver_sql(query).all() == other.exec_driver_sql(query).all() != []
    engine.dispose()
    declared.dispose()


def at_revision(url: str, revision: str) -> sa.Engine:
    engine = connect(url)
    config = Config()
    config.set_main_option("script_location", str(Path(t.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return engine


def test_a_store_of_the_first_revision_is_brought_up_with_its_data(store_url: str) -> None:
    engine = at_revision(store_url, "0001")
    plan = make_plan([employee("E1", "u1")])
    from connectors.store.base import packed

    old = plan.changes.drop(columns="reason")
    with engine.begin() as connection:
        for text, values in (
            ("record VALUES ('users_to_hr', 'u1', 7)", {}),
            ("link VALUES ('employees', 'u1', 'E1', '2026-01-01 00:00:00')", {}),
            (
                f"watermark VALUES ('users_to_hr', '{SPEC.fingerprint()}', '2026-01-01 "
                "00:00:00', '2026-01-01', :no)",
                {"no": False},
            ),
            (
                "run (id, process, mode, started) VALUES ('r0', 'users_to_hr', 'apply', "
                "'2026-01-01 00:00:00')",
                {},
            ),
            (
                "quarantine (id, process, feed, key, stage, reason, attempts, first_seen, "
                "last_seen, run, status)"
                " VALUES (1, 'users_to_hr', 'User', 'u2', 'held', 'r', 1, '2026-01-01 "
                "00:00:00', '2026-01-01 00:00:00', 'r0', 'open')",
                {},
            ),
            ("budget VALUES ('user', 1, 20)", {}),
        ):
            connection.execute(sa.text(f"INSERT INTO {text}"), values)
        row = {"d": plan.digest, "c": packed(old), "b": packed(plan.before)}
        connection.execute(
            sa.text("INSERT INTO plan VALUES (:d, 'users_to_hr', '2026-01-01 00:00:00', :c, :b)"),
            row,
        )
    engine.dispose()
    store = SyncStore(store_url)
    assert store.known(SPEC.name).tolist() == [7]
    assert store.listed(None, "u1", 5)[0]["origin"] == "matched"
    assert store.watermark(SPEC.name, SPEC.fingerprint()).moment == datetime(2026, 1, 1, tzinfo=UTC)
    assert [r["id"] for r in store.runs(5)] == ["r0"]
    assert [e["key"] for e in store.quarantined()] == ["u2"]
    kept = store.plan(plan.digest)
    assert kept is not None
    assert strings(kept.changes["key"]) == ["E1"]
    with pytest.raises(StalePlan):
        store.draft(plan.digest)
    settle(store, "r1", landed=[("u2", 1)])
    assert store.quarantined() == []
    store.close()


# -- what a run leaves ---------------------------------------------------------------------------


def test_records_links_and_watermarks_are_remembered(store: SyncStore) -> None:
    mark = Watermark(NOW, date(2026, 11, 23), True)
    settle(
        store,
        "r1",
        landed=[("a", 5), ("b", -7)],
        links=[("a", "A"), ("b", "B")],
        draft=make_draft(make_plan([]), mark),
    )
    settle(store, "r2", landed=[("a", 6)], draft=make_draft(make_plan([]), mark, mark))
    assert store.known(SPEC.name).tolist() == [-7, 6]
    assert store.watermark(SPEC.name, SPEC.fingerprint()) == mark
    assert store.watermark(SPEC.name, "another scope") == Watermark()
    assert store.links("employees").to_numpy().tolist() == [["a", "A"], ["b", "B"]]
    assert store.links("employees", source_keys=["b"], target_keys=["A"])[
        "source_key"
    ].tolist() == ["b", "a"]
    assert [r["outcome"] for r in store.runs(5)] == ["completed", "completed"]


def test_a_watermark_that_another_run_has_moved_is_left_alone(store: SyncStore) -> None:
    early, late = Watermark(NOW), Watermark(NOW + timedelta(hours=5))
    settle(store, "r1", draft=make_draft(make_plan([]), late))
    settle(store, "r2", draft=make_draft(make_plan([]), early, Watermark()))
    assert store.watermark(SPEC.name, SPEC.fingerprint()) == late


def test_a_settlement_is_one_transaction(store: SyncStore) -> None:
    plan = make_plan([employee("A", "a")])
    store.keep_plan(plan, SPEC, NOW)
    store.start("r0", SPEC, "apply", NOW)
    with store.lease(SPEC.name, "r0"), store.lease(str(SPEC.pair), "r0"):
        intent = store.intend("r0", SPEC, plan.digest, 0, 1, NOW)
    last = Batch(intent, plan.changes, done(plan.changes))
    with pytest.raises(StoreFailed, match="IntegrityError"):
        settle(
            store,
            "r1",
            landed=[("a", 5)],
            links=[("a", "A"), ("b", "A")],
            bad=[entry("c", 1)],
            draft=make_draft(plan, Watermark(NOW)),
            last=last,
        )
    assert store.known(SPEC.name).size == 0
    assert store.watermark(SPEC.name, SPEC.fingerprint()) == Watermark()
    assert store.quarantined() == []
    assert count(store, t.ledger) == 0, "receipts and watermark are written together or not at all"
    assert len(store.open_intents(SPEC.name)) == 1


def test_what_is_known_already_is_not_written_again(store: SyncStore) -> None:
    settle(store, "r1", landed=[("a", 5)], draft=make_draft(make_plan([]), Watermark(NOW)))
    written: list[str] = []
    names = ("record", "watermark", "ledger", "quarantine", "plan", "link", "intent")

    @sa.event.listens_for(store.engine, "after_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if cursor.rowcount > 0 and statement.split()[0] in ("INSERT", "UPDATE", "DELETE"):
            written.extend(name for name in names if f" {name} " in f"{statement} ")

    settle(
        store,
        "r2",
        landed=[("a", 5)],
        draft=make_draft(make_plan([]), Watermark(NOW), Watermark(NOW)),
    )
    assert written == []
    settle(
        store,
        "r3",
        landed=[("a", 6)],
        draft=make_draft(make_plan([]), Watermark(NOW), Watermark(NOW)),
    )
    assert written == ["record"]


# -- quarantine ----------------------------------------------------------------------------------


def test_the_quarantine_retries_eagerly_then_ever_more_seldom(store: SyncStore) -> None:
    for attempt in range(1, 6):
        settle(store, f"r{attempt}", bad=[entry("a", 1)])
    (found,) = store.quarantined()
    assert found["attempts"] == 5
    assert store.retryable(SPEC.name, NOW) == []
    assert store.marks(SPEC.name, NOW).resting.tolist() == [1]
    assert store.retryable(SPEC.name, NOW + timedelta(hours=4)) == ["a"]
    assert store.marks(SPEC.name, NOW + timedelta(hours=4)).resting.tolist() == []
    settle(store, "r9", landed=[("a", 2)])
    assert store.quarantined() == []
    gone = store.quarantine_entry(found["id"])
    assert gone is not None
    assert gone["status"] == "replayed"


def test_what_hr_refuses_again_and_again_waits_for_a_person(store: SyncStore) -> None:
    for attempt in range(8):
        settle(store, f"r{attempt}", bad=[entry("a", 1, stage="failed"), entry("b", 2)])
    later = NOW + timedelta(days=999)
    assert store.retryable(SPEC.name, later) == ["b"]
    assert store.marks(SPEC.name, later).resting.tolist() == [1]
    assert store.retry_now(SPEC.name, ["a"]) == 1
    assert store.retryable(SPEC.name, NOW) == ["a"]


def test_who_waits_for_a_person_is_tried_when_the_person_arrives(store: SyncStore) -> None:
    settle(store, "r1", bad=[entry("award", 5, "u1"), entry("other", 6, "u2")])
    assert store.retryable(SPEC.name, NOW + timedelta(days=99)) == []
    assert store.marks(SPEC.name, NOW).held.tolist() == [5, 6]
    settle(store, "r2", links=[("u1", "E1")])
    assert store.retryable(SPEC.name, NOW) == ["award"]
    assert store.marks(SPEC.name, NOW).held.tolist() == [6]


def test_records_without_a_key_are_known_by_their_bytes_and_vanish(store: SyncStore) -> None:
    settle(store, "r1", bad=[entry(None, 1), entry(None, 1), entry(None, 2)])
    assert store.known_bad(SPEC.name) == {1, 2}
    settle(store, "r2", bad=[entry(None, 1)], draft=make_draft(make_plan([]), looked_again=True))
    assert [e["hash"] for e in store.quarantined()] == [1]
    assert store.quarantine_counts() == {(SPEC.name, "rejected"): 1}


def test_what_does_not_answer_has_vanished_and_what_is_back_is_not_gone(store: SyncStore) -> None:
    settle(
        store,
        "r1",
        bad=[
            entry("a", 1),
            entry("b", 2),
            entry("x", None, stage="gone"),
            entry("y", None, stage="gone"),
        ],
    )
    settle(store, "r2", draft=make_draft(make_plan([]), retried=("a",)))
    assert [e["key"] for e in store.quarantined()] == ["b", "x", "y"]
    assert store.retryable(SPEC.name, NOW) == ["b"], "what is gone is not asked for"
    settle(
        store,
        "r3",
        bad=[entry("y", None, stage="gone")],
        draft=make_draft(make_plan([]), whole=True),
    )
    assert [e["key"] for e in store.quarantined()] == ["b", "y"]


def test_discarding_is_for_this_very_record(store: SyncStore) -> None:
    settle(store, "r1", bad=[entry("a", 1), entry("x", None, stage="gone")])
    for found in store.quarantined():
        assert store.discard(found["id"], "a test record")
        assert not store.discard(found["id"], "twice")
    assert store.marks(SPEC.name, NOW).discarded.tolist() == [1]
    settle(store, "r2", bad=[entry("x", None, stage="gone")])
    assert store.quarantined() == [], "what was discarded as gone is not entered again"
    settle(store, "r3", bad=[entry("a", 2)])
    (again,) = store.quarantined()
    assert (again["key"], again["attempts"]) == ("a", 1)


# -- links ---------------------------------------------------------------------------------------


def test_a_link_that_a_person_has_set_stays(store: SyncStore) -> None:
    settle(store, "r1", links=[("u1", "E1"), ("u2", "E2")])
    with pytest.raises(
        Misconfigured, match=r"'E2' is linked to 'u2'.*hrsync links unset employees u2"
    ):
        store.set_link("employees", "u1", "E2", NOW)
    store.set_link("employees", "u1", "E9", NOW)
    settle(store, "r2", links=[("u1", "E1")])
    assert store.links("employees", source_keys=["u1"])["target_key"].tolist() == ["E9"]
    assert store.unset_link("employees", "u1")
    assert not store.unset_link("employees", "u1")
    settle(store, "r3", links=[("u1", "E1")])
    assert [row["origin"] for row in store.listed("employees", "u1", 5)] == ["matched"]


def test_looking_again_asks_for_the_user_and_for_all_that_is_the_user_s(store: SyncStore) -> None:
    settle(store, "r1", landed=[("u1", 1), ("u2", 2)])
    store.look_again(
        [SPEC, users_from_hr.SPEC, award_targets_from_hr.SPEC], "u1", "E1", "linked by hand", NOW
    )
    assert store.retryable(SPEC.name, NOW) == ["u1"]
    assert store.retryable(users_from_hr.SPEC.name, NOW) == ["E1"]
    assert store.hints(award_targets_from_hr.SPEC.name) == (Hint("employees", "E1", False, 1),)
    assert store.known(SPEC.name).tolist() == [2]


def test_whoever_is_linked_otherwise_is_a_hint_for_all_that_is_theirs(store: SyncStore) -> None:
    ways = (awards_to_hr.SPEC, award_targets_from_hr.SPEC)
    with store.engine.begin() as connection:
        for spec in (SPEC, *ways):
            store.note_scope(connection, spec, NOW)
    settle(store, "r1", links=[("u1", "E1"), ("u2", "E2"), ("u3", "E3")])
    assert [store.hints(spec.name) for spec in ways] == [(), ()], "nobody was linked before"
    settle(store, "r2", links=[("u1", "E1"), ("u2", "E9"), ("u4", "E3")])
    named = [{(hint.feed, hint.key) for hint in store.hints(spec.name)} for spec in ways]
    assert named == [{("User", "u2"), ("User", "u4")}, {("employees", "E9"), ("employees", "E3")}]
    assert store.hints(SPEC.name) == ()


# -- leases --------------------------------------------------------------------------------------


def test_a_lease_is_one_run_s_and_expires(store: SyncStore, store_url: str) -> None:
    store.lease_seconds = 1.5
    other = SyncStore(store_url, lease_seconds=1.5)
    with (
        store.lease("p", "r1") as mine,
        other.lease("p", "r2") as theirs,
        other.lease("q", "r2") as elsewhere,
    ):
        assert (mine, theirs, elsewhere) == (True, False, True)
    with other.lease("p", "r2") as after:
        assert after, "it was given back"
    killed = store._take("p", "killed")
    assert killed
    other.clock = lambda: datetime.now(UTC) + timedelta(seconds=121)  # type: ignore[method-assign]
    with other.lease("p", "r3") as taken_over:
        assert taken_over
        with pytest.raises(StoreFailed, match="has lost its lease"):
            store.intend("killed", SPEC.model_copy(update={"name": "p"}), "d", 0, 1, NOW)
    other.close()


def test_whoever_finds_a_lease_held_waits_only_for_one_that_is_dead(
    store: SyncStore, store_url: str
) -> None:
    store.lease_seconds = 1.5
    assert store._take("p", "killed")
    other = SyncStore(store_url, lease_seconds=1.5)
    began = time.monotonic()
    with other.lease("p", "r2") as mine:
        assert mine, "it has lapsed"
        assert time.monotonic() - began < 4
        with SyncStore(store_url, lease_seconds=1.5).lease("p", "r3") as theirs:
            assert not theirs, "its holder renews it"
    other.close()


def test_a_lease_is_renewed_while_its_run_lives(store_url: str) -> None:
    store, other = SyncStore(store_url, lease_seconds=0.3), SyncStore(store_url, lease_seconds=0.3)
    with store.lease("p", "r1"):
        threading.Event().wait(0.9)
        with other.lease("p", "r2") as theirs:
            assert not theirs
    store.close()
    other.close()


def test_a_lapsed_lease_is_lost_for_good(store: SyncStore) -> None:
    spec = SPEC.model_copy(update={"name": "p", "pair": None})
    now = datetime.now(UTC)
    store.clock = lambda: now  # type: ignore[method-assign]
    assert store._take("p", "r1")
    store.intend("r1", spec, "d", 0, 1, NOW)
    now += timedelta(seconds=121)
    assert not store._renew("p", "r1")
    assert not store._take("p", "r1")
    with pytest.raises(StoreFailed, match="has lost its lease"):
        store.keep_plan(make_plan([employee("A", "a")]), spec, NOW, "r1")
    assert store._take("p", "r2")
    assert store._take("q", "r1")
    store._give_back("q", "r1")
    assert not store._renew("q", "r1"), "its renewing thread does not bring it back"
    assert store._take("q", "r2")


def test_law_14_a_lease_of_a_wrong_clock_locks_nobody_out(store: SyncStore) -> None:
    store.clock = lambda: datetime.now(UTC) + timedelta(days=30)  # type: ignore[method-assign]
    assert store._take("p", "ahead")
    store.clock = lambda: datetime.now(UTC)  # type: ignore[method-assign]
    assert store._take("p", "right")
    assert not store._renew("p", "ahead")


def test_of_many_that_want_a_lease_at_once_one_has_it(store_url: str) -> None:
    SyncStore(store_url).close()
    stores = [SyncStore(store_url) for _ in range(6)]
    barrier, got = threading.Barrier(6), []

    def want(number: int) -> None:
        barrier.wait()
        got.append(stores[number]._take("p", f"r{number}"))

    threads = [threading.Thread(target=want, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 5 + [True]
    for store in stores:
        store.close()


def test_a_run_that_began_later_covers_an_earlier_schedule(store: SyncStore) -> None:
    settle(store, "r1")
    fingerprint = SPEC.fingerprint()
    assert store.covered(SPEC.name, fingerprint, NOW, False)
    assert not store.covered(SPEC.name, fingerprint, NOW, True), "but no sweep"
    assert not store.covered(SPEC.name, fingerprint, NOW + timedelta(seconds=1), False)
    assert not store.covered(SPEC.name, "another scope", NOW, False)
    assert not store.covered("awards_to_hr", fingerprint, NOW, False)
    store.start("r2", SPEC, "apply", NOW + timedelta(hours=1))
    assert not store.covered(SPEC.name, fingerprint, NOW + timedelta(minutes=30), False), (
        "it has not ended"
    )


def test_a_run_whose_lease_is_gone_has_died(store: SyncStore) -> None:
    with leased(store, "r1"):
        assert store.runs(1)[0]["outcome"] is None
        with store.engine.begin() as connection:
            connection.execute(t.lease.update().values(until=datetime(2026, 1, 1)))
        assert store.runs(1)[0]["outcome"] == "died"
    store.start("r2", SPEC, "plan", NOW)
    assert {run["id"]: run["outcome"] for run in store.runs(2)}["r2"] is None, (
        "a preview has no lease"
    )


def test_a_store_that_must_be_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"There is no sync store at .*here\.db.*HRSYNC_HOME"):
        SyncStore(f"sqlite:///{tmp_path / 'here.db'}", create=False)
    assert not list(tmp_path.iterdir())
    SyncStore(f"sqlite:///{tmp_path / 'here.db'}").close()
    SyncStore(f"sqlite:///{tmp_path / 'here.db'}", create=False).close()


def test_nobody_rejects_or_forgets_while_a_plan_is_applied(store: SyncStore) -> None:
    draft = make_draft(replace(make_plan([employee("A", "a")]), salt=store.salt()))
    digest, later = draft.compared.plan.digest, NOW + timedelta(hours=1)
    store.keep_draft(draft, "made", NOW, None, later)
    with leased(store, "r1"):
        store.take_plan(digest, SPEC, "r1")
        assert not store.close_plan(digest, "rejected")
        with pytest.raises(StalePlan, match="is being applied"):
            store.forget("a", [], NOW)
        assert store.draft(digest).compared.plan.digest == digest
    with leased(store, "r2"):
        store.take_plan(digest, SPEC, "r2")
    assert store.close_plan(digest, "rejected"), (
        "the run that was applying it has ended without having done so"
    )
    with leased(store, "r3"), pytest.raises(StalePlan, match="was rejected"):
        store.take_plan(digest, SPEC, "r3")


# -- ledger --------------------------------------------------------------------------------------


def carry_out(store: SyncStore, run: str, plan: Plan, receipts: Any = None) -> None:
    store.keep_plan(plan, SPEC, NOW)
    with leased(store, run):
        intent = store.intend(run, SPEC, plan.digest, 0, len(plan.changes), NOW)
        store.receive(
            run,
            SPEC,
            Batch(intent, plan.changes, done(plan.changes) if receipts is None else receipts),
            NOW,
        )


def test_the_ledger_tells_of_every_change_with_before_and_after(store: SyncStore) -> None:
    first = make_plan([employee("E1", "u1"), employee("E2", "u2")])
    carry_out(store, "r1", first)
    second = make_plan([employee("E1", "u1", "Fox")], [employee("E1", "u1"), employee("E2", "u2")])
    carry_out(store, "r2", second)
    for key in ("E1", "u1"):
        told = store.story(key)
        assert [(e["kind"], e["fields"], e["outcome"], e["run"], e["digest"]) for e in told] == [
            ("create", "", "created", "r1", first.digest),
            ("update", "surname", "updated", "r2", second.digest),
        ]
        assert told[0]["after"] == {"accessplanit_id": "u1", "surname": "Lee"}
        assert (told[1]["before"], told[1]["after"]) == ({"surname": "Lee"}, {"surname": "Fox"})
    assert store.story("nobody") == []
    assert store.open_intents(SPEC.name) == []
    assert NEW


def test_an_intent_stays_open_until_its_receipts_are_written(store: SyncStore) -> None:
    plan = make_plan([employee(f"E{i}", f"u{i}") for i in range(4)])
    store.keep_plan(plan, SPEC, NOW)
    with leased(store, "r1"):
        intent = store.intend("r1", SPEC, plan.digest, 1, 3, NOW)
    ((found, part),) = store.open_intents(SPEC.name)
    assert found == intent
    assert strings(part.changes["key"]) == strings(plan.changes["key"])[1:3]
    assert store.open_intents("awards_to_hr") == []
    with leased(store, "r2"):
        some = done(part.changes).iloc[1:].reset_index(drop=True)
        store.receive("r2", SPEC, Batch(found, part.changes, some), NOW)
    assert store.open_intents(SPEC.name) == []
    key = strings(plan.changes["key"])[2]
    assert [e["place"] for e in store.story(str(key))] == [2]
    assert count(store, t.ledger) == 1


# -- drafts --------------------------------------------------------------------------------------


def keep(store: SyncStore, draft: Draft, flow_run: str | None = "f1", hours: int = 24) -> str:
    store.keep_draft(draft, "waiting", NOW, flow_run, NOW + timedelta(hours=hours))
    return draft.compared.plan.digest


def test_a_draft_comes_back_as_it_was(store: SyncStore) -> None:
    plan = replace(
        make_plan([employee("E1", "u1", "Fox")], [employee("E1", "u1")]), salt=store.salt()
    )
    mark = Watermark(NOW, date(2026, 11, 23), False)
    draft = make_draft(
        plan, mark, retried=("k",), looked_again=True, drift=(("User.Fax", "appeared"),)
    )
    digest = keep(store, draft)
    back = store.draft(digest)
    assert (
        back.spec,
        back.before,
        back.after,
        back.report,
        back.retried,
        back.looked_again,
        back.whole,
        back.drift,
    ) == (
        draft.spec,
        draft.before,
        draft.after,
        draft.report,
        ("k",),
        True,
        False,
        (("User.Fax", "appeared"),),
    )
    assert back.compared.plan.changes.equals(plan.changes)
    assert back.compared.plan.before.equals(plan.before)
    for name in ("rejected", "outside", "pairs", "held", "links", "gone"):
        assert getattr(back.compared, name).dtypes.equals(getattr(draft.compared, name).dtypes)
    assert store.waiting(SPEC.name, SPEC.fingerprint(), NOW) == (digest, "f1")
    assert store.waiting(SPEC.name, SPEC.fingerprint(), NOW + timedelta(hours=25)) is None, (
        "it has timed out"
    )
    assert [d["digest"] for d in store.drafts()] == [digest]


@pytest.mark.parametrize("status", ["rejected", "stale"])
def test_a_draft_is_decided_on_once(store: SyncStore, status: Any) -> None:
    digest = keep(store, make_draft(make_plan([employee("E1", "u1")])))
    store.close_plan(digest, status)
    with pytest.raises(StalePlan, match=f"is {status} already"):
        store.draft(digest)
    assert store.drafts() == []
    assert count(store, t.plan_part) == 0
    with pytest.raises(StalePlan, match="No plan feed"):
        store.draft("feed")


def test_a_newer_draft_takes_the_place_of_one_that_waits(store: SyncStore) -> None:
    old = keep(store, make_draft(make_plan([employee("E1", "u1")])))
    new = keep(store, make_draft(make_plan([employee("E1", "u1", "Fox")])), None)
    assert [d["digest"] for d in store.drafts()] == [new]
    with pytest.raises(StalePlan, match="is stale already"):
        store.draft(old)


def test_a_tampered_plan_is_refused(store: SyncStore) -> None:
    from connectors.store.base import packed

    digest = keep(store, make_draft(make_plan([employee("E1", "u1")])))
    other = make_plan([employee("E1", "u1", "Mallory")])
    with store.engine.begin() as connection:
        connection.execute(t.plan.update().values(changes=packed(other.changes)))
    with pytest.raises(StalePlan, match="has been altered"):
        store.draft(digest)


# -- sweeps --------------------------------------------------------------------------------------

PART = Range("created_at", None, datetime(2026, 1, 1, tzinfo=UTC))


def sweep_part(store: SyncStore) -> None:
    frame = of({"id": "text", "surname": "text", "hash": "hash"}, [("u1", "Lee", 5)])
    read = Snapshot(frame, True, of(REJECTED, [("u2", "f", "r", "raw", 6)]), 3, 0, 1, ("Fax",), ())
    store.keep_part(SPEC, PART, read, NOW)


def test_the_parts_of_an_interrupted_sweep_are_taken_up(store: SyncStore) -> None:
    assert store.sweeping_since(SPEC, NOW) is None
    sweep_part(store)
    assert store.sweeping_since(SPEC, NOW + timedelta(hours=1)) == NOW
    back = store.part(SPEC, PART)
    assert back is not None
    assert (
        strings(back.frame["surname"]),
        strings(back.rejected["key"]),
        back.read,
        back.duplicates,
    ) == (["Lee"], ["u2"], 3, 1)
    assert back.appeared == ("Fax",)
    assert store.part(SPEC, Range("created_at", None, None)) is None
    settle(store, "r1", draft=make_draft(make_plan([]), whole=True))
    assert store.sweeping_since(SPEC, NOW) is None, "the sweep is done"


def test_parts_that_may_be_outdated_are_not_taken_up(store: SyncStore) -> None:
    sweep_part(store)
    assert store.sweeping_since(SPEC, NOW + timedelta(hours=25)) is None, "too old"
    sweep_part(store)
    with leased(store, "r1"):
        store.intend("r1", SPEC, "d", 0, 1, NOW + timedelta(minutes=1))
    assert store.sweeping_since(SPEC, NOW + timedelta(hours=1)) is None, "HR was written to since"
    store.engine.dispose()


def test_a_sweep_that_never_ends_is_given_up(store: SyncStore) -> None:
    sweep_part(store)
    for number in range(5):
        store.start(f"r{number}", SPEC, "sweep", NOW + timedelta(minutes=number))
    assert store.sweeping_since(SPEC, NOW + timedelta(hours=1)) is None
    assert store.part(SPEC, PART) is None


# -- drift, privacy ------------------------------------------------------------------------------


def drifting(*drift: tuple[str, str]) -> Draft:
    return make_draft(make_plan([]), drift=drift)


def test_drift_is_told_once(store: SyncStore) -> None:
    assert settle(
        store, "r1", draft=drifting(("User.Fax", "appeared"), ("User.Pet", "vanished"))
    ) == (
        "User.Fax appeared",
        "User.Pet vanished",
    )
    assert (
        settle(store, "r2", draft=drifting(("User.Fax", "appeared"), ("User.Pet", "vanished")))
        == ()
    )
    assert settle(store, "r3", draft=make_draft(make_plan([]))) == (), (
        "a run that read nothing knows nothing"
    )
    assert settle(store, "r4", draft=drifting(("User.Fax", "appeared"))) == ()
    assert settle(
        store, "r5", draft=drifting(("User.Fax", "appeared"), ("User.Pet", "vanished"))
    ) == ("User.Pet vanished",)


def everything(store: SyncStore, store_url: str) -> str:
    """All that the store holds, as text; of SQLite the very bytes of its files."""
    with store.engine.connect() as connection:
        rows = [
            str(row)
            for table in t.metadata.sorted_tables
            for row in connection.execute(sa.select(table))
        ]
    frames = [store.plan(d) for d in _digests(store)]
    text = "\n".join(
        [*rows, *(str(f.changes.to_dict()) + str(f.before.to_dict()) for f in frames if f)]
    )
    if store_url.startswith("sqlite"):
        folder = Path(store_url.removeprefix("sqlite:///")).parent
        text += "".join(
            path.read_bytes().decode("latin-1") for path in sorted(folder.glob("store.db*"))
        )
    return text


def _digests(store: SyncStore) -> list[str]:
    with store.engine.connect() as connection:
        return list(connection.execute(sa.select(t.plan.c.digest)).scalars())


def test_forgetting_leaves_nothing_of_the_person_and_all_of_the_others(
    store: SyncStore, store_url: str
) -> None:
    award = awards_to_hr.SPEC
    plan = make_plan(
        [employee("EMPL-ONE", "user-one", "Quixote"), employee("EMPL-TWO", "user-two", "Panza")]
    )
    carry_out(store, "r1", plan)
    columns = {"award_record_id": "text", **award.columns()}
    row = dict.fromkeys(columns) | {
        "award_record_id": "AWARD-ONE",
        "accessplanit_user_id": "user-one",
        "employee_name": "Quixote",
    }
    held = reconcile(
        of(columns, [tuple(row.values())]),
        of(columns, []),
        "award_record_id",
        award.columns(),
        award.compared(),
    )
    store.keep_plan(held, award, NOW)
    with leased(store, "a1", award):
        intent = store.intend("a1", award, held.digest, 0, 1, NOW)
        store.receive("a1", award, Batch(intent, held.changes, done(held.changes)), NOW)
    waiting = keep(store, make_draft(make_plan([employee("EMPL-TWO", "user-two", "Fox")])))
    settle(
        store,
        "r2",
        landed=[("user-one", 1), ("user-two", 2), ("AWARD-ONE", 3)],
        links=[("user-one", "EMPL-ONE"), ("user-two", "EMPL-TWO")],
        bad=[
            ("user-one", "failed", "f", "r", None, "Quixote", 9),
            ("award-x", "held", "f", "r", "user-one", None, 8),
            ("OTHER-AWARD", "held", "f", "r", None, "raw", 7),
        ],
        agreed=[("user-one", "surname", "Quixote"), ("user-two", "surname", "Panza")],
    )
    sweep_part(store)
    said = (
        ("User", "user-one"),
        ("UserCourseDate", "user-one~101"),
        ("UserCourseDate", "user-two~101"),
    )
    store.accept(
        [Arrival("user", "PUT", said, "d1", True)], {("user", feed): ["p"] for feed, _ in said}, NOW
    )
    assert store.story("user-one")
    erased = store.forget("user-one", ["OTHER-AWARD"], NOW)
    assert store.scrub()
    found = {
        "plans": 2,
        "ledger": 2,
        "links": 1,
        "agreements": 1,
        "records": 2,
        "quarantine": 3,
        "sweeps": 1,
    }
    assert erased == {**found, "hints": 3, "versions": 0}
    left = everything(store, store_url)
    for trace in ("user-one", "EMPL-ONE", "AWARD-ONE", "Quixote", "OTHER-AWARD"):
        assert trace not in left, trace
    assert store.story("user-one") == store.story("EMPL-ONE") == []
    (told,) = store.story("user-two")
    assert told["after"]["surname"] == "Panza", (
        "the neighbour's entry still finds its place in the plan"
    )
    assert store.links("employees")["source_key"].tolist() == ["user-two"]
    with pytest.raises(StalePlan):
        store.draft(waiting)
    with store.engine.connect() as connection:
        (tombstone,) = connection.execute(sa.select(t.tombstone)).mappings()
    assert set(tombstone) == {"id", "at", "erased"}
    settle(store, "r3", landed=[("user-one", 1)], links=[("user-one", "EMPL-ONE")])
    assert "user-one" in store.links("employees")["source_key"].tolist(), (
        "a tombstone prevents nothing"
    )


def test_law_10_what_never_went_through_and_what_is_somebody_elses_loses_the_person(
    store: SyncStore, store_url: str
) -> None:
    raw = json.dumps({"ID": "UA9", "UserID": "USER-ONE", "Note": "Quixote"})
    other = json.dumps(
        {"ID": "UA8", "UserID": "user-two", "Managers": "one@x.example;two@x.example"}
    )
    settle(
        store,
        "r1",
        landed=[("user-one~101", 1), ("user-two~101", 2)],
        links=[("user-one", "EMPL-ONE"), ("user-two", "EMPL-TWO")],
        bad=[
            ("UA9", "rejected", "f", "r", None, raw, 9),
            (None, "rejected", "f", "r", None, "?;Quixote;?", 8),
            ("UA8", "rejected", "f", "r", None, other, 7),
            (
                "user-two",
                "held",
                "id",
                "may be one of several",
                None,
                json.dumps({"email": ["EMPL-ONE", "EMPL-TWO"]}),
                6,
            ),
        ],
    )
    store.keep_plan(
        make_plan(
            [employee("EMPL-ONE", "user-one", "Quixote"), employee("EMPL-TWO", "user-two", "Panza")]
        ),
        SPEC,
        NOW,
    )
    assert store.known_of("user-none") is None
    known = store.known_of("user-one")
    assert known
    assert known.ids == {"user-one", "EMPL-ONE"}
    assert "UA9" in known.keys
    store.forget("user-one", sorted(known.keys), NOW, ["one@x.example", "Quixote"])
    assert store.scrub()
    left = everything(store, store_url)
    for trace in ("user-one", "USER-ONE", "EMPL-ONE", "UA9", "Quixote", "one@x.example"):
        assert trace not in left, trace
    assert {entry["key"]: entry["raw"] for entry in store.quarantined()} == {
        "UA8": other.replace("one@x.example", "(forgotten)"),
        "user-two": json.dumps({"email": ["(forgotten)", "EMPL-TWO"]}),
    }
    assert store.known_of("user-one") is None


def test_nobody_is_forgotten_while_a_run_is_at_work(store: SyncStore) -> None:
    settle(store, "r1", links=[("user-one", "EMPL-ONE")])
    with leased(store, "r2"):
        for forgetting in (store.forgettable, lambda: store.forget("user-one", [], NOW)):
            with pytest.raises(StalePlan, match="is at work"):
                forgetting()
    assert store.known_of("user-one")


def test_pruning_takes_details_and_leaves_the_ledger(store: SyncStore) -> None:
    old, young, open_ = (make_plan([employee("E1", "u1", name)]) for name in ("Ash", "Elm", "Oak"))
    carry_out(store, "r1", old)
    store.keep_plan(open_, SPEC, NOW)
    with leased(store, "r2"):
        store.intend("r2", SPEC, open_.digest, 0, 1, NOW)
    settle(store, "r3", bad=[entry("a", 1), entry("b", 2)])
    settle(store, "r4", landed=[("a", 1)])
    later = NOW + timedelta(days=91)
    store.keep_plan(young, SPEC, later)
    long_ago = later - timedelta(days=900)
    pruned = store.prune(later - timedelta(days=90), long_ago)
    assert pruned == {
        "ledger": 0,
        "filters": 0,
        "versions": 0,
        "plans": 1,
        "plan parts": 0,
        "quarantine": 1,
        "runs": 4,
        "sweeps": 0,
        "hints": 0,
        "leases": 0,
        "deliveries": 0,
        "refusals": 0,
        "budget": 0,
    }
    assert store.plan(old.digest) is None
    assert store.plan(open_.digest) is not None, "an open intent needs it"
    assert store.plan(young.digest) is not None
    (told,) = store.story("E1")
    assert (told["kind"], told["digest"], "after" in told) == ("create", old.digest, False)
    assert [e["key"] for e in store.quarantined()] == ["b"], "what is open stays"
    assert store.prune(later - timedelta(days=90), long_ago) == dict.fromkeys(pruned, 0)


def test_the_ledger_is_kept_as_long_as_the_history_and_the_scope_of_a_process_as_long_as_it_is_used(
    store: SyncStore,
) -> None:
    plan = make_plan([employee("E1", "u1")])
    carry_out(store, "r1", plan)
    settle(store, "r2", bad=[entry("a", 1)])
    later = NOW + timedelta(days=400)
    kept = store.prune(later, NOW - timedelta(days=1))
    assert (kept["ledger"], kept["filters"]) == (0, 0), (
        "what a process was last is kept, and so is what a record waits for"
    )
    assert store.story("E1")
    assert store.prune(later, later)["ledger"] == 1
    assert store.story("E1") == []
    with store.engine.begin() as connection:
        assert (
            connection.execute(sa.select(sa.func.count()).select_from(t.intent)).scalar_one() == 0
        )
        old = {
            "process": SPEC.name,
            "fingerprint": "other",
            "spec": SPEC.model_dump_json(),
            "used": NOW.replace(tzinfo=None) - timedelta(1),
        }
        connection.execute(t.scope.insert().values(old))
    assert store.prune(later, later)["filters"] == 1
    assert store.scope(SPEC.name, None) == SPEC


@pytest.mark.parametrize("hour_seconds", [3600.0, 60.0, 7200.0])
def test_hours_and_refusals_of_the_past_are_pruned_whatever_the_length_of_an_hour(
    store: SyncStore, hour_seconds: float
) -> None:
    edge = NOW - timedelta(days=90)
    hours = [int(moment.timestamp() // hour_seconds) for moment in (edge - timedelta(days=1), NOW)]
    with store.engine.begin() as connection:
        connection.execute(
            t.budget.insert(), [{"endpoint": "user", "hour": hour, "used": 1} for hour in hours]
        )
    store.refuse({"signature": 1}, edge - timedelta(days=1))
    store.refuse({"signature": 1}, NOW)
    pruned = store.prune(edge, edge, hour_seconds)
    assert (pruned["budget"], pruned["refusals"]) == (1, 1)
    with store.engine.connect() as connection:
        assert connection.execute(sa.select(t.budget.c.hour)).scalars().all() == [hours[1]]


def test_a_digest_that_leaves_the_store_is_salted_and_the_same_for_all(
    store: SyncStore, store_url: str, tmp_path: Path
) -> None:
    other, stranger = SyncStore(store_url), SyncStore(f"sqlite:///{tmp_path / 'other.db'}")
    assert store.salt() == other.salt() != stranger.salt()
    asked = Inquiry(process="awards_to_hr", as_of=date(2026, 3, 31), people=("user-one",))
    assert asked.digest(store.salt()) == asked.digest(other.salt()) != asked.digest(stranger.salt())
    plan, *others = (
        replace(make_plan([employee("A", "a")]), salt=each.salt()).digest
        for each in (store, other, stranger)
    )
    assert [each == plan for each in others] == [True, False]
    for each in (other, stranger):
        each.close()


def test_an_open_intent_of_which_somebody_was_forgotten_keeps_the_places_of_the_others(
    store: SyncStore,
) -> None:
    plan = make_plan([employee("E1", "u1"), employee("E2", "u2"), employee("E3", "u3")])
    store.keep_plan(plan, SPEC, NOW)
    with leased(store, "r1"):
        store.intend("r1", SPEC, plan.digest, 0, 3, NOW)
    store.forget("u2", ["E2"], NOW)
    ((intent, part),) = store.open_intents(SPEC.name)
    left = part.changes[part.changes["key"].notna()]
    assert left["key"].tolist() == ["E1", "E3"]
    with leased(store, "r2"):
        store.receive("r2", SPEC, Batch(intent, part.changes, done(left)), NOW)
    assert store.open_intents(SPEC.name) == []
    (told,) = store.story("E3")
    assert told["after"]["accessplanit_id"] == "u3"
