"""Prefect under ``hrsync up``: who may speak to its server, what it keeps, whom it tells, and that
it does not fail under load."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from sqlite3 import connect
from unittest.mock import Mock
from uuid import uuid4

import httpx
import pytest

from connectors.settings import Settings
from flows.local.prefect_environment import AUTHENTICATION, LOGIN, RUNS_DAYS, environment, login
from flows.local.running import in_running_server, written_down
from reconciliation.errors import Misconfigured
from tests.served import free_port

ASKS = """
import json
from prefect.settings import get_current_settings
s = get_current_settings()
print(json.dumps({
    "asks": s.server.api.auth_string and s.server.api.auth_string.get_secret_value(),
    "sends": s.api.auth_string and s.api.auth_string.get_secret_value(),
    "origins": s.server.api.cors_allowed_origins,
    "vacuum": sorted(s.server.services.db_vacuum.enabled_vacuum_types),
    "runs": s.server.services.db_vacuum.retention_period.days,
    "events": s.server.services.event_persister.enabled,
    "analytics": s.server.analytics_enabled,
}))
"""


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("PREFECT_", "HRSYNC_"))]:
        monkeypatch.delenv(name)


def as_prefect_reads(home: Path) -> dict[str, object]:
    found = environment(Settings(home=home), 4321)  # type: ignore[call-arg]
    done = subprocess.run(
        [sys.executable, "-c", ASKS], env=found, capture_output=True, text=True, check=True
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_prefect_reads_what_the_environment_says(tmp_path: Path) -> None:
    """It refuses some spellings and ignores others in silence."""
    found = as_prefect_reads(tmp_path)
    assert found == {
        "asks": login(tmp_path),
        "sends": login(tmp_path),
        "origins": "http://127.0.0.1:4321,http://localhost:4321",
        "vacuum": ["events", "flow_runs", "orphans"],
        "runs": RUNS_DAYS,
        "events": False,
        "analytics": False,
    }


def test_the_login_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    made = login(tmp_path)
    assert login(tmp_path) == made
    assert made.startswith("hrsync:")
    assert len(made) > 30
    assert (tmp_path / LOGIN).stat().st_mode & 0o777 == 0o600
    (tmp_path / LOGIN).write_text("")
    assert ":" in login(tmp_path), "one that was cut off is made anew"


def test_a_login_that_somebody_else_may_know_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / LOGIN).write_text("attacker:known")
    (tmp_path / LOGIN).chmod(0o644)
    assert login(tmp_path) != "attacker:known"
    assert (tmp_path / LOGIN).stat().st_mode & 0o777 == 0o600
    (tmp_path / "planted").write_text("attacker:known")
    (tmp_path / "planted").chmod(0o600)
    (tmp_path / LOGIN).unlink()
    (tmp_path / LOGIN).symlink_to(tmp_path / "planted")
    assert login(tmp_path) != "attacker:known"


def test_a_login_with_which_prefect_fails_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AUTHENTICATION[0], "nämé:pässwörd")
    with pytest.raises(Misconfigured, match="ASCII"):
        environment(Settings(home=tmp_path), 4321)  # type: ignore[call-arg]


def test_a_login_of_the_environment_counts_and_an_empty_one_means_that_none_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(AUTHENTICATION[0], "me:mine")
    found = as_prefect_reads(tmp_path)
    assert (found["asks"], found["sends"]) == ("me:mine", "me:mine")
    monkeypatch.setenv(AUTHENTICATION[0], "")
    found = as_prefect_reads(tmp_path)
    assert (found["asks"], found["sends"]) == (None, None)


def test_what_is_said_of_retention_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD", str(7 * 86_400))
    assert as_prefect_reads(tmp_path)["runs"] == 7


def test_the_note_of_what_runs_holds_the_login_and_only_its_owner_can_read_it(
    tmp_path: Path,
) -> None:
    found = environment(Settings(home=tmp_path), 4321)  # type: ignore[call-arg]
    with written_down(tmp_path, found, of_sandbox=False):
        note = tmp_path / "up.json"
        assert note.stat().st_mode & 0o777 == 0o600
        assert json.loads(note.read_text())["PREFECT_API_AUTH_STRING"] == login(tmp_path)
        # Nobody holds the home folder: whoever left the note is not at work.
        with in_running_server(Settings(home=tmp_path)):  # type: ignore[call-arg]
            from prefect.settings import PREFECT_API_URL

            assert PREFECT_API_URL.value() != "http://127.0.0.1:4321/api"
    assert not note.exists()


def test_only_connections_to_sqlite_get_its_time_limit() -> None:
    from flows.local.prefect_server import LOCK_SECONDS, shorten_lock_wait

    with closing(connect(":memory:")) as sqlite:
        shorten_lock_wait(sqlite, None, None)
        assert sqlite.execute("PRAGMA busy_timeout").fetchone() == (LOCK_SECONDS * 1000,)
    other = Mock()
    shorten_lock_wait(other, None, None)
    assert not other.mock_calls, "PostgreSQL does not know the statement"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A server as ``hrsync up`` starts it, and its owner."""
    home, port = tmp_path_factory.mktemp("home"), free_port()
    command = [
        sys.executable,
        "-m",
        "flows.local.prefect_server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    env = {
        **environment(Settings(home=home), port),
        "PREFECT_SERVER_SERVICES_DB_VACUUM_LOOP_SECONDS": "2",
    }  # type: ignore[call-arg]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    name, _, password = login(home).partition(":")
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}/api", auth=(name, password), timeout=60
    ) as client:
        for _ in range(300):
            with suppress(httpx.HTTPError):
                if client.get("/health").is_success:
                    break
            time.sleep(0.2)
        client.headers["X-Home"] = str(home)
        yield client
    process.terminate()
    process.wait()


