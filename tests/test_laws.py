"""The laws of one run, each as a property. docs/laws.md names the deliberate mistakes that each of
them has caught.

``make laws`` tries 10,000 examples of each, every run of the suite some; ``make mutants`` breaks
the code on purpose.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st

from connectors.hr.sql import SqlHr
from connectors.store.schema import quarantine
from flows._run import Order, World, plainly, run_process
from reconciliation import awards
from reconciliation.ask import Moment
from reconciliation.digest import digest
from reconciliation.errors import HrsyncError, Misconfigured, StalePlan
from reconciliation.frame import arrow, empty, of, strings, utc, wall
from reconciliation.match import LINKS
from reconciliation.plan import apply_to, closing, moved, reconcile
from reconciliation.ports import NO_HASHES, Marks
from reconciliation.run.compare import compare
from reconciliation.run.comparison import Comparison
from reconciliation.run.interrupted import already_made
from reconciliation.run.whole_feed import sweep_part, verify
from reconciliation.snapshot import Snapshot
from reconciliation.spec import Clause, FieldMap, Guard, Limit, MatchRule, ProcessSpec, Scope
from reconciliation.sweep import ORIGIN, Ended
from reconciliation.watermark import Watermark, advance, window
from tasks.publish import summary

from .worlds import KEYLESS, NOW, STORES, UNREADABLE, Deaths, Feed, Hr, entries, mortal, run, user

MANY = int(os.environ.get("HRSYNC_LAWS", "0"))
"""Examples of each law in ``make laws``."""
LONDON = ZoneInfo("Europe/London")


def examples(quick: int) -> Any:
    """``quick`` examples in an ordinary run, 10,000 in ``make laws``, or as many as it is told."""
    return settings(
        max_examples=MANY or quick,
        deadline=None,
        # What takes a second an example is not worth an hour of making it smaller.
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
        ],
    )


SPEC = ProcessSpec(
    name="users_to_hr",
    title="A small process",
    feed="User",
    entity="employees",
    entity_key="employee_id",
    fields=(
        FieldMap(source="id", target="accessplanit_id"),
        FieldMap(source="surname", target="surname"),
        FieldMap(source="status", target="status"),
        FieldMap(source="email", target="email"),
        FieldMap(source="updated_at", target="source_updated_at", kind="moment", compare=False),
    ),
    match=(
        MatchRule(source="id", target="accessplanit_id"),
        MatchRule(source="email", target="email", weak=True),
    ),
    scope=Scope(
        clauses=(Clause(column="status", values=("Enabled",)),),
        leaves="close",
        gone="close",
        closed=(("status", "Inactive"),),
    ),
    guard=Guard(create=None, update=None, close=None),
)
COLUMNS = SPEC.columns()
KEYS = st.sampled_from("abcdefgh")
USERS = st.dictionaries(
    KEYS,
    st.fixed_dictionaries(
        {
            "surname": st.sampled_from(["Lee", "Fox", "Ash"]),
            "status": st.sampled_from(["Enabled", "Enabled", "Enabled", "Inactive"]),
            "email": st.none() | st.sampled_from(["a@x", "b@x"]),
            "at": st.integers(0, 3),
        }
    ),
    max_size=6,
)


def feed_of(users: dict[str, dict[str, Any]], **more: Any) -> Feed:
    return Feed({key: user(key, **values) for key, values in users.items()}, **more)


def small_hr(batch: int = 1000, rows: list[tuple[Any, ...]] | None = None) -> Hr:
    """An HR with the few columns that matter here."""
    hr = Hr.__new__(Hr)
    hr.batch, hr.calls, hr.complete, hr.refuses = batch, [], True, lambda _: False
    hr.tables = {"employees": of({"employee_id": "text", **COLUMNS}, rows or [])}
    return hr


def employee(
    key: str,
    user_: str | None,
    surname: str = "Lee",
    status: str = "Enabled",
    email: str | None = None,
) -> tuple[Any, ...]:
    return (key, user_, surname, status, email, NOW)


# -- 1: absent is never inferred from unreadable -------------------------------------------------


@examples(100)
@example(
    loaded={"a"},
    there={"a"},
    broken={"a": UNREADABLE},
    hidden=set(),
    complete=True,
    answered=True,
    earlier=set(),
)
@example(
    loaded={"a"},
    there={"a"},
    broken={},
    hidden={"a"},
    complete=True,
    answered=True,
    earlier=set(),
)
@example(
    # It answers when it is asked for by key, and its key cannot be read.
    loaded={"a"},
    there={"a"},
    broken={"a": KEYLESS},
    hidden={"a"},
    complete=True,
    answered=True,
    earlier=set(),
)
@given(
    loaded=st.sets(KEYS, min_size=1),
    there=st.sets(KEYS),
    broken=st.dictionaries(KEYS, st.sampled_from([UNREADABLE, KEYLESS])),
    hidden=st.sets(KEYS),
    complete=st.booleans(),
    answered=st.booleans(),
    earlier=st.sets(KEYS),
)
def test_law_1_absent_is_never_inferred_from_unreadable(
    loaded: set[str],
    there: set[str],
    broken: dict[str, str],
    hidden: set[str],
    complete: bool,
    answered: bool,
    earlier: set[str],
) -> None:
    """A sweep takes for gone only what is not there, and nothing at all if anything about its
    reading is in doubt.

    What earlier sweeps have found gone is not asked for again: it comes back when it is read.
    """
    earlier = (earlier & loaded) - there
    feed = Feed(
        {key: user(key) for key in sorted(there)},
        {k: v for k, v in broken.items() if k in there},
        complete,
        hidden,
    )
    store: Any = SimpleNamespace(
        origin=lambda _: of(ORIGIN, [(key, f"E-{key}") for key in sorted(loaded)]),
        gone=lambda _: sorted(earlier),
    )
    whole = sweep_part(feed, SPEC, None)
    feed.complete = answered
    merged, gone, known = verify(feed, store, SPEC, whole)
    found, again = set(strings(gone)), set(strings(known))
    assert found <= loaded - there - earlier
    doubt = not complete or any(
        state == KEYLESS for key, state in feed.broken.items() if key not in hidden
    )
    assert again == (set() if doubt else earlier)
    keyless = any(
        state == KEYLESS for key, state in feed.broken.items() if key not in hidden or key in loaded
    )
    if keyless or not complete:
        assert found == set()
    elif answered:
        assert found == loaded - there - earlier, (
            "what is gone is found, or the property would say nothing"
        )
    readable = there - set(feed.broken)
    assert set(strings(merged.frame["id"])) == {
        key for key in readable if key not in hidden or key in loaded
    }


@examples(100)
@given(users=USERS, there=st.sets(KEYS))
def test_law_1_a_target_that_was_not_read_in_full_gets_nothing_new(
    users: dict[str, dict[str, Any]], there: set[str]
) -> None:
    desired = of(
        {"k": "text", "name": "text"}, [(key, values["surname"]) for key, values in users.items()]
    )
    target = of({"k": "text", "name": "text"}, [(key, "Old") for key in sorted(there)])
    plan = reconcile(desired, target, "k", {"name": "text"}, ["name"], doubtful=desired["k"])
    assert plan.counts()["create"] == 0
    assert set(strings(plan.withheld)) == users.keys() - there
    assert plan.counts()["update"] == len(users.keys() & there)


@pytest.mark.parametrize("whole", [False, True])
def test_law_1_a_field_that_hr_does_not_show_is_not_taken_for_emptied(whole: bool) -> None:
    """An HR system that leaves out what the service user may not see would be written to for
    everybody."""
    feed, store, hr = Feed({f"u{n}": user(f"u{n}") for n in range(3)}), STORES.fresh(), small_hr()
    run(SPEC, feed, hr, store)
    before, read = hr.tables["employees"], hr.read
    hr.read = lambda entity, columns, lookups: replace(
        read(entity, columns, lookups), vanished=("surname",)
    )  # type: ignore[method-assign]
    feed.records["u1"]["surname"] = "Other"
    with pytest.raises(Misconfigured, match=r"does not show employees\.surname"):
        run(SPEC, feed, hr, store, Order(sweep=whole, full=not whole))
    assert hr.tables["employees"].equals(before)


# -- 2: closing comes from an explicit status or a complete sweep --------------------------------


@examples(60)
@given(
    users=USERS,
    linked=st.dictionaries(KEYS, st.sampled_from(["Enabled", "Inactive"])),
    others=st.sets(st.sampled_from("xyz")),
)
def test_law_2_a_window_closes_only_what_it_has_seen_leave(
    users: dict[str, dict[str, Any]], linked: dict[str, str], others: set[str]
) -> None:
    """Whatever HR holds and whatever part of the feed came: rows that did not come are left
    alone."""
    rows = [employee(f"E-{key}", key, status=status) for key, status in linked.items()] + [
        employee(key, None) for key in sorted(others)
    ]
    links = of(LINKS, [(key, f"E-{key}") for key in linked])

    def known(_: str, source_keys: Any = None, target_keys: Any = None) -> pd.DataFrame:
        if source_keys is None and target_keys is None:
            return links
        chosen = links["source_key"].isin(source_keys or []) | links["target_key"].isin(
            target_keys or []
        )
        return links[chosen.to_numpy(dtype=bool)].reset_index(drop=True)

    store: Any = SimpleNamespace(
        links=known, origin=lambda _: links.set_axis(list(ORIGIN), axis=1), salt=lambda: b""
    )
    read = sweep_part(feed_of(users), SPEC, None)
    comparison = Comparison.of(
        SPEC,
        small_hr(rows=rows),
        store,
        Moment(NOW.date(), NOW),
        NO_HASHES,
        Ended(),
        whole=False,
    )
    plan = compare(comparison, read, Marks(NO_HASHES, NO_HASHES, NO_HASHES)).plan
    closed = set(plan.changes.loc[plan.changes["kind"] == "close", "key"])
    left = {key for key, values in users.items() if values["status"] == "Inactive"}
    assert closed == {f"E-{key}" for key in left & linked.keys() if linked[key] != "Inactive"}
    touched = set(plan.changes["key"])
    assert (
        touched
        <= {f"E-{key}" for key in users}
        | {f"AP-{key}" for key in users}
        | {f"E-{key}" for key in linked if key in users}
        | others
    )


# -- 3: idempotent, and blind to order -----------------------------------------------------------

TABLE = {"name": "text", "day": "day", "flag": "flag", "note": "text"}
ROWS = st.dictionaries(
    st.text("abcd", min_size=1, max_size=2),
    st.tuples(
        st.sampled_from([None, "", "a", "b", "Ö"]),
        st.sampled_from([None, date(2026, 1, 1), date(2026, 1, 2)]),
        st.sampled_from([None, True, False]),
        st.sampled_from([None, "x"]),
    ),
    max_size=12,
)


def table(rows: dict[str, tuple[object, ...]], dice: random.Random | None = None) -> pd.DataFrame:
    items = [(key, *values) for key, values in rows.items()]
    if dice:
        dice.shuffle(items)
    return of({"key": "text", **TABLE}, items)


@examples(150)
@given(
    source=ROWS,
    target=ROWS,
    leavers=st.sets(st.text("abcd", min_size=1, max_size=2)),
    dice=st.randoms(),
)
def test_law_3_applying_a_plan_leaves_nothing_to_do_in_whatever_order(
    source: dict[str, tuple[object, ...]],
    target: dict[str, tuple[object, ...]],
    leavers: set[str],
    dice: random.Random,
) -> None:
    leaving = {key: target[key] for key in sorted(leavers & target.keys() - source.keys())}

    def planned(shuffled: random.Random | None, on: pd.DataFrame) -> Any:
        plan = reconcile(table(source, shuffled), on, "key", TABLE, list(TABLE))
        there = on[on["key"].isin(leaving)].reset_index(drop=True)
        return closing(plan, there, "key", TABLE, {"name": "closed"}, "left")

    plan = planned(None, table(target))
    after = apply_to(table(target), plan, "key", TABLE)
    assert len(planned(None, after).changes) == 0
    content = {
        row[0]: row[1:]
        for row in zip(*(arrow(after[name]).to_pylist() for name in ("key", *TABLE)), strict=True)
    }
    assert content == {
        **target,
        **{key: ("closed", *row[1:]) for key, row in leaving.items()},
        **source,
    }
    other = planned(dice, table(target, dice))
    assert other.digest == plan.digest
    assert other.changes.equals(plan.changes)
    assert other.before.equals(plan.before)


# -- 4: what is not managed is never touched -----------------------------------------------------

MANAGEABLE = ("surname", "email", "phone", "job_title", "status")
FULL_ROW = st.fixed_dictionaries({name: st.sampled_from(["one", "two"]) for name in MANAGEABLE})
SQL_HR: list[SqlHr] = []


@examples(60)
@given(
    managed=st.sets(st.sampled_from(MANAGEABLE), min_size=1).map(sorted),
    carried=st.sets(st.sampled_from(MANAGEABLE)),
    source=st.dictionaries(KEYS, FULL_ROW, max_size=5),
    target=st.dictionaries(KEYS, FULL_ROW, max_size=5),
)
def test_law_4_a_field_that_is_not_managed_never_changes(
    managed: list[str],
    carried: set[str],
    source: dict[str, dict[str, str]],
    target: dict[str, dict[str, str]],
) -> None:
    """Over the real HR database. A carried field travels along and is no reason to write."""
    managed = sorted({*managed, "surname"})
    spec = SPEC.model_copy(
        update={
            "fields": tuple(
                FieldMap(source="id" if n == "x" else n, target=n, compare=n not in carried)
                for n in managed
            ),
            "match": (),
        }
    )
    if not SQL_HR:
        SQL_HR.append(SqlHr("sqlite://"))
    hr = SQL_HR[0]
    kinds = dict.fromkeys(MANAGEABLE, "text")
    with hr.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM employees")
    everything = of(
        {"employee_id": "text", **kinds},
        [(key, *(row[n] for n in MANAGEABLE)) for key, row in target.items()],
    )
    hr.apply(
        "employees",
        reconcile(
            everything, empty({"employee_id": "text", **kinds}), "employee_id", kinds, list(kinds)
        ).changes,
    )
    columns = spec.columns()
    desired = of(
        {"employee_id": "text", **columns},
        [(key, *(row[n] for n in columns)) for key, row in source.items()],
    )
    plan = reconcile(
        desired, hr.read("employees", columns, None).frame, "employee_id", columns, spec.compared()
    )
    assert set(plan.changes.columns) == {"kind", "key", "fields", "reason", *managed}
    named = {name for text in plan.changes["fields"] for name in text.split(",") if name}
    assert named <= set(managed) - carried
    hr.apply("employees", plan.changes)
    after = {
        row.pop("employee_id"): row
        for row in hr.read("employees", kinds, None).frame.to_dict("records")
    }
    for key, row in target.items():
        assert {n: after[key][n] for n in MANAGEABLE if n not in managed} == {
            n: row[n] for n in MANAGEABLE if n not in managed
        }
        reason = key in source and any(source[key][n] != row[n] for n in set(managed) - carried)
        assert {n: after[key][n] for n in managed} == {
            n: (source[key] if reason else row)[n] for n in managed
        }


# -- 5: an echo is no change ---------------------------------------------------------------------


@examples(40)
@given(
    users=USERS,
    touched=st.lists(st.tuples(KEYS, st.integers(5, 60)), max_size=4),
    full=st.booleans(),
)
def test_law_5_what_comes_back_as_it_was_written_is_no_change(
    users: dict[str, dict[str, Any]], touched: list[tuple[str, int]], full: bool
) -> None:
    """Records whose time stamp alone has moved (an edit that changed nothing, our own write coming
    back) write nothing."""
    feed, hr, store = feed_of(users), small_hr(), STORES.fresh()
    run(SPEC, feed, hr, store)
    before, calls = hr.content("employees"), len(hr.calls)
    for key, minutes in touched:
        if key in feed.records:
            feed.records[key]["updated_at"] += timedelta(minutes=minutes)
    report = run(SPEC, feed, hr, store, Order(full=full), NOW + timedelta(minutes=5))
    assert report.written == 0
    assert (hr.content("employees"), len(hr.calls)) == (before, calls)


# -- 6: time is explicit -------------------------------------------------------------------------

AUTUMN = datetime(2026, 10, 24, 20, tzinfo=UTC)
MINUTES = st.integers(0, 11 * 60)


@examples(150)
@given(
    edits=st.lists(st.tuples(MINUTES, st.integers(0, 109)), min_size=1, max_size=8),
    runs=st.lists(MINUTES, max_size=8),
    skew=st.integers(-10, 10),
    spring=st.booleans(),
)
@example(edits=[(310, 109), (415, 0)], runs=[416], skew=0, spring=False)
@example(edits=[(270, 0)], runs=[], skew=0, spring=False)
@example(edits=[(100, 0)], runs=[101], skew=10, spring=False)
def test_law_6_incremental_reading_loses_no_change_while_the_clocks_change(
    edits: list[tuple[int, int]], runs: list[int], skew: int, spring: bool
) -> None:
    """Edits at equal and odd moments, committed up to 109 minutes late by a source whose clock is
    off by up to ten, in the night in which an hour comes twice or not at all: each is read by the
    last run at the latest."""
    start = datetime(2026, 3, 28, 20, tzinfo=UTC) if spring else AUTUMN
    moments = [start + timedelta(minutes=at) for at, _ in edits]
    stamps = [
        (m + timedelta(minutes=skew)).astimezone(LONDON).replace(tzinfo=None) for m in moments
    ]
    visible = [m + timedelta(minutes=late) for m, (_, late) in zip(moments, edits, strict=True)]
    mark, seen = Watermark(start, start.date()), set()
    for moment in [
        *sorted(start + timedelta(minutes=at) for at in runs),
        start + timedelta(hours=30),
    ]:
        asked = window(mark, timedelta(hours=2))
        assert asked.since is not None
        low = wall(asked.since, "Europe/London")
        came = [i for i, stamp in enumerate(stamps) if stamp >= low and visible[i] <= moment]
        seen |= set(came)
        updated = utc(pa.array([stamps[i] for i in came], pa.timestamp("us")), "Europe/London")
        assert all(
            read <= moments[i] + timedelta(minutes=skew)
            for i, read in zip(came, updated.to_pylist(), strict=True)
        ), "never later than it was"
        frame = pd.DataFrame({"updated_at": pd.arrays.ArrowExtensionArray(updated)})
        mark = advance(mark, Snapshot(frame), "updated_at", asked, moment, moment.date(), False)
        assert mark.moment is not None
        assert mark.moment <= moment
    assert seen == set(range(len(edits)))


@examples(100)
@given(
    moment=st.datetimes(datetime(2025, 12, 1), datetime(2026, 12, 1), timezones=st.just(UTC)),
    until=st.integers(-3, 3),
    days=st.integers(0, 5),
)
def test_law_6_an_award_expires_by_the_day_where_it_is_held_and_by_nothing_else(
    moment: datetime, until: int, days: int
) -> None:
    today = moment.astimezone(LONDON).date()
    kinds = {"k": "text", **awards.FACTS}
    expires = today + timedelta(days=until)
    row = of(kinds, [("k", "e", "a", "Completed", date(2020, 1, 1), expires, None)])
    state = awards.states(row, "k", today + timedelta(days=days), 1)["state"]
    expected = (
        "expired"
        if expires < today + timedelta(days=days)
        else "expiring"
        if until - days <= 1
        else "achieved"
    )
    assert state.tolist() == [expected]
    ranges = awards.due(today, today + timedelta(days=days), 1)
    before = awards.states(row, "k", today, 1)["state"].tolist()
    assert (before == [expected]) or any(low <= expires < high for low, high in ranges)


# -- 7: a crash anywhere -------------------------------------------------------------------------


def undisturbed(
    users: dict[str, dict[str, Any]], there: list[tuple[Any, ...]], order: Order
) -> tuple[Any, ...]:
    hr, store = small_hr(2, list(there)), STORES.fresh()
    for _ in range(2):
        run(SPEC, feed_of(users), hr, store, order)
        assert not store.open_intents(SPEC.name), "the fate of every change is written down"
    return left_behind(hr, store)


def left_behind(hr: Hr, store: Any) -> tuple[Any, ...]:
    links = store.links("employees").sort_values("source_key").to_numpy().tolist()
    known = store.known(SPEC.name).tolist()
    return (
        hr.content("employees"),
        links,
        known,
        store.watermark(SPEC.name, SPEC.fingerprint()),
        Counter(entries(store)),
    )


FIVE = {key: {"surname": "Lee", "status": "Enabled", "email": None, "at": 0} for key in "abcde"}


def at_every_place(test: Any) -> Any:
    """Five people in batches of two, killed once at each place from where the plan is kept."""
    for place in range(34, 58):
        test = example(users=FIVE, there=set(), deaths=[place], sweep=False)(test)
    return test


@examples(50)
@at_every_place
@given(
    users=USERS,
    there=st.sets(st.sampled_from("abxy")),
    deaths=st.lists(st.integers(0, 58), min_size=1, max_size=3),
    sweep=st.booleans(),
)
def test_law_7_a_crash_anywhere_ends_where_an_undisturbed_run_ends(
    users: dict[str, dict[str, Any]], there: set[str], deaths: list[int], sweep: bool
) -> None:
    """Killed before or after any call to either side or the store, several times, and run again:
    HR, links, records, watermark and ledger are as if nothing had happened, and no row whose
    receipt was written was sent twice."""
    rows = [employee(f"H-{key}", key, "Old") for key in sorted(there)]
    order = Order(sweep=sweep)
    expected = undisturbed(users, rows, order)
    hr, store = small_hr(2, rows), STORES.fresh()
    for place in deaths:
        receipted = Counter(entries(store))
        before = Counter(hr.calls)
        mortal(SPEC, feed_of(users), hr, store, Deaths(place), order)
        again = Counter(hr.calls) - before
        for entity, key in again:
            assert not any(e[:2] == (entity, key) for e in receipted), (
                "its receipt was written already"
            )
    # Twice: while nothing is loaded, what is out of scope is not even read, and so not remembered.
    for _ in range(2):
        run(SPEC, feed_of(users), hr, store, order)
    assert left_behind(hr, store) == expected


def test_law_12_a_create_is_looked_for_by_accessplanits_own_id_too() -> None:
    """HR has made a row for the user itself, under a key of its own, while the create waited."""
    creates = of(
        {"key": "text", **COLUMNS},
        [("AP-e", *employee("", "e")[1:]), ("AP-f", *employee("", "f")[1:])],
    )
    found, _, whole = already_made(
        SPEC, creates, small_hr(rows=[employee("E9", "e"), employee("E8", "g")]), STORES.fresh()
    )
    assert (found["key"].tolist(), found["given"].tolist(), whole) == (["AP-e"], ["E9"], True)


def test_law_12_what_a_plan_has_made_already_holds_none_of_its_other_creates() -> None:
    """Two new users share a mailbox; the plan was interrupted between them."""
    creates = of(
        {"key": "text", **COLUMNS},
        [(key, *employee("", key[-1], email="depot@x")[1:]) for key in ("N-e", "N-f")],
    )
    made = small_hr(rows=[employee("N-e", "e", email="depot@x")])
    found, held, _ = already_made(SPEC, creates, made, STORES.fresh())
    assert (found["given"].tolist(), held) == (["N-e"], [])
    _, held, _ = already_made(
        SPEC, creates, small_hr(rows=[employee("E9", None, email="depot@x")]), STORES.fresh()
    )
    assert held == ["N-e", "N-f"]


# -- 8: approval binds to a digest of the exact plan ---------------------------------------------


@examples(100)
@given(source=ROWS, target=ROWS, data=st.data())
def test_law_8_a_digest_names_exactly_one_plan(
    source: dict[str, tuple[object, ...]],
    target: dict[str, tuple[object, ...]],
    data: st.DataObject,
) -> None:
    """One cell changed anywhere, after or before, is another digest; the reasons alone are not."""
    plan = reconcile(table(source), table(target), "key", TABLE, list(TABLE))
    assume(len(plan.changes))
    assert digest(plan.changes.assign(reason="told otherwise"), plan.before) == plan.digest
    frames = {"changes": plan.changes, "before": plan.before}
    name = data.draw(st.sampled_from([n for n in frames if len(frames[n])]))
    part = frames[name].drop(columns="reason", errors="ignore")
    column = data.draw(st.sampled_from(list(part.columns)))
    place = data.draw(st.integers(0, len(part) - 1))
    values = arrow(part[column]).to_pylist()
    others: dict[str, list[Any]] = {
        "day": [None, date(2026, 1, 1), date(2026, 1, 3)],
        "flag": [None, True, False],
    }
    other = data.draw(
        st.sampled_from([v for v in others.get(column, ["", "z", None]) if v != values[place]])
    )
    values[place] = other
    tampered = frames[name].assign(
        **{column: pd.arrays.ArrowExtensionArray(pa.array(values, arrow(part[column]).type))}
    )
    frames[name] = tampered
    assert digest(**frames) != plan.digest


@examples(60)
@given(source=ROWS, target=ROWS, now=ROWS)
def test_law_8_a_plan_whose_rows_have_moved_is_stale(
    source: dict[str, tuple[object, ...]],
    target: dict[str, tuple[object, ...]],
    now: dict[str, tuple[object, ...]],
) -> None:
    plan = reconcile(table(source), table(target), "key", TABLE, list(TABLE))
    concerned = set(plan.changes["key"])
    expected = {key for key in concerned if now.get(key) != target.get(key)}
    assert set(moved(plan, table(now), "key", TABLE)) == expected


# -- 9: everything lands somewhere ---------------------------------------------------------------


SOMEBODY = {"a": {"surname": "Lee", "status": "Enabled", "email": None, "at": 0}}
PLAIN: dict[str, Any] = {
    "users": SOMEBODY,
    "later": {},
    "there": [],
    "refused": set(),
    "whole": True,
    "breaker": 50,
}

REFUSED: dict[str, Any] = {
    **PLAIN,
    "users": dict.fromkeys("abcdef", SOMEBODY["a"]),
    "refused": set("abcdef"),
    "breaker": 2,
}


@examples(60)
@example(**REFUSED, broken={}, orders=[Order()], removed=False, after="nothing", gone="close")
@example(
    **PLAIN,
    broken={"a": UNREADABLE},
    orders=[Order(), Order(full=True)],
    removed=False,
    after="resting",
    gone="close",
)
@example(
    **PLAIN,
    broken={},
    orders=[Order(), Order(sweep=True)],
    removed=True,
    after="nothing",
    gone="report",
)
@given(
    users=USERS,
    later=USERS,
    broken=st.dictionaries(KEYS, st.sampled_from([UNREADABLE, KEYLESS])),
    there=st.lists(
        st.tuples(st.sampled_from("abxy"), st.sampled_from(["a@x", None])),
        max_size=3,
        unique_by=lambda row: row[0],
    ),
    refused=st.sets(KEYS) | st.just(set("abcdefgh")),
    orders=st.lists(
        st.sampled_from([Order(), Order(full=True), Order(sweep=True)]), min_size=1, max_size=2
    ),
    whole=st.booleans(),
    removed=st.booleans(),
    after=st.sampled_from(["nothing", "discarded", "resting"]),
    breaker=st.sampled_from([2, 50]),
    gone=st.sampled_from(["close", "report"]),
)
def test_law_9_every_row_ends_in_exactly_one_outcome(
    users: dict[str, dict[str, Any]],
    later: dict[str, dict[str, Any]],
    broken: dict[str, str],
    there: list[tuple[str, str | None]],
    refused: set[str],
    orders: list[Order],
    whole: bool,
    removed: bool,
    after: str,
    breaker: int,
    gone: str,
) -> None:
    """Readable and not, in scope and not, matched or ambiguous, refused, gone, discarded: the
    counts add up (``run`` asserts it), and every record that was read is landed, in quarantine, or
    neither because it was not tried."""
    spec = SPEC.model_copy(
        update={"breaker": breaker, "scope": SPEC.scope.model_copy(update={"gone": gone})}
    )
    feed, store = (
        feed_of(users, broken={k: v for k, v in broken.items() if k in users}),
        STORES.fresh(),
    )
    hr = small_hr(2, [employee(f"H-{key}", None, email=mail) for key, mail in there])
    hr.refuses = lambda key: key.removeprefix("AP-") in refused
    hr.complete = whole
    for number, order in enumerate(orders):
        now = NOW + timedelta(minutes=number)
        # While nothing is loaded, accessplanit itself leaves out what is not in scope.
        left_out = "Inactive" if not len(store.known(spec.name)) and not order.sweep else None
        try:
            run(spec, feed, hr, store, order, now)
        except HrsyncError as error:
            assert "changes in a row" in str(error)  # noqa: PT017
            figures = store.runs(1)[0]["report"]
            assert figures["read"] + figures["reexamined"] == sum(figures["outcomes"].values())
        else:
            if order.full or order.sweep:
                keyed = [
                    k
                    for k, r in feed.records.items()
                    if feed.broken.get(k) != KEYLESS and r["status"] != left_out
                ]
                kept = [
                    key
                    for key in keyed
                    if any(e["status"] in ("open", "discarded") for e in store.entries_of(key))
                ]
                assert len(store.known(spec.name)) + len(kept) >= len(keyed)
        for entry in store.quarantined() if after == "discarded" else []:
            store.discard(entry["id"], "not wanted")
        if after == "resting":
            with store.engine.begin() as connection:
                connection.execute(quarantine.update().values(next_attempt=datetime(2030, 1, 1)))
        next_ = later if removed else {**users, **later}
        feed = feed_of(next_, broken={key: how for key, how in broken.items() if key in next_})


# -- 10: personal data stays where it is ---------------------------------------------------------

CANARY = "Xanthippe-Quimby"


@examples(40)
@given(
    count=st.integers(1, 4),
    broken=st.sampled_from([None, UNREADABLE, KEYLESS]),
    trouble=st.sampled_from(["none", "refused", "driver", "defect", "stale", "guard", "ambiguous"]),
    sweep=st.booleans(),
)
def test_law_10_no_report_reason_or_exception_tells_of_a_person(
    count: int, broken: str | None, trouble: str, sweep: bool
) -> None:
    """Whatever goes wrong: what leaves the store and the two sides holds no name, address or ID."""
    records = {
        f"{CANARY}-{n}": user(
            f"{CANARY}-{n}", surname=CANARY, email=f"{CANARY}@x" if trouble == "ambiguous" else None
        )
        for n in range(count)
    }
    feed, store, hr = Feed(records), STORES.fresh(), small_hr(2)
    if broken:
        feed.broken[f"{CANARY}-0"] = broken
    spec = (
        SPEC.model_copy(update={"guard": Guard(create=Limit(percent=1, absolute=0), population=0)})
        if trouble == "guard"
        else SPEC
    )

    def spoilt(entity: str, changes: pd.DataFrame) -> Any:
        raise (KeyError if trouble == "driver" else MemoryError)(
            f"bad value {changes['surname'].iloc[0]}"
        )

    if trouble == "refused":
        hr.refuses = lambda _: True
    elif trouble == "driver":
        hr.apply = spoilt  # type: ignore[method-assign]
    elif trouble == "defect":
        hr.population = lambda entity: {}[CANARY]  # type: ignore[method-assign]
    told = []
    try:
        report = run(spec, feed, hr, store, Order(sweep=sweep))
        told += [summary(report), json.dumps(asdict(report), default=str)]
    except HrsyncError as error:
        told += [
            str(error),
            repr(error),
            str(error.__cause__),
            str(error.__context__ if error.__suppress_context__ is False else ""),
        ]
    if trouble == "stale":
        _, plan = run_process(
            spec,
            World(feed, hr, store, "Europe/London", lambda: NOW),
            Order(mode="plan", full=True, keep=True),
            call=plainly,
        )
        assert plan.digest != replace(plan, salt=b"").digest, (
            "nobody can guess from it whom the plan is about"
        )
        with pytest.raises(StalePlan) as caught:
            run(
                spec, feed, hr, store, Order(approve=plan.digest if len(plan.changes) else "0" * 16)
            )
        told.append(str(caught.value))
    told += [json.dumps(row["report"], default=str) + str(row["reason"]) for row in store.runs(9)]
    assert CANARY not in "\n".join(told)
