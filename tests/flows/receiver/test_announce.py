"""From hints to events: gathered, told, and told again."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from .desks import Desk, hear, until


def test_deliveries_are_gathered_into_one_event_per_flow(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(window_seconds=3)
    for number in range(20):
        desk.send("usertype" if number % 2 else "userusertype", {"ID": f"r{number}"})
    desk.send("user", {"ID": "jasmit"})
    until(lambda: len(desk.told.flows) >= 2)
    time.sleep(1)
    assert sorted(desk.told.flows) == [("job_roles_to_hr", 20), ("users_to_hr", 1)], (
        "a flow with two processes is told once"
    )
    desk.send("user", {"ID": "another"})
    time.sleep(4)
    assert len(desk.told.flows) == 2, "the run that was asked for takes it"
    hear(desk)
    desk.send("user", {"ID": "jasmit"})
    until(lambda: len(desk.told.flows) == 3)


def test_while_prefect_is_away_the_receiver_goes_on_and_catches_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.receiver.announce.PAUSE", 0.2)
    desk.told.away = True
    for number in range(5):
        assert desk.send("user", {"ID": f"u{number}"}).status_code == 202
    time.sleep(2)
    assert desk.told.flows == []
    desk.told.away = False
    until(lambda: desk.told.flows == [("users_to_hr", 5)])


def test_what_was_not_heard_is_told_again_ever_more_seldom() -> None:
    from reconciliation.hints import Pace, Waiting, due

    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    for times, minutes in ((1, 1), (2, 2), (5, 16), (20, 60)):
        pause = timedelta(minutes=minutes)
        waits = {"f": Waiting(sent=3, announced=now, times=times)}
        assert due(waits, now + pause - timedelta(seconds=1), Pace()) == []
        assert due(waits, now + pause, Pace()) == ["f"]


def test_a_burst_is_gathered_until_it_ends_or_for_long_enough() -> None:
    from reconciliation.hints import Pace, Waiting, due

    now = datetime(2026, 11, 24, 12, tzinfo=UTC)

    def after(fresh: int, oldest: float, newest: float) -> list[str]:
        return due(
            {
                "f": Waiting(
                    fresh, 0, now - timedelta(seconds=oldest), now - timedelta(seconds=newest)
                )
            },
            now,
            Pace(),
        )

    assert after(1, 1.9, 1.9) == []
    assert after(1, 2, 2) == ["f"]
    assert after(200, 2, 0) == ["f"], "a stream that is no burst does not wait for silence"
    assert after(201, 10, 0) == []
    assert after(201, 10, 2) == ["f"]
    assert after(201, 30, 0) == ["f"]
