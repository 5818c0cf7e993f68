"""Awards and compliance follow from the history of awards, on every day (law 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from connectors.store.schema import link
from flows import awards_to_hr
from flows._run import Order
from reconciliation.ask import Ask
from reconciliation.frame import of
from reconciliation.ports import Hashes
from reconciliation.snapshot import Snapshot
from reconciliation.spec import Guard
from tests.examples import examples
from tests.reconciliation.compliance import compliance_of
from tests.worlds import NOW, STORES, UNREADABLE, Feed, Hr, Record, award, run

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
