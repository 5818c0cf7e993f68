"""A store that is locked: the receiver says so in time, reports nothing wrong later, and recovers
by itself."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from connectors.store import schema as t

from .desks import HEADERS, Desk, until


@contextmanager
def locked(desk: Desk) -> Iterator[None]:
    """Another program holds the store."""
    with closing(sqlite3.connect(desk.settings.home / "store.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield


def timed(desk: Desk, key: str) -> tuple[int, float]:
    began = time.monotonic()
    answer = desk.send("user", {"ID": key}, headers={**HEADERS, "X-Webhook-Id": key})
    if answer.status_code == 503:
        assert answer.headers["Retry-After"] == "5"
    return answer.status_code, time.monotonic() - began


def deliveries(desk: Desk) -> int:
    with desk.store.engine.connect() as connection:
        return int(
            connection.execute(sa.select(sa.func.count()).select_from(t.delivery)).scalar_one()
        )


def test_while_the_store_is_locked_each_delivery_is_told_so_within_two_seconds(desk: Desk) -> None:
    assert timed(desk, "before")[0] == 202
    with locked(desk):
        with ThreadPoolExecutor(6) as pool:
            found = list(pool.map(lambda n: timed(desk, f"at-once-{n}"), range(6)))
        found += [timed(desk, f"later-{n}") for n in range(3)]
        assert desk.client.get("/health").status_code == 200
    print("locked:", [f"{status} in {took:.2f} s" for status, took in found])
    assert {status for status, _ in found} == {503}
    assert max(took for _, took in found) < 2
    until(lambda: timed(desk, "after")[0] == 202, 5)


def test_what_comes_while_the_store_is_known_to_be_stuck_does_not_wait(desk: Desk) -> None:
    with locked(desk):
        assert timed(desk, "first")[0] == 503
        assert timed(desk, "second")[1] < 0.5


def test_a_delivery_whose_answer_was_given_up_is_a_duplicate_when_it_comes_again(
    desk: Desk,
) -> None:
    with locked(desk):
        assert timed(desk, "jasmit")[0] == 503
    until(lambda: deliveries(desk) == 1, 5)
    again = desk.send("user", {"ID": "jasmit"}, headers={**HEADERS, "X-Webhook-Id": "jasmit"})
    assert (again.status_code, again.json()["status"]) == (202, "duplicate")
    assert [key for _, _, key, _ in desk.written()] == ["jasmit"]
    text = desk.metrics()
    assert 'refused_total{reason="store"} 1.0' in text
    assert 'received_total{subscription="user"} 1.0' in text, (
        "what was refused does not count as received"
    )


def test_what_nobody_waits_for_any_more_is_not_written(desk: Desk) -> None:
    """The one whose transaction is under way may be written; those behind it were told to come
    again."""
    with locked(desk):
        threads = [threading.Thread(target=timed, args=(desk, f"u{n}")) for n in range(5)]
        for thread in threads:
            thread.start()
            time.sleep(0.1)
        for thread in threads:
            thread.join()
    until(lambda: timed(desk, "last")[0] == 202, 5)
    assert [key for _, _, key, _ in desk.written()] == ["u0", "last"]


def test_a_lock_that_is_soon_released_costs_nobody_an_answer(desk: Desk) -> None:
    with ThreadPoolExecutor(4) as pool:
        with locked(desk):
            found = [pool.submit(timed, desk, f"u{n}") for n in range(4)]
            time.sleep(0.5)
        assert {status for status, _ in (one.result() for one in found)} == {202}
    assert len(desk.written()) == 4


def test_a_stuck_store_is_logged_once_with_nothing_of_anybody(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    with locked(desk):
        for _ in range(3):
            timed(desk, "jasmit")
    found = [r.getMessage() for r in caplog.records if r.name == "hrsync.receiver"]
    assert found == ["the store does not answer; deliveries are refused"]


def test_a_connection_that_has_gone_silent_is_given_up_and_another_one_is_used(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.receiver.journal.PATIENCE", 0.3)
    monkeypatch.setattr("flows.receiver.journal.ABANDON", 1.0)
    accept, silent = desk.store.accept, threading.Event()
    calls: list[int] = []

    def first_hangs(*arguments: Any) -> list[bool]:
        calls.append(1)
        if len(calls) == 1:
            silent.wait(30)
        return accept(*arguments)

    monkeypatch.setattr(desk.store, "accept", first_hangs)
    assert timed(desk, "first")[0] == 503
    until(lambda: timed(desk, "second")[0] == 202, 5)
    silent.set()
