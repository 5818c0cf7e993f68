"""The quick start: starts every process that the integration needs on one machine, in order, and
stops all of them together."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from secrets import token_urlsafe
from types import FrameType

import httpx
from httpx_retries import Retry, RetryTransport
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from connectors.home import locked, make_private
from connectors.settings import AccessplanitSettings, Settings
from connectors.store.sql import SyncStore
from reconciliation.errors import Misconfigured
from tasks.blocks import register
from tasks.connections import hr_system

from ..catalogue import FLOWS, WAVES
from ..receiver.subscriptions import subscriptions
from .children import Children, NotStarted
from .deployments import deploy
from .first_runs import First, through_the_worker
from .orphans import end_runs_of_commands, end_runs_of_worker
from .ports import check_free, is_somebody_elses
from .prefect_environment import AUTHENTICATION, LOGIN, environment
from .running import server, written_down
from .worker import WarmWorker

TEND_SECONDS = 1.0
"""Seconds between two checks of the processes."""
TICK_EVENTS = 10
"""Number of changes that the sandbox makes at a time."""
POOL = "hrsync"
"""Name of the work pool."""
UNWRITABLE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
}
"""Error numbers that mean that the home folder cannot be used."""
PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Plan:
    """The options of ``hrsync up``."""

    people: int
    """Number of people in the sandbox."""
    tick_seconds: float
    """Seconds between two times that the sandbox makes changes."""
    once: bool
    """Whether to stop after the first runs."""
    sandbox_port: int
    prefect_port: int
    receiver_port: int


def up(settings: Settings, plan: Plan, out: Console) -> bool:
    """Starts everything, runs each flow once, prints where things are, and runs until it is
    interrupted.

    Returns:
        Whether every first run completed.

    Raises:
        NotStarted, Misconfigured: something could not be started. The message names the port or
            log to check.
    """
    home = settings.home.absolute()
    make_private(home)
    stand_in = settings.accessplanit.base_url is None and settings.accessplanit_block is None
    try:
        with locked(home):
            if stand_in:
                settings = _with_sandbox(settings, plan.sandbox_port)
            return QuickStart(settings, plan, out, home, stand_in).run()
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise NotStarted(
            f"{home} cannot be used: {error.strerror}",
            "Check its free space and access rights, then start again.",
        ) from None


class Stopped(Exception):
    """A signal asked to stop before everything had started."""


@dataclass
class QuickStart:
    """One ``hrsync up``, from its first process to its last."""

    settings: Settings
    plan: Plan
    out: Console
    home: Path
    stand_in: bool
    """Whether the sandbox runs in place of a tenant."""
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set when a signal asks to stop."""
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.children = Children(self.home / "logs", PROJECT)
        self.env = environment(self.settings, self.plan.prefect_port)
        self.receives = _has_subscriptions(self.settings)

    def run(self) -> bool:
        """Runs the quick start. Returns whether every first run completed."""
        self._check_ports()
        self._listen_to_signals()
        try:
            if self.stand_in:
                self._start_sandbox()
            self._start_prefect()
            self._prepare_databases()
            with server(self.env), written_down(self.home, self.env, of_sandbox=self.stand_in):
                self._deploy()
                self._start_worker()
                results = self._first_runs()
                if self.receives:
                    self._start_receiver()
                self._print_results(results)
                if not self.plan.once:
                    self._tend()
                return all(first.completed for first in results.values())
        except Stopped:
            return False
        finally:
            self.out.print("stopping …", highlight=False)
            self.children.stop()
            self.out.print("stopped", highlight=False)

    # -- checks -----------------------------------------------------------------------------------

    @property
    def _ports(self) -> dict[str, int]:
        plan = self.plan
        return {"Prefect": plan.prefect_port, "receiver": plan.receiver_port} | (
            {"sandbox": plan.sandbox_port} if self.stand_in else {}
        )

    def _check_ports(self) -> None:
        for name, port in self._ports.items():
            check_free(name, port)

    def _check_owners(self) -> None:
        """Raises:
        NotStarted: another account listens on the port of a part, so it would receive passwords.
        """
        for name, port in self._ports.items():
            if is_somebody_elses(port):
                # The login may have been sent to that port within the last second.
                (self.home / LOGIN).unlink(missing_ok=True)
                raise NotStarted(
                    f"Another account of this machine listens on port {port}, which {name} needs",
                    "Find that account with 'ss -tlpe', or choose another port with "
                    f"--{name.lower()}-port.",
                )

    def _listen_to_signals(self) -> None:
        def stop(_signal: int, _frame: FrameType | None) -> None:
            self.stopped.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)

    def _check_stopped(self) -> None:
        """Raises:
        Stopped: a signal has asked to stop.
        """
        if self.stopped.is_set():
            raise Stopped

    def _say(self, text: str) -> None:
        self.out.print(f"[dim]{time.monotonic() - self.began:5.1f} s[/]  {text}", highlight=False)

    # -- the parts --------------------------------------------------------------------------------

    def _start_sandbox(self) -> None:
        plan = self.plan
        self._say(
            f"starting the sandbox with {plan.people:,} invented people, because no tenant is "
            "configured"
        )
        command = _sandbox_command(
            plan.sandbox_port,
            plan.people,
            seed=7,
            tenant="standard",
            database=str(self.home / "sandbox.db"),
        )
        key = self.settings.accessplanit.api_key
        secrets = {
            "SANDBOX_API_KEY": key.get_secret_value() if key else "",
            "SANDBOX_PASSWORD": token_urlsafe(),
        }
        self.children.start("sandbox", command, {**os.environ, **secrets})

    def _start_prefect(self) -> None:
        self._say("starting the Prefect server")
        command = [
            sys.executable,
            "-m",
            "flows.local.prefect_server",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.plan.prefect_port),
        ]
        self.children.start("prefect-server", command, self.env)
        self._wait_for(f"{self.env['PREFECT_API_URL']}/health")
        if self.stand_in:
            self._wait_for(f"{self._sandbox}/sandbox/health")

    def _prepare_databases(self) -> None:
        self._say("setting up the databases")
        SyncStore(self.settings.store_url).close()
        target = hr_system(self.settings, "")
        self.hr_name = target.name
        target.close()

    def _deploy(self) -> None:
        self._say("creating the work pool and the deployments")
        _make_pool()
        if orphans := end_runs_of_worker(POOL) + end_runs_of_commands():
            self._say(
                f"marked {orphans} run{'s' if orphans > 1 else ''} as Crashed: the last stop "
                "interrupted them"
            )
        register()
        deploy()
        self._check_stopped()

    def _start_worker(self) -> None:
        command = [
            sys.executable,
            "-m",
            "prefect",
            "worker",
            "start",
            "--pool",
            POOL,
            "--name",
            "hrsync-worker",
        ]
        self.children.start("worker", command, self.env)

    def _first_runs(self) -> dict[str, First]:
        results: dict[str, First] = {}
        for names in WAVES:
            self._say(f"running {', '.join(names)}")
            results |= through_the_worker(names, self.stopped, self.children)
            self._check_stopped()
        return results

    def _start_receiver(self) -> None:
        self._say("starting the receiver of webhooks")
        port = self.plan.receiver_port
        self.children.start(
            "receiver",
            [sys.executable, "-m", "flows.start", "receiver", "--port", str(port)],
            self.env,
        )
        self._wait_for(f"http://127.0.0.1:{port}/health")
        if self.stand_in:
            _subscribe(self._sandbox, port, self.settings)

    # -- while it runs ----------------------------------------------------------------------------

    def _print_results(self, results: dict[str, First]) -> None:
        """Prints what the first runs did, and where things are."""
        table = Table("flow", "state", "what it did", title="First runs")
        for name in FLOWS:
            table.add_row(name, results[name].state, results[name].message)
        self.out.print(table)
        self.out.print(self._places())
        incomplete = ", ".join(name for name in FLOWS if not results[name].completed)
        if incomplete:
            where = f"See {self.children.logs}" + (
                "." if self.plan.once else " and the runs in the Prefect UI."
            )
            self.out.print(f"[bold red]Not completed: {incomplete}.[/] {where}", highlight=False)

    def _places(self) -> Table:
        settings, places = self.settings, Table(show_header=False, title="Where things are")
        places.add_row("Prefect UI", f"http://127.0.0.1:{self.plan.prefect_port}")
        places.add_row("Prefect login", self._login())
        tenant = (
            settings.accessplanit.base_url
            or f"see the Prefect block accessplanit/{settings.accessplanit_block}"
        )
        places.add_row(
            "accessplanit",
            f"{tenant} ({'sandbox: invented people' if self.stand_in else 'your tenant'})",
        )
        places.add_row("HR", self.hr_name)
        metrics = ", metrics at /metrics" if settings.webhooks.open_pages else ""
        address = f"http://127.0.0.1:{self.plan.receiver_port}/webhooks/…{metrics}"
        places.add_row(
            "webhooks",
            address if self.receives else "no receiver: HRSYNC_WEBHOOKS__SECRET is not set",
        )
        places.add_row("logs", str(self.children.logs))
        return places

    def _login(self) -> str:
        if AUTHENTICATION[0] not in self.env:
            return (
                "none: PREFECT_SERVER_API_AUTH_STRING is empty, so every account of this "
                "machine can use the server"
            )
        if AUTHENTICATION[0] in os.environ:
            return f"the value of {AUTHENTICATION[0]}"
        return f"in the file {self.home / LOGIN}"

    def _tend(self) -> None:
        """Keeps the processes running until a signal asks to stop."""
        webhooks = "Changes arrive by webhook within seconds. " if self.receives else ""
        self.out.print(f"{webhooks}Schedules run every 5 to 60 minutes.", highlight=False)
        self.out.print(
            "Ctrl-C stops everything; the next start picks up where this one left off.",
            highlight=False,
        )
        ticked = time.monotonic()
        while not self.stopped.wait(TEND_SECONDS):
            self._check_owners()
            for message in self.children.tend({"worker": partial(end_runs_of_worker, POOL)}):
                self._say(message)
            if self.stand_in and time.monotonic() - ticked >= self.plan.tick_seconds:
                ticked = time.monotonic()
                with suppress(httpx.HTTPError):
                    httpx.post(
                        f"{self._sandbox}/sandbox/tick", json={"events": TICK_EVENTS}, timeout=60
                    )

    # -- details ----------------------------------------------------------------------------------

    @property
    def _sandbox(self) -> str:
        return f"http://127.0.0.1:{self.plan.sandbox_port}"

    def _wait_for(self, url: str) -> None:
        """Waits until ``url`` answers, 180 seconds at most."""
        retry = Retry(total=1, backoff_factor=0.1)
        deadline = time.monotonic() + 180
        with httpx.Client(transport=RetryTransport(retry=retry), timeout=5) as client:
            while True:
                self._check_stopped()
                self.children.check()
                self._check_owners()
                try:
                    if client.get(url).is_success:
                        self._check_owners()
                        return
                except httpx.HTTPError:
                    pass
                if time.monotonic() > deadline:
                    raise NotStarted(
                        f"{url} does not answer", f"See the logs in {self.children.logs}."
                    )
                self.stopped.wait(0.3)


