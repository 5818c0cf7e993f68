"""The laws of the pure core, as properties."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flows import awards_to_hr, users_to_hr
from flows.catalogue import PROCESSES
from reconciliation import awards, guard, scope, watermark
from reconciliation.ask import Moment, columns, questions
from reconciliation.desired import with_siblings
from reconciliation.frame import arrow, empty, of, strings, utc, wall
from reconciliation.match import LINKS, by_rules
from reconciliation.plan import apply_to, closing, reconcile
from reconciliation.snapshot import REJECTED, Snapshot, merge
from reconciliation.spec import Clause, FieldMap, Guard, Limit, MatchRule, Scope
from reconciliation.tables import texts

COLUMNS = {"name": "text", "day": "day", "flag": "flag", "note": "text"}
KEYED = {"key": "text", **COLUMNS}
VALUES = st.tuples(
    st.sampled_from([None, "", "a", "b", "Ö"]),
    st.sampled_from([None, date(2026, 1, 1), date(2026, 1, 2)]),
    st.sampled_from([None, True, False]),
    st.sampled_from([None, "x"]),
)
SIDES = st.dictionaries(st.text("abcd", min_size=1, max_size=2), VALUES, max_size=12)


def side(rows: dict[str, tuple[object, ...]], seed: int = 0) -> pd.DataFrame:
    items = [(key, *values) for key, values in rows.items()]
    random.Random(seed).shuffle(items)
    return of(KEYED, items)


def content(frame: pd.DataFrame) -> set[tuple[object, ...]]:
    return set(zip(*(arrow(frame[name]).to_pylist() for name in KEYED), strict=True))


@given(source=SIDES, target=SIDES)
def test_after_a_perfect_apply_nothing_is_left_to_do(
    source: dict[str, tuple[object, ...]], target: dict[str, tuple[object, ...]]
) -> None:
    plan = reconcile(side(source), side(target), "key", COLUMNS, list(COLUMNS))
    after = apply_to(side(target), plan, "key", COLUMNS)
    again = reconcile(side(source), after, "key", COLUMNS, list(COLUMNS))
    assert len(again.changes) == 0
    assert content(apply_to(after, plan, "key", COLUMNS)) == content(after)
    expected = {**target, **source}
    assert content(after) == content(side(expected))


@given(source=SIDES, target=SIDES, one=st.integers(0, 9), other=st.integers(0, 9))
def test_the_order_of_rows_changes_nothing_not_even_the_digest(
    source: dict[str, tuple[object, ...]],
    target: dict[str, tuple[object, ...]],
    one: int,
    other: int,
) -> None:
    first = reconcile(side(source, one), side(target, other), "key", COLUMNS, list(COLUMNS))
    second = reconcile(side(source, other), side(target, one), "key", COLUMNS, list(COLUMNS))
    assert first.digest == second.digest
    assert first.counts() == second.counts()


@given(source=SIDES, target=SIDES)
def test_carried_fields_are_no_reason_to_write(
    source: dict[str, tuple[object, ...]], target: dict[str, tuple[object, ...]]
) -> None:
    compared = ["name", "day", "flag"]
    plan = reconcile(side(source), side(target), "key", COLUMNS, compared)
    changed = {k for k in source.keys() & target.keys() if source[k][:3] != target[k][:3]}
    assert set(plan.changes.loc[plan.changes["kind"] == "update", "key"]) == changed
    named = {f for fields in plan.changes["fields"] for f in fields.split(",") if f}
    assert "note" not in named


def test_a_digest_tells_null_from_blank_and_one_value_from_another() -> None:
    digests = {
        reconcile(
            side({"k": (name, None, None, None)}), side({}), "key", COLUMNS, list(COLUMNS)
        ).digest
        for name in (None, "", "a", "b")
    }
    assert len(digests) == 4


def test_an_incomplete_target_creates_nothing() -> None:
    plan = reconcile(
        side({"new": (None,) * 4, "old": ("a", None, None, None)}),
        side({"old": (None,) * 4}),
        "key",
        COLUMNS,
        ["name"],
        doubtful=texts(["new"]),
    )
    assert plan.counts() == {"create": 0, "update": 1, "close": 0}
    assert plan.withheld.tolist() == ["new"]


def test_closing_happens_once() -> None:
    nothing = reconcile(side({}), side({}), "key", COLUMNS, ["name"])
    leavers = side({"k": ("Enabled", None, None, None), "gone": ("Inactive", None, None, None)})
    plan = closing(nothing, leavers, "key", COLUMNS, {"name": "Inactive"}, "left")
    assert plan.changes[["kind", "key", "fields"]].to_numpy().tolist() == [["close", "k", "name"]]
    after = apply_to(leavers, plan, "key", COLUMNS)
    assert len(closing(nothing, after, "key", COLUMNS, {"name": "Inactive"}, "left").changes) == 0


# -- awards --------------------------------------------------------------------------------------

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TODAY = date(2026, 11, 23)
LATER = datetime(2026, 11, 23, 12, tzinfo=UTC)
FACTS = {"k": "text", **awards.FACTS}
AWARD = st.tuples(
    st.sampled_from("aaab"),
    st.sampled_from("xxxy"),
    st.sampled_from(["Completed"] * 5 + ["Target", "In Progress", "on hold"]),
    st.integers(-800, 0),
    st.one_of(st.none(), st.integers(-100, 200)),
    st.sampled_from([None] * 7 + ["revoked"]),
)


def award_rows(
    drawn: list[tuple[str, str, str, int, int | None, str | None]],
) -> list[tuple[object, ...]]:
    return [
        (
            f"k{i}",
            holder,
            award,
            status,
            TODAY + timedelta(passed),
            None if until is None else TODAY + timedelta(until),
            state,
        )
        for i, (holder, award, status, passed, until, state) in enumerate(drawn)
    ]


def stated(rows: list[tuple[object, ...]], found: pd.DataFrame) -> dict[object, tuple[str, object]]:
    """``awards.states`` by key, with ``None`` for no successor."""
    by = found["superseded_by"].astype(object).where(found["superseded_by"].notna(), None)
    return {
        row[0]: each for row, each in zip(rows, zip(found["state"], by, strict=True), strict=True)
    }


def plainly(rows: list[tuple[object, ...]]) -> dict[object, tuple[str, object]]:
    """The same rules, one row at a time."""
    found: dict[object, tuple[str, object]] = {}
    for key, holder, award, status, _passed, until, state in rows:
        if state == "revoked":
            found[key] = ("revoked", None)
        elif status != "Completed":
            found[key] = (
                {"Target": "targeted", "In Progress": "in_progress", "on hold": "on_hold"}[
                    str(status)
                ],
                None,
            )
        else:
            mine = [r for r in rows if r[1:4] == (holder, award, "Completed") and r[6] != "revoked"]
            mine.sort(key=lambda r: (r[4], r[5] or date.max, r[0]))
            place = [r[0] for r in mine].index(key)
            if place + 1 < len(mine):
                found[key] = ("superseded", mine[place + 1][0])
            elif until is None or until > TODAY + timedelta(90):  # type: ignore[operator]
                found[key] = ("achieved", None)
            else:
                found[key] = ("expired" if until < TODAY else "expiring", None)  # type: ignore[operator]
    return found


@given(st.lists(AWARD, min_size=2, max_size=14), st.randoms())
def test_states_equal_a_plain_telling_of_the_rules(
    drawn: list[tuple[str, str, str, int, int | None, str | None]], dice: random.Random
) -> None:
    rows = award_rows(drawn)
    expected = plainly(rows)
    dice.shuffle(rows)
    found = awards.states(of(FACTS, rows), "k", TODAY, 90)
    assert stated(rows, found) == expected
    assert set(found["state"]) <= set(awards.STATES)


def test_each_person_and_award_is_a_group_of_its_own() -> None:
    rows: list[tuple[object, ...]] = [
        (
            f"{person}-{kind}-{year}",
            f"E{person}",
            f"A{kind}",
            "Completed",
            date(year, 1, 1),
            None,
            None,
        )
        for person in range(5)
        for kind in range(5)
        for year in (2024, 2025)
    ]
    assert stated(rows, awards.states(of(FACTS, rows), "k", TODAY, 90)) == plainly(rows)


@given(st.lists(AWARD, max_size=10), st.integers(1, 400))
def test_time_alone_changes_only_what_is_due(
    drawn: list[tuple[str, str, str, int, int | None, str | None]], days: int
) -> None:
    """Whatever changes its state between two days, untouched, expires in one of the ranges that are
    asked for."""
    rows = award_rows(drawn)
    later = TODAY + timedelta(days)
    frame = of(FACTS, rows)
    before, after = (
        awards.states(frame, "k", TODAY, 90)["state"].tolist(),
        awards.states(frame, "k", later, 90)["state"].tolist(),
    )
    ranges = awards.due(TODAY, later, 90)
    for row, was, now in zip(rows, before, after, strict=True):
        if was != now:
            assert any(low <= row[5] < high for low, high in ranges)  # type: ignore[operator]
    assert awards.due(later, later, 90) == []
    assert awards.due(None, later, 90) == []


def test_a_newer_completion_supersedes_the_row_that_hr_has() -> None:
    spec = awards_to_hr.SPEC
    wanted_columns = {
        "award_record_id": "text",
        "source_key": "text",
        **{k: v for k, v in spec.columns().items() if k not in ("state", "superseded_by")},
    }
    values = dict.fromkeys(wanted_columns)
    new = {
        **values,
        "award_record_id": "n",
        "source_key": "n",
        "employee_id": "e",
        "award_id": "a",
        "status": "Completed",
        "completed_on": TODAY,
    }
    target_columns = {"award_record_id": "text", **spec.columns()}
    old = {
        **dict.fromkeys(target_columns),
        "award_record_id": "o",
        "employee_id": "e",
        "award_id": "a",
        "status": "Completed",
    }
    old |= {"completed_on": TODAY - timedelta(700), "state": "expired"}
    other = {**old, "award_record_id": "p", "award_id": "b"}
    target = of(target_columns, [old.values(), other.values()])  # type: ignore[list-item]
    both = with_siblings(spec, of(wanted_columns, [new.values()]), target, TODAY, target.iloc[:0])  # type: ignore[list-item]
    assert dict(zip(both["award_record_id"], both["state"], strict=True)) == {
        "n": "achieved",
        "o": "superseded",
    }
    plan = reconcile(both, target, "award_record_id", spec.columns(), spec.compared())
    assert plan.changes.loc[
        plan.changes["kind"] == "update", ["key", "fields", "superseded_by"]
    ].to_numpy().tolist() == [["o", "state,superseded_by", "n"]]


def test_contradictions_are_rejected_and_neighbours_stay() -> None:
    kinds = {
        "id": "text",
        "status": "text",
        "completed_on": "day",
        "expires_on": "day",
        "hash": "hash",
    }
    rows = [
        ("a", "Completed", None, None, 1),
        ("b", "Completed", TODAY, TODAY - timedelta(1), 2),
        ("c", "Completed", TODAY, TODAY, 3),
        ("d", "Target", None, None, 4),
    ]
    read = awards.without_contradictions("id", Snapshot(of(kinds, rows), read=4))
    assert read.frame["id"].tolist() == ["c", "d"]
    assert read.rejected[["key", "field"]].to_numpy().tolist() == [
        ["a", "completed_on"],
        ["b", "expires_on"],
    ]


# -- matching ------------------------------------------------------------------------------------

PEOPLE = {"id": "text", "external_id": "text", "email": "text"}
EMPLOYEES = {
    "employee_id": "text",
    "accessplanit_id": "text",
    "employee_number": "text",
    "email": "text",
}


def match(
    people: list[tuple[object, ...]],
    employees: list[tuple[object, ...]],
    links: Sequence[tuple[str, str]] = (),
) -> tuple[dict[str, object], dict[str, str]]:
    found = by_rules(
        users_to_hr.SPEC, of(PEOPLE, people), of({}, []), of(EMPLOYEES, employees), of(LINKS, links)
    )
    return dict(zip([str(p[0]) for p in people], strings(found.keys), strict=True)), dict(
        zip(found.held["key"], found.held["reason"], strict=True)
    )


def test_all_rules_count_and_links_come_first() -> None:
    employees = [
        ("1", None, "E1", "a@x.example"),
        ("2", None, None, "B@x.example "),
        ("3", "u3", "E3", None),
        ("4", None, "E4", None),
    ]
    people = [
        ("u1", "E1", "elsewhere@x.example"),
        ("u2", None, "b@x.example"),
        ("u3", None, None),
        ("u4", "E1", None),
        ("u5", "E9", None),
        ("u6", None, None),
    ]
    keys, held = match(people, employees, [("u4", "4")])
    assert keys == {"u1": "1", "u2": "2", "u3": "3", "u4": "4", "u5": "E9", "u6": "AP-u6"}
    assert held == {}


def test_ambiguity_is_held() -> None:
    same = [("u1", "E1", None), ("u2", "E1", None), ("u3", None, "c@x.example")]
    twins = [("1", None, None, "c@x.example"), ("2", None, None, "C@x.example")]
    keys, held = match(same, twins)
    assert set(held) == {"u1", "u2", "u3"}
    assert set(keys.values()) == {None}
    taken = [("7", None, "E7", None)]
    keys, held = match([("u8", "E7", None)], taken, [("other", "7")])
    assert keys["u8"] is None
    assert "linked to another user" in held["u8"]
    _, held = match([("u8", "E8", None)], [], [("other", "E8")])
    assert held == {"u8": "HR has this key for somebody else"}, (
        "though the row itself is gone from HR"
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["E1", "E2", None]), st.sampled_from(["a@x", "A@x", "b@x", None])
        ),
        max_size=6,
    ),
    st.lists(
        st.tuples(st.sampled_from(["E1", "E2", "E3", None]), st.sampled_from(["a@x", "b@x", None])),
        max_size=6,
    ),
)
def test_no_two_users_lead_to_one_employee(
    people: list[tuple[str | None, str | None]], employees: list[tuple[str | None, str | None]]
) -> None:
    users = [(f"u{i}", *p) for i, p in enumerate(people)]
    there = [(f"h{i}", None, *e) for i, e in enumerate(employees)]
    keys, held = match(users, there)
    given = [k for k in keys.values() if k is not None]
    assert len(given) == len(set(given))
    assert {u for u, k in keys.items() if k is None} == set(held)


# -- scope, windows, guards ----------------------------------------------------------------------


def test_scope_ignores_case_and_spaces_and_judges_targets_by_day() -> None:
    rows = of(
        {"status": "text", "target_date": "day"},
        [("in progress", None), ("TARGET", TODAY), ("Target", TODAY + timedelta(1)), (None, None)],
    )
    target = Clause(column="status", values=("Target",))
    both = Scope(
        clauses=(
            Clause(column="status", values=("InProgress", "Target")),
            Clause(column="target_date", op="after", when=target),
        )
    )
    assert scope.in_scope(rows, both, TODAY, NOW).tolist() == [True, False, True, False]
    assert scope.pushdown(both, False) == both.clauses[:1]
    assert scope.pushdown(both.model_copy(update={"leaves": "close"}), False) == ()
    assert scope.pushdown(both.model_copy(update={"leaves": "follow"}), True) == both.clauses[:1], (
        "what is not there cannot leave"
    )
    with pytest.raises(ValidationError, match="names no value"):
        Clause(column="status")


def test_only_needed_fields_are_asked_for() -> None:
    asked = columns(users_to_hr.SPEC)
    assert not {"dob", "ni_number"} & set(asked)
    assert {"id", "updated_at", "email", "status"} <= set(asked)


def test_windows_overlap_and_a_watermark_never_passes_what_was_not_read() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    mark = watermark.Watermark(noon, TODAY)
    asked = watermark.window(mark, timedelta(hours=2))
    assert asked.since == noon - timedelta(hours=2)
    assert watermark.window(mark, timedelta(hours=2), full=True).since is None
    rows = of({"updated_at": "moment"}, [(noon + timedelta(hours=1),)])
    forward = watermark.advance(mark, Snapshot(rows), "updated_at", asked, LATER, TODAY, False)
    assert forward.moment == noon + timedelta(hours=1)
    assert (
        watermark.advance(
            mark, Snapshot(rows, complete=False), "updated_at", asked, LATER, TODAY, False
        ).moment
        == noon
    )
    assert watermark.advance(
        mark, Snapshot(rows), "updated_at", asked, LATER, TODAY, True
    ) == watermark.Watermark(noon, TODAY, True)
    poisoned = of({"updated_at": "moment"}, [(datetime(2199, 1, 1, tzinfo=UTC),)])
    assert (
        watermark.advance(mark, Snapshot(poisoned), "updated_at", asked, LATER, TODAY, False).moment
        == LATER
    )
    late = watermark.window(mark, timedelta(0), since=noon + timedelta(minutes=30))
    assert (
        watermark.advance(mark, Snapshot(rows), "updated_at", late, LATER, TODAY, False).moment
        == noon
    ), "rows before `since` were not read"
    older = of({"updated_at": "moment"}, [(noon - timedelta(hours=1),)])
    assert (
        watermark.advance(mark, Snapshot(older), "updated_at", asked, LATER, TODAY, False).moment
        == noon
    )


def test_questions_cover_the_window_the_due_and_the_quarantined() -> None:
    mark = watermark.Watermark(datetime(2026, 3, 1, tzinfo=UTC), TODAY - timedelta(1))
    asks = questions(
        awards_to_hr.SPEC,
        watermark.window(mark, timedelta(0)),
        mark,
        Moment(TODAY, NOW),
        ["a"],
        "updated_at",
        False,
    )
    assert [a.skip_known for a in asks] == [True, False, False, False, False], (
        "window, expiry (2), completion, quarantined"
    )
    assert asks[-1].keys == ("a",)
    (whole,) = questions(
        users_to_hr.SPEC,
        watermark.window(mark, timedelta(0)),
        mark,
        Moment(TODAY, NOW),
        [],
        None,
        False,
    )
    assert whole.range is None


@pytest.mark.parametrize(
    ("hour", "moment"),
    [
        ("2026-10-25T01:30:00", "2026-10-25T00:30:00Z"),
        ("2026-03-29T01:30:00", "2026-03-29T01:00:00Z"),
        ("2026-07-01T12:00:00", "2026-07-01T11:00:00Z"),
    ],
)
def test_wall_time_of_london(hour: str, moment: str) -> None:
    read = utc(pa.array([datetime.fromisoformat(hour)], pa.timestamp("us")), "Europe/London")
    assert read[0].as_py() == datetime.fromisoformat(moment)
    assert wall(datetime(2026, 7, 1, 11, tzinfo=UTC), "Europe/London") == datetime(2026, 7, 1, 12)


@given(
    st.integers(0, 400),
    st.integers(0, 400),
    st.floats(1, 99),
    st.integers(0, 100),
    st.sampled_from(["create", "update", "close"]),
)
def test_a_guard_needs_percent_and_absolute_and_a_population(
    rows: int, population: int, percent: float, absolute: int, kind: str
) -> None:
    limit = Limit(percent=percent, absolute=absolute)
    chosen = Guard(create=limit, update=limit, close=limit, population=50)
    share = kind != "create" if population < 50 else rows * 100 > percent * population
    half = kind == "close" and rows >= guard.FEW and rows * 2 >= population
    assert bool(guard.breaches({kind: rows}, population, chosen, side="HR")) == (
        half or (rows > absolute and share)
    )


@pytest.mark.parametrize(
    ("counts", "answered_for", "vanished", "loaded", "stopped"),
    [
        ({"update": 35}, 35, 0, 35, "35 of 35 rows to update in HR: more than 20"),
        ({"close": 21}, 21, 21, 21, "21 of 21 rows to close in HR: half or more of them"),
        (
            {"close": 8},
            2000,
            8,
            8,
            "8 of the 8 records that were loaded are missing from the source",
        ),
        ({"close": 2}, 4, 2, 4, None),
        ({"close": 5}, 100, 5, 100, None),
        ({"close": 1}, 1, 1, 1, "1 of the 1 records that were loaded are missing from the source"),
    ],
)
def test_law_16_a_guard_counts_what_the_process_answers_for(
    counts: dict[str, int], answered_for: int, vanished: int, loaded: int, stopped: str | None
) -> None:
    limit = Limit(percent=10, absolute=20)
    chosen = Guard(create=limit, update=limit, close=limit, population=50)
    reasons = guard.breaches(
        counts,
        100_000,
        chosen,
        answered_for=answered_for,
        vanished=vanished,
        loaded=loaded,
        side="HR",
    )
    assert bool(reasons) == bool(stopped)
    assert stopped is None or stopped in reasons


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    st.integers(0, 7200 * 10),
)
@example(datetime(2026, 10, 25, 0, 50, tzinfo=UTC), 9000)
def test_no_later_instant_has_a_wall_time_before_the_one_that_is_asked_from(
    since: datetime, tenths: int
) -> None:
    later = since + timedelta(seconds=tenths / 10)
    assert wall_of(later) >= wall(since, "Europe/London") >= wall_of(since) - timedelta(hours=1)


@pytest.mark.parametrize(
    ("emptied", "left", "ours", "silent", "stops"),
    [
        (9, 1, 9, (), False),
        (10, 1, 20, (), True),
        (10, 1, 21, (), False),
        (4, 0, 100, (), False),
        (5, 0, 100, (), True),
        (1, 0, 100, ("email",), True),
        (1, 0, 100, ("phone",), False),
    ],
)
def test_a_column_that_a_source_may_have_stopped_sending_stops_the_plan(
    emptied: int, left: int, ours: int, silent: tuple[str, ...], stops: bool
) -> None:
    guarded = {"answered_for": ours, "emptied": {"email": (emptied, left)}, "silent": silent}
    found = guard.breaches({"update": 30}, 500, Guard(), **guarded, side="HR")  # type: ignore[arg-type]
    assert [
        text.startswith(f"email would be emptied in {emptied} of {ours} rows in HR")
        for text in found
    ] == ([True] if stops else [])


def test_a_plan_counts_what_it_empties() -> None:
    columns = {"employee_id": "text", "email": "text", "phone": "text"}
    before = of(columns, [("1", "a@x.example", "1"), ("2", None, "2"), ("3", "c@x.example", "3")])
    after = of(columns, [("1", None, "1"), ("2", None, "9"), ("3", None, None), ("4", None, None)])
    plan = reconcile(
        after, before, "employee_id", {"email": "text", "phone": "text"}, ["email", "phone"]
    )
    assert plan.emptied() == {"email": (2, 0), "phone": (1, 2)}


def wall_of(moment: datetime) -> datetime:
    return moment.astimezone(ZoneInfo("Europe/London")).replace(tzinfo=None)


def test_specs_are_strict() -> None:
    with pytest.raises(ValidationError, match="extra"):
        FieldMap(source="a", target="b", compares=False)  # type: ignore[call-arg]
    data = users_to_hr.SPEC.model_dump()
    with pytest.raises(ValidationError, match="several fields"):
        type(users_to_hr.SPEC)(**{**data, "fields": [*data["fields"], data["fields"][0]]})
    with pytest.raises(ValidationError, match="identifies the row"):
        type(users_to_hr.SPEC)(**{**data, "match": (), "entity_key": "surname"})
    with pytest.raises(
        ValidationError, match=r"matched by \['shoe_size'\], which no field is mapped to"
    ):
        type(users_to_hr.SPEC)(**{**data, "match": [{"source": "email", "target": "shoe_size"}]})


def test_a_fingerprint_follows_mapping_and_scope_and_not_the_guard() -> None:
    spec = users_to_hr.SPEC
    assert (
        spec.fingerprint() == spec.model_copy(update={"guard": Guard(population=1)}).fingerprint()
    )
    assert spec.fingerprint() != PROCESSES["users_to_hr"].scoped(companies=["X"]).fingerprint()
    assert spec.fingerprint() == PROCESSES["users_to_hr"].scoped().fingerprint()


# -- snapshots -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=8), st.integers(1, 3)
)
def test_merging_keeps_the_newest_of_each_key_however_it_was_paged(
    rows: list[tuple[str, int]], cut: int
) -> None:
    kinds = {"id": "text", "updated_at": "moment", "hash": "hash"}
    made = [
        (key, datetime(2026, 1, 1 + version, tzinfo=UTC), i)
        for i, (key, version) in enumerate(rows)
    ]
    parts = [Snapshot(of(kinds, made[i::cut]), read=len(made[i::cut])) for i in range(cut)]
    whole = merge(parts, "id", "updated_at")
    newest = {key: max(v for k, v in rows if k == key) for key, _ in rows}
    assert {r.id: r.updated_at.day - 1 for r in whole.frame.itertuples()} == newest
    assert whole.read == len(rows)
    assert whole.duplicates == len(rows) - len(newest)


def test_a_record_read_well_once_is_not_rejected_for_a_broken_read() -> None:
    kinds = {"id": "text", "hash": "hash"}
    good = Snapshot(of(kinds, [("a", 1)]), read=1)
    bad = Snapshot(
        empty(kinds),
        rejected=of(REJECTED, [("a", "f", "r", "raw", 2), ("b", "f", "r", "raw", 3)]),
        read=2,
    )
    whole = merge([bad, good], "id", None)
    assert whole.rejected["key"].tolist() == ["b"]
    assert arrow(whole.frame["id"]).to_pylist() == ["a"]


def test_match_rules_are_the_guides() -> None:
    assert users_to_hr.SPEC.match == (
        MatchRule(source="id", target="accessplanit_id"),
        MatchRule(source="external_id", target="employee_id"),
        MatchRule(source="external_id", target="employee_number"),
        MatchRule(source="email", target="email", weak=True),
    )
