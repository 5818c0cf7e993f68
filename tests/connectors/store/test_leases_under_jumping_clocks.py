"""Law 14: only who holds the lease writes, and a lapsed lease is never taken up again; under clocks
that jump."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.store.sql import SyncStore
from flows import users_to_hr
from reconciliation.errors import StoreFailed

SPEC = users_to_hr.SPEC.model_copy(update={"pair": None})
BEGINNING = datetime(2026, 11, 23, tzinfo=UTC)
DEEDS = st.sampled_from(["take", "renew", "write", "write", "give back"])
MOVES = st.tuples(st.sampled_from("ABC"), DEEDS, st.sampled_from([0, 50, 130, -400, 90000]))


@pytest.fixture(scope="module")
def store() -> Iterator[SyncStore]:
    opened = SyncStore("sqlite://", lease_seconds=120)
    yield opened
    opened.close()


@given(moves=st.lists(MOVES, max_size=20))
@example(moves=[("A", "take", 0), ("B", "take", 130), ("A", "take", 130)])
def test_law_14_only_the_latest_holder_writes_and_what_lapsed_stays_lost(
    store: SyncStore, moves: list[tuple[str, str, int]]
) -> None:
    now, holder, had, number = BEGINNING, "", set(), dict.fromkeys("ABC", 0)
    store.clock = lambda: now  # type: ignore[method-assign]
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM lease")
    store._tokens.clear()
    until = now
    for name, move, seconds in moves:
        now += timedelta(seconds=seconds)
        run = f"{name}{number[name]}"
        if move == "take" and store._take(SPEC.name, run):
            assert run not in had
            had.add(run)
            holder, until = run, now + timedelta(seconds=120)
        elif move == "renew":
            renewed = store._renew(SPEC.name, run)
            assert renewed == (run == holder and until >= now)
            until = now + timedelta(seconds=120) if renewed else until
        elif move == "write":
            try:
                store.intend(run, SPEC, "d", 0, 1, now)
            except StoreFailed:
                assert run != holder or until < now
            else:
                assert run == holder
                assert until >= now
        elif move == "give back" and run in had:
            store._give_back(SPEC.name, run)
            number[name] += 1
            holder = "" if run == holder else holder
