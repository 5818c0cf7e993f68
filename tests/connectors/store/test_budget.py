"""The request budget: a hard limit that all runs share, and that pays only for requests that were
made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.accessplanit.client import AccessplanitSource
from connectors.store import schema as t
from connectors.store.budget import StoredBudget
from connectors.store.sql import SyncStore
from tests.sides import Side

HOUR = 3600.0
LIMIT = 30


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SyncStore]:
    opened = SyncStore(f"sqlite:///{tmp_path_factory.mktemp('budget') / 'store.db'}")
    yield opened
    opened.close()


def used(store: SyncStore) -> Counter[tuple[str, int]]:
    """Requests paid for, by endpoint and hour."""
    b = t.budget.c
    with store.engine.connect() as connection:
        return Counter(
            {
                (row[0], row[1]): row[2]
                for row in connection.execute(sa.select(b.endpoint, b.hour, b.used))
                if row[2]
            }
        )


ACTS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(["user", "useraward", "close", "an hour"]),
        st.integers(1, 25),
    ),
    max_size=40,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTS)
def test_an_hour_pays_for_the_requests_that_were_made_and_never_for_more_than_its_limit(
    store: SyncStore, acts: list[tuple[int, str, int]]
) -> None:
    with store.engine.begin() as connection:
        connection.execute(t.budget.delete())
    moment = [0.0]
    runs = [StoredBudget(store.engine, LIMIT, HOUR, clock=lambda: moment[0]) for _ in range(3)]
    made: Counter[tuple[str, int]] = Counter()
    for run, act, times in acts:
        if act == "close":
            runs[run].close()
        elif act == "an hour":
            moment[0] += HOUR
        else:
            given = sum(runs[run].take(act) == 0 for _ in range(times))
            made.update({(act, int(moment[0] // HOUR)): given} if given else {})
    assert max(used(store).values(), default=0) <= LIMIT
    for run_ in runs:
        run_.close()
    assert used(store) == made


def test_two_runs_share_one_budget(store_url: str) -> None:
    store, moment = SyncStore(store_url), [10_000.0]
    one, other = (StoredBudget(store.engine, 50, HOUR, clock=lambda: moment[0]) for _ in range(2))
    given = sum((one if i % 2 else other).take("user") == 0 for i in range(200))
    assert given == 50
    assert 0 < one.take("user") <= HOUR
    assert one.take("useraward") == 0, "each endpoint has its own"
    moment[0] += HOUR
    assert one.take("user") == 0
    for budget in (one, other):
        budget.close()
    assert sorted(used(store).values()) == [1, 1, 50]
    store.close()


@pytest.mark.parametrize("requests", [1, 2, 7, 200])
def test_a_run_that_is_killed_loses_no_more_than_it_has_used_nor_more_than_one_batch(
    store: SyncStore, requests: int
) -> None:
    run = StoredBudget(store.engine, 10**6, HOUR, clock=lambda: 0.0)
    endpoint = f"killed after {requests}"
    for _ in range(requests):
        assert run.take(endpoint) == 0
    lost = used(store)[endpoint, 0] - requests
    assert 0 <= lost <= min(requests, StoredBudget.MAX_BATCH)


def test_a_source_that_is_closed_has_paid_for_just_what_it_has_asked(side: Side) -> None:
    source: AccessplanitSource = side.source()
    source.count("User")
    source.close()
    assert sum(used(side.store).values()) == source.requests > 0


def test_a_finished_run_does_not_fail_because_the_store_is_away_when_it_ends(
    tmp_path: Path,
) -> None:
    store = SyncStore(f"sqlite:///{tmp_path / 'store.db'}")
    run = store.budget(LIMIT, HOUR)
    for _ in range(2):
        run.take("user")
    run.take("useraward")
    t.budget.drop(store.engine)
    run.close()
    store.close()


def test_unused_requests_are_given_back_in_one_order_so_that_two_runs_cannot_deadlock(
    tmp_path: Path,
) -> None:
    store = SyncStore(f"sqlite:///{tmp_path / 'store.db'}")
    run = store.budget(LIMIT, HOUR)
    for endpoint in ("useraward", "user", "course"):
        for _ in range(2):
            run.take(endpoint)
    returned: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("UPDATE"):
            returned.extend(p for p in parameters if isinstance(p, str))

    sa.event.listen(store.engine, "before_cursor_execute", note)
    run.close()
    store.close()
    assert returned == ["course", "user", "useraward"]
