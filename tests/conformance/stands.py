"""Where each connector is put to the test: a real server, or what comes closest, and how a person
edits rows there.

A connector without a line in :data:`STANDS` fails by name.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import asyncssh
import httpx
import pytest

from connectors.hr import connectors
from connectors.hr.scim.user import CORE, with_values
from reconciliation.ports import HrSystem
from tests.served import Served, free_port

from .bamboohr_fake import KEY, Bamboo, today
from .between import Between


@dataclass
class Stand:
    """One connector before one server. settings: what it is opened with; each opening is a new
    connection to the same rows.

    edit: as a person in HR, (key, column, value). spoil: makes a row that cannot be read, and
    returns a key beside it that can. wrong: settings whose credentials are refused. nowhere:
    settings that lead to no server. gaps: texts that the server itself may refuse, each for a
    reason.
    """

    connector: str
    settings: Any
    home: Path
    edit: Callable[[str, str, str], None]
    spoil: Callable[[], None] | None = None
    wrong: Any = None
    nowhere: Any = None
    between: Between | None = None
    opened: list[HrSystem] = field(default_factory=list)

    def open(self, settings: Any = None) -> HrSystem:
        system = connectors()[self.connector].open(settings or self.settings, self.home)
        self.opened.append(system)
        return system

    def close(self) -> None:
        for system in self.opened:
            system.close()
        self.opened.clear()


Making = Callable[[pytest.FixtureRequest, Path], Any]


def _settings(connector: str, **values: Any) -> Any:
    return connectors()[connector].settings.model_validate(values)


def _sql(url: str, home: Path) -> Stand:
    stand = Stand("sql", _settings("sql", url=url), home, edit=lambda *_: None)
    nowhere = (
        "sqlite:////proc/nowhere/hr.db"
        if url.startswith("sqlite")
        else "postgresql+psycopg://hr:hush@127.0.0.1:1/hr"
    )
    stand.nowhere = _settings("sql", url=nowhere)

    def statement(text: str, *parameters: Any) -> None:
        engine = stand.open().engine  # type: ignore[attr-defined]
        with engine.begin() as connection:
            connection.exec_driver_sql(
                text.replace("?", "%s") if engine.dialect.name == "postgresql" else text, parameters
            )

    def edit(key: str, column: str, value: str) -> None:
        statement(f"UPDATE employees SET {column} = ? WHERE employee_id = ?", value, key)

    def spoil() -> None:
        statement(
            "INSERT INTO employees (employee_id, surname, source_created_at) VALUES ('SPOILT', "
            "'x', 'the day before')"
        )

    stand.edit, stand.spoil = edit, spoil if url.startswith("sqlite") else None
    return stand


@contextmanager
def sqlite(request: pytest.FixtureRequest, home: Path) -> Iterator[Stand]:
    yield _sql(f"sqlite:///{home / 'hr.db'}", home)


@contextmanager
def postgresql(request: pytest.FixtureRequest, home: Path) -> Iterator[Stand]:
    yield _sql(request.getfixturevalue("postgresql")(), home)


def _drop(home: Path, where: Path, **values: Any) -> Stand:
    """where: the folder that the drop's paths lead to."""
    stand = Stand(
        "csv_drop", _settings("csv_drop", quiet_seconds=0, **values), home, edit=lambda *_: None
    )

    def answer(name: str, rows: list[list[str]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        inbox = where / stand.settings.inbox
        inbox.mkdir(parents=True, exist_ok=True)
        (inbox / name).write_text(text.getvalue(), newline="")

    def edit(key: str, column: str, value: str) -> None:
        answer(f"employees-{time.time_ns()}.csv", [["employee_id", column], [key, value]])

    def spoil() -> None:
        answer(
            "employees-spoilt.csv",
            [["employee_id", "surname", "source_created_at"], ["SPOILT", "x", "the day before"]],
        )

    stand.edit, stand.spoil = edit, spoil
    return stand


@contextmanager
def folder(request: pytest.FixtureRequest, home: Path) -> Iterator[Stand]:
    stand = _drop(home, home / "files", folder=home / "files")
    (home / "no folder").write_text("")
    stand.nowhere = _settings("csv_drop", folder=home / "no folder")
    yield stand


@dataclass(frozen=True)
class Sshd:
    """A real OpenSSH server on loopback that gives SFTP below ``root``."""

    port: int
    root: Path
    username: str
    key: str
    known_hosts: str

    def settings(self, folder: str, **values: Any) -> dict[str, Any]:
        login = {
            "host": "127.0.0.1",
            "port": self.port,
            "username": self.username,
            "private_key": self.key,
            "known_hosts": self.known_hosts,
        }
        # Paths are the server's, from its root: a chroot would need an account made for it.
        paths = {name: f"{self.root}/{folder}/{name}" for name in ("outbox", "inbox", "archive")}
        return {"sftp": {**login, "timeout": 10, **values}, **paths}


@pytest.fixture(scope="session")
def sshd() -> Iterator[Sshd]:
    """An OpenSSH server of our own."""
    program = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip(
            "needs OpenSSH's sshd (Debian: openssh-server), which 'make test' installs where it may"
        )
    root = Path(tempfile.mkdtemp())
    host, client = (asyncssh.generate_private_key("ssh-ed25519") for _ in range(2))
    host.write_private_key(str(root / "host"))
    (root / "host").chmod(0o600)
    client.write_public_key(str(root / "authorized"))
    port = free_port()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    lines = f"""
        Port {port}
        ListenAddress 127.0.0.1
        HostKey {root}/host
        PidFile none
        AuthorizedKeysFile {root}/authorized
        PasswordAuthentication no
        KbdInteractiveAuthentication no
        PermitRootLogin yes
        UsePAM no
        StrictModes no
        Subsystem sftp internal-sftp
        ForceCommand internal-sftp
    """
    (root / "config").write_text(
        "\n".join(line.strip() for line in lines.strip().splitlines()) + "\n"
    )
    process = subprocess.Popen(
        [program, "-D", "-e", "-f", str(root / "config")], stderr=subprocess.DEVNULL
    )
    public = host.export_public_key().decode().strip()
    known = f"[127.0.0.1]:{port} {public}"
    import getpass

    found = Sshd(port, root, getpass.getuser(), client.export_private_key().decode(), known)
    _until_listening(port)
    yield found
    process.terminate()
    process.wait(timeout=10)
    shutil.rmtree(root, ignore_errors=True)


@contextmanager
def sftp(request: pytest.FixtureRequest, home: Path) -> Iterator[Stand]:
    server: Sshd = request.getfixturevalue("sshd")
    name = f"drop{time.time_ns()}"
    stand = _drop(home, Path("/"), **server.settings(name))
    other = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
    stand.wrong = _settings("csv_drop", **server.settings(name, private_key=other))
    stand.nowhere = _settings("csv_drop", **server.settings(name, port=free_port()))
    yield stand


TOKEN = "hr-token"


@pytest.fixture(scope="session")
def scim_server() -> Iterator[str]:
    """scim2-server, which none of us wrote; the URL of its root."""
    port = free_port()
    command = [
        str(Path(sys.executable).with_name("scim2-server")),
        "--port",
        str(port),
        "--bearer-token",
        TOKEN,
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _until_listening(port)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=10)


@pytest.fixture(scope="session")
def canaille_server() -> Iterator[str]:
    """Canaille, a SCIM server with quirks, out of an environment of its own (``make hostile``); the
    URL of its root."""
    folder, program = (
        Path(tempfile.mkdtemp()),
        str(Path(os.environ["HRSYNC_CANAILLE"]) / "canaille"),
    )
    database = f"sqlite:///{folder}/canaille.sqlite"
    lines = [
        'SECRET_KEY = "of a test"',
        "[CANAILLE_SQL]",
        f'DATABASE_URI = "{database}"',
        "[CANAILLE_SCIM]",
        "ENABLE_SERVER = true",
    ]
    (folder / "canaille.toml").write_text("\n".join(lines))
    env = {**os.environ, "CANAILLE_CONFIG": str(folder / "canaille.toml")}
    began = (datetime.now(UTC) - timedelta(days=1)).isoformat(timespec="seconds")
    client = (
        "--client-name hr --client-id hr --client-secret s --grant-types client_credentials "
        "--scope openid"
    )
    token = (
        f"--access-token {TOKEN} --client hr --lifetime 864000 --issue-date {began} --type "
        "Bearer --token-id t --scope openid"
    )
    for command in ("install", f"create client {client}", f"create token {token}"):
        subprocess.run([program, *command.split()], env=env, check=True, capture_output=True)
    port = free_port()
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        [program, "run", "--bind", f"127.0.0.1:{port}"],
        env=env,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
    )
    _until_listening(port)
    yield f"http://127.0.0.1:{port}"
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=10)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def canaille(request: pytest.FixtureRequest, home: Path) -> Iterator[Stand]:
    # It takes externalId and forgets it.
    with _scim(
        request.getfixturevalue("canaille_server"), home, "/scim/v2", without=["accessplanit_id"]
    ) as made:
        yield made


