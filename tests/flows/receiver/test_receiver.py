"""The receiver over real HTTP: what it takes, what it refuses, what is in the store before it
answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from connectors.settings import Settings
from connectors.store import schema as t
from connectors.store.sql import SyncStore
from flows.receiver.app import make_app
from reconciliation.errors import Misconfigured
from tests.served import free_port

from .desks import HEADERS, SECRET, Desk, hear, until

# -- what is taken -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_every_method_is_taken_and_written_down_before_the_answer(desk: Desk, method: str) -> None:
    answer = desk.send("user", {"ID": "jasmit", "Surname": "never loaded"}, method)
    assert answer.status_code == 202
    assert answer.json() == {"status": "accepted", "records": 1}
    assert desk.written() == [("users_to_hr", "User", "jasmit", method == "DELETE")]
    assert (
        b"never loaded"
        not in (desk.settings.home / "store.db").read_bytes()
        + (desk.settings.home / "store.db-wal").read_bytes()
    )


def test_a_record_concerns_every_process_of_its_feed(desk: Desk) -> None:
    for module in (
        "useraward",
        "UserCourseDate",
        "manageruserCourseDateAuthorisation",
        "usertype",
        "userusertype",
    ):
        assert desk.send(module, {"id": 7}).status_code == 202
    assert {(process, feed) for process, feed, *_ in desk.written()} == {
        ("awards_to_hr", "UserAward"),
        ("award_targets_to_hr", "UserAward"),
        ("delegates_to_hr", "UserCourseDate"),
        ("course_requests_to_hr", "UserCourseDate"),
        ("course_requests_to_hr", "ManagerUserCourseDateAuthorisation"),
        ("job_roles_to_hr", "UserType"),
        ("assignments_to_hr", "UserUserType"),
    }
    assert {key for _, _, key, _ in desk.written()} == {"7"}


@pytest.mark.parametrize(
    ("path", "body", "keys"),
    [
        ("user/jasmit", None, ["jasmit"]),
        ("usercoursedate/jasmit~101", b"not JSON", ["jasmit~101"]),
        ("user?Id=jasmit", None, ["jasmit"]),
        ("user", [{"ID": "a"}, {"iD": 5}], ["a", "5"]),
        ("user", {"results": [{"ID": "a"}, {"ID": "a"}, {"no": 1}]}, ["a"]),
        ("user", {"ID": "  spaced  "}, ["spaced"]),
    ],
)
def test_where_the_id_is_looked_for(desk: Desk, path: str, body: object, keys: list[str]) -> None:
    assert desk.send(path, body).status_code == 202
    assert list(dict.fromkeys(key for _, _, key, _ in desk.written())) == keys


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"\xff\xfe",
        [],
        {},
        {"ID": None},
        {"ID": ""},
        {"ID": True},
        {"ID": "x" * 201},
        {"ID": "a\nb"},
        "ID",
        b"[" * 5000,
    ],
)
def test_a_delivery_that_names_no_record_is_told_so(desk: Desk, body: object) -> None:
    answer = desk.send("user", body)
    assert answer.status_code == 422
    assert "ID" in answer.json()["detail"]
    assert desk.written() == []


# -- what is refused -----------------------------------------------------------------------------


def test_without_a_secret_there_is_no_receiver(tmp_path: Path) -> None:
    store = SyncStore(f"sqlite:///{tmp_path / 'store.db'}")
    with pytest.raises(Misconfigured, match="HRSYNC_WEBHOOKS__SECRET"):
        make_app(Settings(home=tmp_path), store)  # type: ignore[call-arg]
    store.close()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Webhook-Secret": ""},
        {"X-Webhook-Secret": SECRET[:-1]},
        {"X-Webhook-Secret": SECRET + "x"},
        {"Authorization": SECRET},
    ],
)
def test_a_forged_delivery_is_nothing(desk: Desk, headers: dict[str, str]) -> None:
    answer = desk.send("user", {"ID": "jasmit"}, headers=headers)
    assert (answer.status_code, answer.json()["reason"]) == (401, "secret")
    assert desk.written() == []
    assert 'hrsync_webhooks_refused_total{reason="secret"} 1.0' in desk.metrics()


def test_what_is_unknown_or_too_much_is_a_clear_4xx(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(max_bytes=1000, rate="8/minute")
    assert desk.send("users", {"ID": "a"}).status_code == 404
    assert desk.client.get("/webhooks/user", headers=HEADERS).status_code == 405
    assert desk.send("user", b" " * 1001).status_code == 413

    def pieces() -> Iterator[bytes]:
        yield from [b"x" * 400] * 3

    assert (
        desk.client.post("/webhooks/user", content=pieces(), headers=HEADERS).status_code == 413
    ), "without a length"
    assert desk.send("user", {"ID": "a"}).status_code == 202
    statuses = [desk.send("user", {"ID": "a"}) for _ in range(8)]
    assert statuses[-1].status_code == 429
    assert 1 <= int(statuses[-1].headers["Retry-After"]) <= 60
    assert desk.client.get("/health").status_code == 200, "who watches is not limited"


def test_a_store_that_cannot_be_used_is_said_and_nothing_is_acknowledged(desk: Desk) -> None:
    with desk.store.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE hint RENAME TO elsewhere"))
    answer = desk.send("user", {"ID": "a"})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    with desk.store.engine.begin() as connection:
        assert (
            connection.execute(sa.select(sa.func.count()).select_from(t.delivery)).scalar_one() == 0
        )
        connection.execute(sa.text("ALTER TABLE elsewhere RENAME TO hint"))
    assert desk.send("user", {"ID": "a"}).status_code == 202


# -- the rest ------------------------------------------------------------------------------------


def test_figures_are_there_for_prometheus_and_in_the_store(desk: Desk) -> None:
    for number in (1, 1, 2):
        desk.send("user", {"ID": number})
    desk.send("user", {"ID": "x"}, headers={})
    until(
        lambda: (
            "hrsync_webhooks_waiting"
            in desk.metrics().split("# TYPE hrsync_webhooks_waiting gauge")[-1]
        )
    )
    hear(desk)
    until(
        lambda: 'hrsync_webhooks_loaded_seconds_count{process="users_to_hr"} 2.0' in desk.metrics()
    )
    text = desk.metrics()
    assert 'hrsync_webhooks_received_total{subscription="user"} 3.0' in text
    assert 'hrsync_webhooks_duplicates_total{subscription="user"} 1.0' in text
    assert "hrsync_webhooks_acknowledged_seconds_count 3.0" in text
    until(
        lambda: desk.store.figures(datetime.now(UTC) - timedelta(hours=1)).refused == {"secret": 1}
    )
    figures = desk.store.figures(datetime.now(UTC) - timedelta(hours=1))
    assert (figures.received, figures.waiting, len(figures.lags)) == ({"user": (2, 1)}, {}, 2)


def test_deliveries_can_be_replayed(desk: Desk) -> None:
    desk.send("useraward", {"ID": "A1"})
    for process in ("awards_to_hr", "award_targets_to_hr"):
        hear(desk, process)
    (row,) = desk.store.deliveries(10)
    assert (row["waiting"], row["records"]) == (0, 1)
    assert desk.store.deliveries(10, waiting=True) == []
    assert desk.store.replay([row["id"]], None, datetime.now(UTC)) == 2
    assert desk.store.replay([], datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC)) == 2
    assert len(desk.store.hints("awards_to_hr")) == 1
    assert len(desk.store.deliveries(10, waiting=True)) == 1


def test_on_postgresql_too(make_desk: Callable[..., Desk], postgresql: Callable[[], str]) -> None:
    desk = make_desk(url=postgresql())
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda n: desk.send("usercoursedate", {"ID": f"u{n % 40}~1"}).json()["status"],
                range(200),
            )
        )
    assert answers.count("accepted") == 40
    assert len(desk.store.hints("delegates_to_hr")) == 40
    until(lambda: len(desk.told.flows) == 2)
    hear(desk, "delegates_to_hr")
    hear(desk, "course_requests_to_hr")
    assert desk.store.waiting_hints() == {}
    assert desk.store.figures(datetime.now(UTC) - timedelta(hours=1)).received == {
        "usercoursedate": (40, 160)
    }
    desk.store.refuse({"secret": 2}, datetime.now(UTC))
    desk.store.refuse({"secret": 3}, datetime.now(UTC))
    assert desk.store.figures(datetime.now(UTC)).refused == {"secret": 5}


def test_it_answers_quickly_under_load_and_loses_nothing(desk: Desk) -> None:
    began = time.perf_counter()
    took: list[float] = []

    def one(number: int) -> None:
        start = time.perf_counter()
        # On a busy machine the store may be late. accessplanit sends again then, five times in all.
        for _ in range(5):
            answer = desk.send("user", {"ID": f"u{number}"})
            if answer.status_code != 503:
                break
        assert answer.status_code == 202
        took.append(time.perf_counter() - start)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(1000)))
    assert len(desk.store.hints("users_to_hr")) == 1000
    print(f"1,000 in {time.perf_counter() - began:.1f} s, median {sorted(took)[500] * 1000:.1f} ms")


# -- kill -9 -------------------------------------------------------------------------------------


@pytest.mark.soak
def test_killed_at_random_moments_of_a_burst_it_has_lost_nothing_it_acknowledged(
    tmp_path: Path,
) -> None:
    port, acknowledged = free_port(), []
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HRSYNC_", "PREFECT_"))}
    env |= {
        "HRSYNC_HOME": str(tmp_path),
        "HRSYNC_WEBHOOKS__SECRET": SECRET,
        "PREFECT_API_URL": f"http://127.0.0.1:{free_port()}/api",
    }
    command = [sys.executable, "-m", "flows.start", "receiver", "--port", str(port)]
    ended, lock, numbers = threading.Event(), threading.Lock(), iter(range(1_000_000))
    url = f"http://127.0.0.1:{port}"

    def sender() -> None:
        with httpx.Client(timeout=5) as client:
            while not ended.is_set():
                with lock:
                    number = next(numbers)
                try:
                    answer = client.post(
                        f"{url}/webhooks/user", json={"ID": f"u{number}"}, headers=HEADERS
                    )
                except httpx.HTTPError:
                    time.sleep(0.02)
                    continue
                if answer.status_code == 202:
                    acknowledged.append(f"u{number}")

    threads = [threading.Thread(target=sender, daemon=True) for _ in range(6)]
    rounds = int(os.environ.get("HRSYNC_CHAOS") == "whole") * 9 + 1
    for round_ in range(rounds):
        process = subprocess.Popen(
            command, env=env, cwd=Path(__file__).parents[3], stderr=subprocess.DEVNULL
        )
        try:
            until(lambda: httpx.get(f"{url}/health").is_success if _listens(port) else False, 60)
            if not round_:
                for thread in threads:
                    thread.start()
            before = len(acknowledged)
            until(lambda before=before: len(acknowledged) > before + 50, 30)  # type: ignore[misc]
            time.sleep(0.05 + 0.13 * round_ % 0.7)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    ended.set()
    for thread in threads:
        thread.join(10)
    store = SyncStore(f"sqlite:///{tmp_path / 'store.db'}")
    written = {hint.key for hint in store.hints("users_to_hr")}
    store.close()
    assert len(acknowledged) > 50 * rounds
    assert set(acknowledged) - written == set()


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