def _with_sandbox(settings: Settings, port: int) -> Settings:
    """Returns ``settings`` with the sandbox in place of a tenant, and an API key that is valid for
    this start. The webhooks get a secret, too, if none is set."""
    hooks = settings.webhooks
    if not hooks.guarded:
        hooks = hooks.model_copy(update={"secret": SecretStr(token_urlsafe())})
    connection = {
        "base_url": f"http://127.0.0.1:{port}/accessplansandbox",
        "api_key": token_urlsafe(),
        "username": None,
        "password": None,
    }
    tenant = AccessplanitSettings.model_validate(
        {**settings.accessplanit.model_dump(), **connection}
    )
    return settings.model_copy(update={"accessplanit": tenant, "webhooks": hooks})


def _has_subscriptions(settings: Settings) -> bool:
    """Returns whether there is anything for a receiver to receive."""
    try:
        subscriptions(settings)
    except Misconfigured:
        return False
    return True


def _make_pool() -> None:
    """Creates or replaces the work pool of :class:`WarmWorker`."""
    template = WarmWorker.get_default_base_job_template()
    with get_client(sync_client=True) as client:
        client.create_work_pool(
            WorkPoolCreate(name=POOL, type=WarmWorker.type, base_job_template=template),
            overwrite=True,
        )


def _subscribe(sandbox_url: str, port: int, settings: Settings) -> None:
    """Registers the receiver with the sandbox, which then sends a webhook for each change."""
    hooks = settings.webhooks
    headers = {hooks.secret_header: hooks.secret.get_secret_value()} if hooks.secret else {}
    wanted = {"url": f"http://127.0.0.1:{port}/webhooks", "headers": headers}
    httpx.post(f"{sandbox_url}/sandbox/webhooks", json=wanted, timeout=30).raise_for_status()


def _sandbox_command(port: int, people: int, seed: int, tenant: str, database: str) -> list[str]:
    options = {
        "--port": port,
        "--people": people,
        "--seed": seed,
        "--tenant": tenant,
        "--database": database,
    }
    return [
        sys.executable,
        "-m",
        "sandbox",
        *(str(part) for option in options.items() for part in option),
    ]


def serve_sandbox(port: int, people: int, seed: int, tenant: str, database: str) -> None:
    """Turns this process into the sandbox's server."""
    command = _sandbox_command(port, people, seed, tenant, database)
    # hrsync builds the command from its own options.
    os.execv(command[0], command)  # noqa: S606
