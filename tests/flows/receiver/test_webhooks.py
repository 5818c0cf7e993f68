"""From a delivery to HR, with a sandbox that sends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from connectors.settings import Settings, WebhookSettings
from flows import users_to_hr
from flows.receiver.app import make_app
from reconciliation.report import RunReport
from tests.flows.hints import AUTH, HINTED, TO_HR, loaded
from tests.served import Served
from tests.sides import Side

from .desks import HEADERS, SECRET, Told, until


class Line:
    """A side, its receiver, and a sandbox that sends there."""

    def __init__(self, side: Side, **moods: Any) -> None:
        self.side, self.told = side, Told()
        settings = Settings(
            home=side.folder,
            dialect=side.dialect,
            webhooks=WebhookSettings(secret=SECRET, window_seconds=1),
        )  # type: ignore[arg-type,call-arg]
        self.served = Served(make_app(settings, side.store, self.told), lifespan="on")
        self.url = f"http://127.0.0.1:{self.served.port}"
        side.sandbox.webhooks.configure(f"{self.url}/webhooks", HEADERS, **moods)

    def quiet(self) -> dict[str, Any]:
        """Waits until everything has been sent; what was done."""
        until(lambda: not self.side.sandbox.webhooks.status()["instances"].get("Pending"), 60)
        return dict(self.side.sandbox.webhooks.status()["done"])

    def hear(self) -> list[RunReport]:
        """What Prefect would start: the processes for which hints wait, people first."""
        waiting = self.side.store.waiting_hints()
        return [self.side.run(spec, HINTED) for spec in TO_HR if spec.name in waiting]


@pytest.fixture
def make_line(side: Side, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Line]]:
    for name in [n for n in os.environ if n.startswith("HRSYNC_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(side.folder)
    made: list[Line] = []

    def make(**moods: Any) -> Line:
        made.append(Line(side, **moods))
        return made[-1]

    yield make
    for line in made:
        line.served.stop()


def test_what_happens_in_accessplanit_arrives_without_a_schedule(
    make_line: Callable[..., Line],
) -> None:
    line = make_line()
    side = line.side
    loaded(side)
    side.sandbox.tick(
        events=30,
        kinds=(
            "join",
            "move",
            "leave",
            "rename",
            "book",
            "complete",
            "target",
            "achieve",
            "cancel",
            "assign",
        ),
    )
    done = line.quiet()
    assert done["sent"] >= 30
    assert set(done) == {"sent"}
    until(
        lambda: (
            {flow for flow, _ in line.told.flows}
            >= {"users_to_hr", "awards_to_hr", "delegates_to_hr"}
        )
    )
    assert len(line.told.flows) <= 6, "one event for each flow"
    line.hear()
    line.hear()
    assert side.differences() == []
    assert side.store.waiting_hints() == {}
    instance = httpx.get(f"{side.base_url}/api/v2/WebhookInstance?$top=1", headers=AUTH).json()[
        "results"
    ][0]
    assert (instance["Status"], instance["Attempts"]) == ("Sent", 1)


@pytest.mark.soak
def test_half_of_them_dropped_doubled_late_or_out_of_order_the_next_schedule_makes_it_right(
    make_line: Callable[..., Line],
) -> None:
    line = make_line(drop=0.5, duplicate=0.5, reorder=0.5, late=0.5, delay=1.0, forge=0.5, seed=7)
    side = line.side
    loaded(side)
    for _ in range(3):
        side.sandbox.tick(events=20)
        line.quiet()
        line.hear()
    done = line.quiet()
    assert all(
        done[mood] for mood in ("sent", "dropped", "duplicated", "reordered", "delayed", "forged")
    ), done
    assert side.store.figures(datetime(2026, 1, 1, tzinfo=UTC)).received
    loaded(side)
    loaded(side)
    assert side.differences() == []
    assert side.store.waiting_hints() == {}
    assert [side.run(spec).written for spec in TO_HR] == [0] * len(TO_HR), "both sides say the same"


def test_a_receiver_that_was_away_gets_what_is_sent_again(make_line: Callable[..., Line]) -> None:
    line = make_line()
    side = line.side
    loaded(side, users_to_hr.SPEC)
    line.served.stop()
    until(lambda: _refuses(line.url))
    side.sandbox.tick(events=2, kinds=("rename",))
    until(lambda: side.sandbox.webhooks.status()["instances"].get("Pending") == 2)
    time.sleep(0.3)
    settings = Settings(
        home=side.folder, dialect=side.dialect, webhooks=WebhookSettings(secret=SECRET)
    )  # type: ignore[arg-type,call-arg]
    again = Served(make_app(settings, side.store, Told()), lifespan="on")
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(
            'UPDATE "WebhookInstance" SET "Url" = ?',
            (f"http://127.0.0.1:{again.port}/webhooks/user",),
        )
    line.quiet()
    again.stop()
    assert len(side.store.hints("users_to_hr")) in (1, 2)
    side.run(users_to_hr.SPEC, HINTED)
    assert [line for line in side.differences() if "award" not in line] == []


def _refuses(url: str) -> bool:
    try:
        httpx.get(f"{url}/health")
    except httpx.HTTPError:
        return True
    return False
