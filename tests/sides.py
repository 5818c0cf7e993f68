"""A side: a sandbox, an HR database, a store and what connects them; in both dialects."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from connectors.accessplanit.client import AccessplanitSource
from connectors.accessplanit.dialect import Dialect
from connectors.hr.sql import SqlHr
from connectors.settings import AccessplanitSettings
from connectors.store.sql import SyncStore
from flows import awards_to_hr, users_to_hr
from flows._run import Order, World, plainly, run_process
from reconciliation.capabilities import narrowed
from reconciliation.report import RunReport
from reconciliation.spec import ProcessSpec
from sandbox.app import ROOT, SEED, Sandbox, make_app
from sandbox.tenant import TENANTS
from tasks.connections import ways

from .evidence import EVIDENCE
from .served import Served
from .verify_hr import compare

AWKWARD = Dialect(
    count_key=None,
    page_size=100,
    date_literals="quoted",
    date_updated=None,
    names={"UserAward.completed_on": "CompletionDate", "UserAward.expires_on": "ExpiryDate"},
)
DIALECTS = {"standard": Dialect(), "awkward": AWKWARD}


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
        return compare(str(self.folder / SANDBOX), str(self.folder / HR), self.sandbox.now().date())

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


HR, STORE, SANDBOX = "hr.db", "store.db", "sandbox.db"


@cache
def _new() -> Path:
    """A folder with new databases: their tables are made once, then copied."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    SqlHr(f"sqlite:///{folder / HR}").close()
    SyncStore(f"sqlite:///{folder / STORE}").close()
    return folder


@cache
def _organisation(dialect: str, size: int, seed: int) -> Path:
    """The database of a new organisation, made once, then copied."""
    file = _new() / f"{dialect}-{size}-{seed}.db"
    Sandbox(str(file), size=size, seed=seed, tenant=TENANTS[dialect]).close()
    return file


@contextmanager
def opened(folder: Path, dialect: str, size: int, **options: Any) -> Iterator[Side]:
    """The side whose databases are in ``folder``, made where they are missing. ``options``: of the
    sandbox."""
    for name in (HR, STORE):
        if not (folder / name).exists():
            shutil.copy(_new() / name, folder / name)
    seed = options.get("seed", SEED)
    if not (folder / SANDBOX).exists():
        shutil.copy(_organisation(dialect, size, seed), folder / SANDBOX)
    sandbox = Sandbox(str(folder / SANDBOX), size=size, tenant=TENANTS[dialect], **options)
    served = Served(make_app(sandbox))
    base_url = f"http://127.0.0.1:{served.port}{ROOT}"
    side = Side(
        sandbox,
        base_url,
        folder,
        DIALECTS[dialect],
        SqlHr(f"sqlite:///{folder / HR}"),
        SyncStore(f"sqlite:///{folder / STORE}"),
        AccessplanitSettings(base_url=base_url, api_key="sandbox-key", backoff=0.01, attempts=8),  # type: ignore[arg-type,call-arg]
    )
    try:
        yield side
    finally:
        EVIDENCE.people(side)
        served.stop()
        side.target.close()
        side.store.close()
        sandbox.close()