@contextmanager
def scim(request: pytest.FixtureRequest, home: Path) -> Iterator[Stand]:
    with _scim(request.getfixturevalue("scim_server"), home, "/v2") as made:
        yield made


@cache
def _before(root: str) -> Between:
    """One proxy for each server: there is one that goes on telling the address at which it was
    first called."""
    return Between(root)


@contextmanager
def _scim(root: str, home: Path, version: str, **values: Any) -> Iterator[Stand]:
    http = httpx.Client(
        base_url=f"{root}{version}/", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30
    )

    def users() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            answer = http.get(
                "Users", params={"startIndex": len(found) + 1} if found else None
            ).json()
            found += answer.get("Resources", [])
            if len(found) >= answer["totalResults"]:
                return found

    for user in users():
        http.delete(f"Users/{user['id']}")
    between = _before(root)
    between.clear()
    common = {
        "base_url": f"{between.url}{version}",
        "backoff": 0.01,
        "attempts": 2,
        "timeout": 2.5,
        **values,
    }

    def edit(key: str, column: str, value: str) -> None:
        user = next(u for u in users() if key in json.dumps(u))
        new = {n: v for n, v in with_values(user, {column: value}).items() if n != "meta"}
        assert http.put(
            f"Users/{user['id']}", json=new, headers={"Content-Type": "application/scim+json"}
        ).is_success

    def spoil() -> None:
        name = {"formatted": "No Body", "familyName": "Body"}
        nameless = {
            "schemas": [CORE],
            "userName": "nobody@x.example",
            "name": name,
            "emails": [{"value": "n@x.example"}],
            "active": True,
        }
        assert http.post(
            "Users", json=nameless, headers={"Content-Type": "application/scim+json"}
        ).is_success

    stand = Stand(
        "scim", _settings("scim", token=TOKEN, **common), home, edit, spoil, between=between
    )
    stand.wrong = _settings("scim", token="hush", **common)
    stand.nowhere = _settings(
        "scim", token=TOKEN, **{**common, "base_url": f"http://127.0.0.1:{free_port()}{version}"}
    )
    yield stand
    http.close()