@pytest.mark.prefect
def test_its_pages_load_nothing_from_elsewhere(api: httpx.Client) -> None:
    root = str(api.base_url).removesuffix("/api/")
    for path in ("/v2/", "/docs", "/redoc", "/api/docs"):
        page = httpx.get(root + path, follow_redirects=True)
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'self'")
        assert "https:" not in policy
    assert api.get("/health").json() is True


@pytest.mark.prefect
def test_no_page_of_another_site_may_speak_to_it(api: httpx.Client) -> None:
    asks = {"Access-Control-Request-Method": "POST"}
    other = api.options("/flows/filter", headers={**asks, "Origin": "http://elsewhere.example"})
    own = str(api.base_url).removesuffix("/api/")
    assert "access-control-allow-origin" not in other.headers
    assert (
        api.options("/flows/filter", headers={**asks, "Origin": own}).headers[
            "access-control-allow-origin"
        ]
        == own
    )


@pytest.mark.prefect
def test_many_who_write_to_its_database_at_once_all_get_through(api: httpx.Client) -> None:
    """A transaction of Prefect's that reads and then writes failed at once, with 503, when another
    one had written meanwhile."""
    flow = api.post("/flows/", json={"name": "busy"}).json()["id"]
    run = api.post("/flow_runs/", json={"flow_id": flow, "state": {"type": "PENDING"}}).json()["id"]
    end = time.monotonic() + 4

    def write(number: int) -> Counter[int]:
        found: Counter[int] = Counter()
        while time.monotonic() < end:
            if number % 2:
                answer = api.patch(f"/flow_runs/{run}/labels", json={"n": str(time.monotonic())})
            else:
                answer = api.post(
                    f"/flow_runs/{run}/set_state",
                    json={"state": {"type": "RUNNING"}, "force": True},
                )
            found[answer.status_code] += 1
        return found

    with ThreadPoolExecutor(6) as threads:
        found = sum(threads.map(write, range(6)), Counter())
    assert set(found) <= {200, 201, 204}, found
    assert sum(found.values()) > 40, found


@pytest.mark.prefect
def test_a_run_that_has_ended_long_ago_goes_with_its_logs(api: httpx.Client) -> None:
    flow = api.post("/flows/", json={"name": "kept"}).json()["id"]
    old, new = (
        api.post("/flow_runs/", json={"flow_id": flow, "state": {"type": "COMPLETED"}}).json()["id"]
        for _ in range(2)
    )
    line = {"name": "x", "level": 20, "message": "said", "timestamp": "2026-01-01T00:00:00Z"}
    api.post("/logs/", json=[{**line, "flow_run_id": run} for run in (old, new)]).raise_for_status()
    ended = datetime.now(UTC) - timedelta(days=RUNS_DAYS, hours=1)
    with (
        closing(connect(Path(api.headers["X-Home"]) / "prefect" / "prefect.db")) as database,
        database,
    ):
        database.execute(
            "UPDATE flow_run SET end_time = ? WHERE id = ?",
            (ended.replace(tzinfo=None).isoformat(" "), old),
        )
    deadline = time.monotonic() + 60
    while api.get(f"/flow_runs/{old}").status_code != 404:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert api.get(f"/flow_runs/{new}").is_success
    time.sleep(1)
    said = api.post("/logs/filter", json={}).json()
    assert {log["flow_run_id"] for log in said} == {new}


@pytest.mark.prefect
def test_an_event_starts_what_waits_for_it(api: httpx.Client) -> None:
    """The server calls itself for that, and does so without keeping events."""
    flow = api.post("/flows/", json={"name": "waits"}).json()["id"]
    deployment = api.post("/deployments/", json={"name": "waits", "flow_id": flow}).json()["id"]
    trigger = {
        "type": "event",
        "posture": "Reactive",
        "expect": ["hrsync.tried"],
        "threshold": 1,
        "within": 0,
    }
    action = {"type": "run-deployment", "source": "selected", "deployment_id": deployment}
    api.post(
        "/automations/", json={"name": "waits", "trigger": trigger, "actions": [action]}
    ).raise_for_status()
    deadline = time.monotonic() + 30
    while not api.post(
        "/flow_runs/filter", json={"deployments": {"id": {"any_": [deployment]}}}
    ).json():
        assert time.monotonic() < deadline
        event = {
            "event": "hrsync.tried",
            "resource": {"prefect.resource.id": "tried"},
            "occurred": datetime.now(UTC).isoformat(),
        }
        api.post("/events", json=[{**event, "id": str(uuid4())}]).raise_for_status()
        time.sleep(1)
