"""``hrsync up`` as a person starts it: everything comes up, schedules are made, nothing stays behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Pending, Scheduled

from flows.catalogue import FLOWS

from .conftest import free_port
from .verify_hr import compare

pytestmark = [pytest.mark.slow, pytest.mark.prefect, pytest.mark.alone, pytest.mark.timeout(420)]


def start(home: Path, prefect: int, sandbox: int, *more: str) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HRSYNC_", "PREFECT_"))}
    command = [
        sys.executable,
        "-m",
        "flows.start",
        "up",
        "--people",
        "150",
        "--prefect-port",
        str(prefect),
        "--sandbox-port",
        str(sandbox),
        *more,
    ]
    return subprocess.Popen(
        command,
        env={**env, "HRSYNC_HOME": str(home), "HRSYNC_WEBHOOKS__OPEN_PAGES": "true", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen[str], text: str) -> str:
    told = ""
    assert process.stdout
    for line in process.stdout:
        told += line
        if text in line:
            return told
    raise AssertionError(f"ended without saying {text!r}:\n{told}")


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def changed(sandbox: int) -> bool:
    return bool(httpx.get(f"http://127.0.0.1:{sandbox}/sandbox/changes").json())


def mentioning(text: str) -> list[str]:
    """Command lines of processes that mention ``text``."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parts = [(folder / name).read_bytes() for name in ("cmdline", "environ")]
            except OSError:
                continue
            line = b" ".join(parts).replace(b"\0", b" ").decode(errors="replace")
            if text in line and int(folder.name) != os.getpid():
                found.append(line[:200])
    return found


def at_work_without_a_process(api: str, name: str) -> UUID:
    """A run that holds its deployment's only slot, as one does whose process was killed; its ID."""
    with temporary_settings({PREFECT_API_URL: api}), get_client(sync_client=True) as client:
        deployment = client.read_deployment_by_name(f"{name}/{name.replace('_', '-')}")
        for _ in range(100):
            # A server that is busy answers 503.
            with suppress(PrefectHTTPStatusError):
                run = client.create_flow_run_from_deployment(
                    deployment.id, state=Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1))
                )
                if client.set_flow_run_state(run.id, Pending()).status is SetStateStatus.ACCEPT:
                    return run.id
            time.sleep(0.5)
    raise AssertionError("the slot did not become free")


def test_up_runs_everything_and_stops_without_a_trace(tmp_path: Path) -> None:
    home, prefect, sandbox, receiver = tmp_path / "home", free_port(), free_port(), free_port()
    process = start(home, prefect, sandbox, "--tick-seconds", "5", "--receiver-port", str(receiver))
    try:
        told = read_until(process, "Ctrl-C stops everything")
        assert "invented people" in told
        assert told.count("Completed") == len(FLOWS)
        assert f"http://127.0.0.1:{prefect}" in told
        assert f"http://127.0.0.1:{receiver}/webhooks/…, counts at /metrics" in told
        api = f"http://127.0.0.1:{prefect}/api"
        names = {f"{d['name']}" for d in httpx.post(f"{api}/deployments/filter", json={}).json()}
        assert names == {name.replace("_", "-") for name in FLOWS} | {"retention", "reconcile-history"}
        deadline = time.monotonic() + 60
        scheduled: list[str] = []
        while (len(scheduled) <= len(FLOWS) or not changed(sandbox)) and time.monotonic() < deadline:
            runs = httpx.post(f"{api}/flow_runs/filter", json={"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}).json()
            scheduled = sorted({r["deployment_id"] for r in runs if r["auto_scheduled"]})
            time.sleep(0.5)
        assert len(scheduled) == len(FLOWS) + 1, "each schedule produces runs"

        assert changed(sandbox), "the sandbox is ticked"
        deadline = time.monotonic() + 90
        while not re.search(r'loaded_seconds_count{process="users_to_hr"} [1-9]', httpx.get(f"http://127.0.0.1:{receiver}/metrics").text):
            assert time.monotonic() < deadline, "a change reaches HR by webhook, event, trigger and run"
            time.sleep(0.5)
        left = at_work_without_a_process(api, "users_from_hr")
        process.send_signal(signal.SIGTERM)
        assert "stopped" in read_until(process, "stopped")
        assert process.wait(timeout=30) == 0
    finally:
        process.kill()
    time.sleep(0.5)
    assert not listening(prefect)
    assert not listening(sandbox)
    assert not listening(receiver)
    assert mentioning(str(home)) == []

    again = start(home, prefect, sandbox, "--receiver-port", str(receiver))
    try:
        read_until(again, "running job_roles_from_hr")
        state = httpx.get(f"{api}/flow_runs/{left}").json()["state"]["name"]
        assert state == "Crashed", "users_from_hr, which ran before, did not wait for its slot"
        again.send_signal(signal.SIGTERM)
        assert "stopped" in read_until(again, "stopped")
        assert again.wait(timeout=30) == 0
    finally:
        again.kill()
    today = datetime.now(ZoneInfo("Europe/London")).date()
    told_of_people = [line for line in compare(str(home / "sandbox.db"), str(home / "hr.db"), today) if "award" not in line]
    assert told_of_people == [], "it has gone on from the state on disk"


def test_a_busy_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        process = start(tmp_path, port, free_port())
        told, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"Port {port}, which Prefect needs, is in use" in told
    assert "--prefect-port" in told