@pytest.fixture(scope="session")
def bamboo() -> Iterator[tuple[Bamboo, str]]:
    """The fake account and its URL."""
    account = Bamboo()
    served = Served(account.app)
    yield account, f"http://127.0.0.1:{served.port}"
    served.stop()


@contextmanager
def bamboohr(request: pytest.FixtureRequest, home: Path) -> Iterator[Stand]:
    account, url = request.getfixturevalue("bamboo")
    account.clear()
    between = Between(url)
    common = {
        "base_url": between.url,
        "backoff": 0.01,
        "attempts": 2,
        "timeout": 2.5,
        "accessplanit_field": "customAccessplanit",
    }
    stand = Stand(
        "bamboohr",
        _settings("bamboohr", api_key=KEY, **common),
        home,
        edit=lambda *_: None,
        between=between,
    )

    def edit(key: str, column: str, value: str) -> None:
        number, person = next(
            (n, p) for n, p in account.people.items() if p["employeeNumber"] == key
        )
        if column == "job_title":
            account.tables[number, "jobInfo"].append(
                {"id": str(account.number()), "date": today(), "jobTitle": value}
            )
        else:
            person[stand.settings.names()[column]] = value

    def spoil() -> None:
        account.people[account.number()] = {"firstName": "No", "lastName": "Number"}

    stand.edit, stand.spoil = edit, spoil
    stand.wrong = _settings("bamboohr", api_key="hush", **common)
    stand.nowhere = _settings(
        "bamboohr", api_key=KEY, **{**common, "base_url": f"http://127.0.0.1:{free_port()}"}
    )
    yield stand
    between.stop()
    violations = account.violations.copy()
    account.violations.clear()
    assert not violations, "the vendor's contract does not allow this"


def _until_listening(port: int) -> None:
    import socket

    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


STANDS: dict[str, dict[str, Making]] = {
    "sql": {"sqlite": sqlite, "postgresql": postgresql},
    "csv_drop": {"folder": folder, "sftp": sftp},
    "scim": {
        "scim2-server": scim,
        **({"canaille": canaille} if "HRSYNC_CANAILLE" in os.environ else {}),
    },
    "bamboohr": {"contract": bamboohr},
}
"""Connector -> stand -> how it is set up."""
