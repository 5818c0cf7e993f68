"""``hrsync up`` as a person starts it: everything comes up, schedules are made, a kill is survived,
nothing stays behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import PrefectHTTPStatusError
from prefect.states import Pending, Running, Scheduled

from flows.catalogue import FLOWS
from flows.local.running import server
from flows.users_to_hr import users_to_hr
from tests.commands import hrsync
from tests.completion import at_work, completes, nothing_is_held
from tests.quick_start import QuickStart, mentioning
from tests.verify_hr import compare

pytestmark = [pytest.mark.slow, pytest.mark.prefect, pytest.mark.timeout(600)]

T = TypeVar("T")
SECRET = "a secret of a test, long enough"
PROOF = {"X-Webhook-Secret": SECRET}


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def changes(quick: QuickStart) -> object:
    return httpx.get(f"http://127.0.0.1:{quick.sandbox}/sandbox/changes").json()


@pytest.fixture
def quick() -> Iterator[QuickStart]:
    """In a folder that other accounts can reach, as a home folder mostly is."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        made = QuickStart(Path(folder) / "home")
        yield made
        if made.process.poll() is None:
            made.kill()


def at_work_without_a_process(quick: QuickStart, name: str) -> UUID:
    """A run that holds its deployment's only slot, as one does whose process was killed; its ID."""
    tomorrow: State[None] = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))
    with (
        server({"PREFECT_API_URL": quick.api, "PREFECT_API_AUTH_STRING": quick.login}),
        get_client(sync_client=True) as client,
    ):
        deployment = answered(
            lambda: client.read_deployment_by_name(f"{name}/{name.replace('_', '-')}")
        )
        run = answered(
            lambda: client.create_flow_run_from_deployment(deployment.id, state=tomorrow)
        )
        deadline = time.monotonic() + 120
        while (
            answered(lambda: client.set_flow_run_state(run.id, Pending())).status
            is not SetStateStatus.ACCEPT
        ):
            assert time.monotonic() < deadline, at_work(quick)
            # A refused run waits for the slot: the worker would start it half a minute later.
            answered(lambda: client.set_flow_run_state(run.id, tomorrow, force=True))
            time.sleep(0.5)
    return run.id


def answered(ask: Callable[[], T]) -> T:
    """A server that is busy answers 503: it is asked again."""
    for _ in range(100):
        with suppress(PrefectHTTPStatusError):
            return ask()
        time.sleep(0.5)
    raise AssertionError("the server has answered nothing but errors")


def of_a_command_that_is_gone(quick: QuickStart) -> UUID:
    """A run that no deployment has made, as ``hrsync run`` makes one; its ID."""
    with (
        server({"PREFECT_API_URL": quick.api, "PREFECT_API_AUTH_STRING": quick.login}),
        get_client(sync_client=True) as client,
    ):
        return client.create_flow_run(users_to_hr, state=Running()).id


def every_schedule_produces_runs(quick: QuickStart) -> None:
    names = {d["name"] for d in quick.ask("POST", "/deployments/filter", {})}
    assert names == {name.replace("_", "-") for name in FLOWS} | {"retention", "reconcile-history"}
    deadline = time.monotonic() + 120
    scheduled: set[str] = set()
    while len(scheduled) <= len(FLOWS):
        assert time.monotonic() < deadline, scheduled
        runs = quick.ask(
            "POST", "/flow_runs/filter", {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
        )
        scheduled = {run["deployment_id"] for run in runs if run["auto_scheduled"]}
        time.sleep(0.5)


def changes_reach_hr(quick: QuickStart) -> None:
    """By webhook, event, trigger and run, once the sandbox has been ticked."""
    deadline = time.monotonic() + 180
    while not re.search(
        r'loaded_seconds_count{process="users_to_hr"} [1-9]',
        httpx.get(f"http://127.0.0.1:{quick.receiver}/metrics", headers=PROOF).text,
    ):
        assert time.monotonic() < deadline, changes(quick)
        time.sleep(0.5)
    while found := differences(quick):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


def differences(quick: QuickStart) -> list[str]:
    today = datetime.now(ZoneInfo("Europe/London")).date()
    return compare(str(quick.home / "sandbox.db"), str(quick.home / "hr.db"), today)


def other_accounts_can_do_nothing(quick: QuickStart) -> None:
    if os.geteuid():
        return
    places = [quick.home, quick.prefect, quick.receiver, quick.sandbox]
    command = [sys.executable, "-m", "tests.another_account", *map(str, places)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_up_runs_everything_survives_a_kill_and_stops_without_a_trace(quick: QuickStart) -> None:
    quick.start()
    quick.until("running users_from_hr")
    left = [at_work_without_a_process(quick, "role_compliance"), of_a_command_that_is_gone(quick)]
    quick.kill()
    assert mentioning(str(quick.home)) == []

    # Long enough that everything has been looked at before the second tick.
    quick.tick_seconds = 60
    quick.start(HRSYNC_WEBHOOKS__SECRET=SECRET)
    completes(quick)
    assert "invented people" in quick.told
    assert f"http://127.0.0.1:{quick.prefect}" in quick.told
    assert quick.login.partition(":")[2] not in quick.told, "a secret is never printed"
    every_schedule_produces_runs(quick)
    assert {quick.ask("GET", f"/flow_runs/{run}")["state"]["name"] for run in left} == {"Crashed"}
    nothing_is_held(quick)
    other_accounts_can_do_nothing(quick)
    changes_reach_hr(quick)
    assert quick.interrupt(signal.SIGTERM) == 0
    assert "stopped" in quick.told
    for port in (quick.prefect, quick.sandbox, quick.receiver):
        assert not listening(port)
    assert mentioning(str(quick.home)) == []
    assert differences(quick) == []


def test_a_busy_port_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HRSYNC_HOME", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        told = hrsync("up", "--prefect-port", str(port), code=1)
    assert f"Port {port}, which Prefect needs, is in use" in told
    assert "--prefect-port" in told
