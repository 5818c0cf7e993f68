"""One rule for "holds the award": role compliance and the states of awards agree, on every day and
in every order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pandas as pd
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.store.schema import link
from flows import awards_to_hr
from flows._run import Order
from reconciliation.ask import Ask
from reconciliation.awards import FACTS, begun, is_due, states, without_contradictions
from reconciliation.frame import empty, of
from reconciliation.job_roles import (
    ASSIGNMENTS,
    AWARDS,
    COMPLIANCE,
    DOUBTED,
    REQUIREMENTS,
    TARGETS,
    as_published,
    assigned,
    compliance,
    counted,
)
from reconciliation.ports import Hashes
from reconciliation.snapshot import Snapshot
from reconciliation.spec import Guard

from .test_laws import examples
from .worlds import NOW, STORES, UNREADABLE, Feed, Hr, Record, award, run

DAY = date(2026, 11, 23)
DAYS = st.integers(-6, 6).map(lambda n: DAY + timedelta(days=60 * n))
RECORDS = st.lists(
    st.tuples(
        st.sampled_from(["Completed", "In Progress"]),
        DAYS,
        st.none() | DAYS,
        st.sampled_from([None, "revoked"]),
    ),
    max_size=6,
)


def compliance_of(awards: pd.DataFrame, day: date) -> str:
    needed = of(REQUIREMENTS, [("first-aid", "First aid", "R1", "Fitter")])
    who = of(ASSIGNMENTS, [("E1", "u1", "R1", None, None)])
    return str(
        compliance(needed, who, awards[list(AWARDS)], empty(TARGETS), day, 90)["state"].iloc[0]
    )


@examples(30)
@given(records=RECORDS, day=DAYS)
def test_law_6_compliance_and_the_states_of_awards_agree(
    records: list[tuple[str, date, date | None, str | None]], day: date
) -> None:
    rows = [
        (f"a{n}", "E1", "first-aid", status, done, until, state)
        for n, (status, done, until, state) in enumerate(records)
    ]
    awards = of({"key": "text", **FACTS}, rows)
    found = {str(state) for state in states(awards, "key", day, 90)["state"]} & {
        "achieved",
        "expiring",
        "expired",
    }
    expected = {"achieved": "held", "expiring": "expiring", "expired": "expired"}
    assert len(found) <= 1
    assert compliance_of(awards, day) == (expected[found.pop()] if found else "missing")
    assert compliance_of(awards.iloc[::-1].reset_index(drop=True), day) == compliance_of(
        awards, day
    )


def test_a_completion_counts_from_its_day_on() -> None:
    rows = [
        ("old", "E1", "first-aid", "Completed", date(2025, 1, 1), None, None),
        ("new", "E1", "first-aid", "Completed", DAY, None, None),
    ]
    awards = of({"key": "text", **FACTS}, rows)
    before = states(awards, "key", DAY - timedelta(days=1), 90).fillna("none").to_numpy().tolist()
    assert before == [["achieved", "none"], ["in_progress", "none"]]
    after = states(awards, "key", DAY, 90).fillna("none").to_numpy().tolist()
    assert after == [["superseded", "new"], ["achieved", "none"]]
    ((low, high),) = begun(DAY - timedelta(days=1), DAY)
    assert low <= DAY < high, "its record is read again on its day"
    assert begun(DAY, DAY) == []


NEAR = st.integers(-12, 12).map(lambda n: DAY + timedelta(days=n))


@examples(200)
@example(done=DAY - timedelta(days=9), valid=9, previous=DAY, today=DAY + timedelta(days=1), soon=0)
@example(
    done=DAY - timedelta(days=9), valid=10, previous=DAY, today=DAY + timedelta(days=1), soon=0
)
@example(
    done=DAY - timedelta(days=9), valid=14, previous=DAY - timedelta(days=1), today=DAY, soon=5
)
@given(
    done=NEAR,
    valid=st.none() | st.integers(0, 20),
    previous=NEAR,
    today=NEAR,
    soon=st.integers(0, 5),
)
def test_law_6_a_row_is_due_when_the_day_alone_gives_it_another_state_and_at_no_other_time(
    done: date, valid: int | None, previous: date, today: date, soon: int
) -> None:
    until = None if valid is None else done + timedelta(days=valid)
    rows = of({"key": "text", **FACTS}, [("a", "E1", "first-aid", "Completed", done, until, None)])
    (before,), (after,) = (states(rows, "key", day, soon)["state"] for day in (previous, today))
    is_now_due = bool(is_due(rows, previous, today, soon).iloc[0])
    if previous >= today:
        assert not is_now_due
    elif done <= previous:
        assert is_now_due == (before != after)
    else:
        assert is_now_due or done > today, "its day has come"


def test_an_award_that_contradicts_itself_is_rejected() -> None:
    facts = {
        "id": "text",
        "status": "text",
        "completed_on": "day",
        "expires_on": "day",
        "hash": "hash",
    }
    rows = [
        ("undated", "Completed", None, None, 1),
        ("backwards", "Completed", DAY, DAY - timedelta(days=1), 2),
        ("good", "Completed", DAY, DAY, 3),
    ]
    found = without_contradictions("id", Snapshot(of(facts, rows)))
    assert found.frame["id"].tolist() == ["good"]
    assert found.rejected[["key", "field"]].to_numpy().tolist() == [
        ["undated", "completed_on"],
        ["backwards", "expires_on"],
    ]


def test_a_row_of_compliance_tells_who_needs_what_and_as_of_which_day() -> None:
    needed = of(REQUIREMENTS, [("A1", "First aid", "R1", "Fitter")])
    who = of(ASSIGNMENTS, [("E1", "u1", "R1", None, None)])
    aims = [
        ("E1", "A1", "Target", DAY + timedelta(days=9)),
        ("E1", "A1", "Target", DAY + timedelta(days=5)),
    ]
    ((row,)) = (
        compliance(needed, who, empty(AWARDS), of(TARGETS, aims), DAY, 90)
        .astype(object)
        .to_numpy()
        .tolist()
    )
    assert row[:8] == ["E1~R1~A1", "E1", "u1", "R1", "Fitter", "A1", "First aid", "targeted"]
    assert row[9:] == [DAY + timedelta(days=5), DAY]


def test_an_assignment_holds_from_its_first_day_and_before_its_last() -> None:
    day, before, after = DAY, DAY - timedelta(days=1), DAY + timedelta(days=1)
    spans = {
        "open": (None, None),
        "now": (day, after),
        "ended": (before, day),
        "to come": (after, None),
        "over": (None, before),
    }
    rows = of(
        ASSIGNMENTS, [(name, "u", "R1", begins, ends) for name, (begins, ends) in spans.items()]
    )
    assert assigned(rows, day)["employee_id"].tolist() == ["open", "now"]


def test_people_in_doubt_keep_what_was_published_of_them() -> None:
    def row(who: str, role: str, state: str) -> tuple[Any, ...]:
        return (
            f"{who}~{role}~first-aid",
            who,
            f"u{who}",
            role,
            "Fitter",
            "first-aid",
            "First aid",
            state,
            None,
            None,
            DAY,
        )

    found = of(
        COMPLIANCE,
        [row("E1", "R1", "missing"), row("E2", "R1", "missing"), row("E2", "R2", "missing")],
    )
    published = of(
        COMPLIANCE,
        [
            row("E1", "R1", "held"),
            row("E2", "R1", "held"),
            row("E2", "R9", "not required"),
            row("E2", "R8", "held"),
        ],
    )
    told = as_published(
        found, published, of(DOUBTED, [("E2", "because"), ("E2", "of another row")])
    )
    seen = {
        key: (state, doubt)
        for key, state, doubt in told[["id", "state", "doubt"]]
        .astype(object)
        .where(told.notna(), None)
        .itertuples(index=False)
    }
    assert seen == {
        "E1~R1~first-aid": ("missing", None),
        "E2~R1~first-aid": ("held", "because"),
        "E2~R2~first-aid": ("unknown", "because"),
        "E2~R8~first-aid": ("held", "because"),
    }


def test_the_counts_by_job_role_tell_how_many_comply() -> None:
    states_ = ["held", "held", "expiring", "missing"]
    rows = [
        (f"E{n}~R1~a", f"E{n}", f"u{n}", "R1", "Fitter", "a", "A", state, None, None, DAY)
        for n, state in enumerate(states_)
    ]
    assert counted(of(COMPLIANCE, rows)) == [
        {"job role": "Fitter", "held": 2, "expiring": 1, "missing": 1, "compliant": "75 %"}
    ]
    nameless = [(*row[:4], None, *row[5:]) for row in rows]
    assert [row["job role"] for row in counted(of(COMPLIANCE, nameless))] == ["R1"], (
        "a role without a label is counted too"
    )


# -- random histories of awards ------------------------------------------------------------------

PEOPLE = {"u1": "E1", "u2": "E2"}
KINDS = ("first-aid", "fire-drill")
UNLIMITED = awards_to_hr.SPEC.model_copy(
    update={"guard": Guard(create=None, update=None, close=None)}
)
DATES = st.tuples(st.integers(-400, 120), st.none() | st.integers(0, 400))
"""Days from today to the completion, and from there to the expiry."""
FACTS_OF = st.fixed_dictionaries(
    {
        "user_id": st.sampled_from(sorted(PEOPLE)),
        "award_id": st.sampled_from(KINDS),
        "status": st.sampled_from(
            ["Completed", "Completed", "Completed", "In Progress", "On Hold"]
        ),
        "dates": DATES,
    }
)
EVENTS = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(["put", "put", "break", "mend", "delete"]),
        FACTS_OF,
    ),
    max_size=3,
)
HISTORIES = st.lists(st.tuples(st.integers(1, 150), EVENTS, st.booleans()), min_size=2, max_size=4)
"""Some runs: days since the one before, what happens until then, and whether the run is a sweep."""
OTHERS = Hr().tables["awards"].reindex(range(60)).assign(employee_id="E9", state="achieved")
OTHERS = OTHERS.assign(award_record_id=[f"o{n}" for n in range(60)], expires_on=NOW.date()).astype(
    Hr().tables["awards"].dtypes
)


class Awards(Feed):
    """A feed of awards whose people can all be seen."""

    def read(
        self,
        feed: str,
        columns: Sequence[str],
        custom: Sequence[str],
        ask: Ask,
        known: Hashes,
        seed: str,
    ) -> Snapshot:
        if feed == "User":
            return Snapshot(
                of({"id": "text", "hash": "hash"}, [(key, 0) for key in ask.keys or ()])
            )
        return super().read(feed, columns, custom, ask, known, seed)


def happen(feed: Awards, key: str, what: str, facts: Mapping[str, Any], now: datetime) -> None:
    """One event; a change of a record has its moment."""
    if what == "put":
        (after, valid), more = (
            facts["dates"],
            {name: facts[name] for name in ("user_id", "award_id", "status")},
        )
        done = now.date() + timedelta(days=after)
        until = None if valid is None else done + timedelta(days=valid)
        feed.records[key] = award(
            key, "", **more, completed_on=done, expires_on=until, updated_at=now
        )
        feed.broken.pop(key, None)
    elif what == "delete":
        feed.records.pop(key, None)
        feed.broken.pop(key, None)
    elif key in feed.records:
        feed.records[key] = feed.records[key] | {"updated_at": now}
        feed.broken = {k: v for k, v in feed.broken.items() if k != key} | (
            {key: UNREADABLE} if what == "break" else {}
        )


def expected(shown: dict[str, Record], revoked: set[str], day: date) -> dict[str, str]:
    """The state of each record that was ever read, in a few plain lines."""
    groups: dict[tuple[str, str], list[tuple[date, date, str]]] = {}
    found = {}
    for key, record in shown.items():
        found[key] = {"On Hold": "on_hold"}.get(record["status"], "in_progress")
        if key in revoked:
            found[key] = "revoked"
        elif record["status"] == "Completed" and record["completed_on"] <= day:
            group = groups.setdefault((record["user_id"], record["award_id"]), [])
            group.append((record["completed_on"], record["expires_on"] or date.max, key))
    for group in groups.values():
        *earlier, (_, until, latest) = sorted(group)
        found |= {key: "superseded" for _, _, key in earlier}
        found[latest] = (
            "expired"
            if until < day
            else "expiring"
            if until <= day + timedelta(days=90) and until < date.max
            else "achieved"
        )
    return found


def facts(after: int, valid: int | None = None, **more: str) -> dict[str, Any]:
    return {
        "user_id": "u1",
        "award_id": "first-aid",
        "status": "Completed",
        "dates": (after, valid),
    } | more


LAPSES, MOVES = facts(-300, 310), [("a", "put", facts(-300)), ("b", "put", facts(-200))]


@examples(5)
@example(
    history=[
        (1, [("a", "put", LAPSES)], False),
        (1, [("a", "break", LAPSES)], False),
        (20, [], False),
    ]
)
@example(
    history=[
        (1, [("a", "put", LAPSES)], False),
        (1, [("a", "break", LAPSES)], False),
        (20, [], True),
    ]
)
@example(
    history=[
        (1, [("a", "put", facts(9))], False),
        (1, [("a", "delete", LAPSES)], False),
        (20, [], False),
    ]
)
@example(
    history=[(1, MOVES, False), (1, [("b", "put", facts(-200, award_id="fire-drill"))], False)]
)
@example(history=[(1, MOVES, False), (1, [("b", "put", facts(-200, user_id="u2"))], False)])
@given(history=HISTORIES)
def test_law_6_awards_and_compliance_follow_from_the_history_on_every_day(
    history: list[tuple[int, list[Any], bool]],
) -> None:
    feed, hr, store = Awards({}), Hr(), STORES.fresh()
    # Rows of other people, which nobody here has made: HR is too large to be read whole.
    hr.tables["awards"] = OTHERS
    with store.engine.begin() as connection:
        links = [
            {"entity": "employees", "source_key": u, "target_key": e, "since": datetime(2026, 1, 1)}
            for u, e in PEOPLE.items()
        ]
        connection.execute(link.insert(), links)
    shown: dict[str, Record] = {}
    revoked: set[str] = set()
    now = NOW
    for days, events, sweep in history:
        now += timedelta(days=days)
        for key, what, facts in events:
            happen(feed, key, what, facts, now)
        run(UNLIMITED, feed, hr, store, Order(sweep=sweep), now)
        read = {key: record for key, record in feed.records.items() if key not in feed.broken}
        shown |= read
        revoked = (revoked | (shown.keys() - feed.records.keys() if sweep else set())) - read.keys()
        wanted = expected(shown, revoked, now.date())
        rows = hr.tables["awards"]
        assert rows[rows["employee_id"] == "E9"].equals(OTHERS)
        rows = rows[rows["employee_id"] != "E9"]
        assert dict(zip(rows["award_record_id"], rows["state"], strict=True)) == wanted
        for user, person in PEOPLE.items():
            for kind in KINDS:
                group = {
                    wanted[k]
                    for k, r in shown.items()
                    if (r["user_id"], r["award_id"]) == (user, kind)
                }
                current = group & {"achieved", "expiring", "expired"}
                state = {"achieved": "held"}.get(
                    next(iter(current), ""), next(iter(current), "missing")
                )
                mine = rows[(rows["employee_id"] == person) & (rows["award_id"] == kind)].assign(
                    award_id="first-aid", employee_id="E1"
                )
                assert compliance_of(mine.astype(rows.dtypes), now.date()) == state
