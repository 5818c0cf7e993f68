"""One Prefect server for all processes of a test run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import httpx
import psutil

from .evidence import EVIDENCE
from .served import free_port
from .shared import locked

START_SECONDS = 120
HEALTH_EVERY_SECONDS = 0.2
IDLE = (
    "CANCELLATION_CLEANUP",
    "EVENT_PERSISTER",
    "FOREMAN",
    "LATE_RUNS",
    "SCHEDULER",
    "TRIGGERS",
)
"""Services of the server that no test needs. They look at its database every few seconds."""


@dataclass(frozen=True)
class Server:
    """A server, and how many processes of the test run use it."""

    port: int
    pid: int
    users: int = 0


@contextmanager
def shared_server(folder: Path) -> Iterator[int]:
    """The port of the server. The first process that asks for one starts it. The last one that
    needs it stops it and keeps its database as evidence.

    Args:
        folder: A folder that the processes of this test run share, and no other run.
    """
    server = _register(folder)
    try:
        _wait_until_healthy(server)
        yield server.port
    finally:
        _unregister(folder)


def _note(folder: Path) -> Path:
    """The file that describes the server."""
    return folder / "prefect.json"


def _register(folder: Path) -> Server:
    file = _note(folder)
    with locked(file):
        server = Server(**json.loads(file.read_text())) if file.exists() else _start(folder)
        server = replace(server, users=server.users + 1)
        file.write_text(json.dumps(asdict(server)))
        return server


def _unregister(folder: Path) -> None:
    file = _note(folder)
    with locked(file):
        server = Server(**json.loads(file.read_text()))
        if server.users > 1:
            file.write_text(json.dumps(asdict(replace(server, users=server.users - 1))))
            return
        file.unlink()
        _stop(server)
        EVIDENCE.database_of(_database(folder))


def _database(folder: Path) -> Path:
    return folder / "prefect" / "prefect.db"


def _start(folder: Path) -> Server:
    """Starts the server as ``hrsync up`` does: Prefect's own command stands still for minutes over
    SQLite."""
    database = _database(folder)
    database.parent.mkdir(exist_ok=True)
    port = free_port()
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "flows.local.prefect_server",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ],
        env={
            **os.environ,
            "PREFECT_HOME": str(database.parent),
            "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{database}",
            "PREFECT_UI_ENABLED": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            **{f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in IDLE},
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return Server(port, process.pid)


def _wait_until_healthy(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{server.port}/api/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(HEALTH_EVERY_SECONDS)
    raise TimeoutError(f"the Prefect server was not ready within {START_SECONDS} s")


def _stop(server: Server) -> None:
    process = psutil.Process(server.pid)
    process.terminate()
    with suppress(psutil.NoSuchProcess):
        # It stays a zombie if another process of this test run has started it.
        while process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.05)
