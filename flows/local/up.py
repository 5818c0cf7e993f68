"""The quick start: every process that the integration needs on one machine, started in order and
stopped together."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
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
from .children import Children, NotStarted, end_with_parent
from .first_runs import First, through_the_worker
from .orphans import crash_abandoned, crash_orphans
from .ports import check_free, is_somebody_elses
from .prefect_environment import AUTHENTICATION, LOGIN, environment
from .running import server, written_down
from .worker import WarmWorker

TEND_SECONDS = 1.0
"""Seconds between two looks at the parts."""
TICK_EVENTS = 10
"""Changes that the sandbox makes at a time."""
POOL = "hrsync"
UNWRITABLE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
}
"""What an error of the home folder says."""
PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Plan:
    """What ``hrsync up`` was asked to start."""

    people: int
    tick_seconds: float
    once: bool
    sandbox_port: int
    prefect_port: int
    receiver_port: int


def up(settings: Settings, plan: Plan, out: Console) -> bool:
    """Starts, runs each process once, prints where things are, and keeps running until it is
    interrupted.

    Returns:
        Whether every first run has completed.

    Raises:
        NotStarted, Misconfigured: with the port or log to look at.
    """
    home = settings.home.absolute()
    make_private(home)
    stand_in = settings.accessplanit.base_url is None and settings.accessplanit_block is None
    try:
        with locked(home):
            return QuickStart(
                _with_sandbox(settings, plan.sandbox_port) if stand_in else settings,
                plan,
                out,
                home,
                stand_in,
            ).run()
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise NotStarted(
            f"{home} cannot be used: {error.strerror}",
            "Check the space and the rights there, then start again.",
        ) from None


class Stopped(Exception):
    """Somebody has asked it to stop before everything was up."""


@dataclass
class QuickStart:
    """One ``hrsync up``, from its first process to its last."""

    settings: Settings
    plan: Plan
    out: Console
    home: Path
    stand_in: bool
    """Whether the sandbox stands in for a tenant."""
    stopped: threading.Event = field(default_factory=threading.Event)
    """Set when somebody has asked it to stop."""
    began: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.children = Children(self.home / "logs", PROJECT)
        self.env = environment(self.settings, self.plan.prefect_port)
        self.receives = _hears(self.settings)

    def run(self) -> bool:
        """All of it; whether every first run has completed."""
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
                found = self._first_runs()
                if self.receives:
                    self._start_receiver()
                self._tell(found)
                if not self.plan.once:
                    self._tend()
                return all(first.completed for first in found.values())
        except Stopped:
            return False
        finally:
            self.out.print("stopping …", highlight=False)
            self.children.stop()
            self.out.print("stopped", highlight=False)

    # -- before -----------------------------------------------------------------------------------

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
        NotStarted: another account has taken the port of a part, to which passwords would be sent.
        """
        for name, port in self._ports.items():
            if is_somebody_elses(port):
                # A part may have sent it there within the last second.
                (self.home / LOGIN).unlink(missing_ok=True)
                raise NotStarted(
                    f"Another account of this machine listens at port {port}, which {name} needs",
                    "Find out who that is (ss -tlpe), or choose another port with "
                    f"--{name.lower()}-port.",
                )

    def _listen_to_signals(self) -> None:
        def stop(_signal: int, _frame: FrameType | None) -> None:
            self.stopped.set()

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)

    def _go_on(self) -> None:
        """Raises:
        Stopped: it is to end instead.
        """
        if self.stopped.is_set():
            raise Stopped

    def _say(self, text: str) -> None:
        self.out.print(f"[dim]{time.monotonic() - self.began:5.1f} s[/]  {text}", highlight=False)

    # -- the parts --------------------------------------------------------------------------------

    def _start_sandbox(self) -> None:
        plan = self.plan
        self._say(
            f"starting the sandbox: no tenant is configured, {plan.people:,} invented people "
            "stand in"
        )
        command = _sandbox_command(
            plan.sandbox_port, plan.people, 7, "standard", str(self.home / "sandbox.db")
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
        self._answers(f"{self.env['PREFECT_API_URL']}/health")
        if self.stand_in:
            self._answers(f"{self._sandbox}/sandbox/health")

    def _prepare_databases(self) -> None:
        self._say("setting up the databases")
        SyncStore(self.settings.store_url).close()
        target = hr_system(self.settings, "")
        self.hr_name = target.name
        target.close()

    def _deploy(self) -> None:
        self._say("creating the work pool and the deployments")
        _make_pool()
        if orphans := crash_orphans(POOL) + crash_abandoned():
            self._say(
                f"marked {orphans} run{'s' if orphans > 1 else ''} as Crashed: the last stop "
                "interrupted them"
            )
        register()
        self._once("--no-prompt", "deploy", "--all", log="deploy.log")

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
        found: dict[str, First] = {}
        for names in WAVES:
            self._say(f"running {', '.join(names)}")
            found |= through_the_worker(names, self.stopped, self.children)
            self._go_on()
        return found

    def _start_receiver(self) -> None:
        self._say("starting the receiver of webhooks")
        port = self.plan.receiver_port
        self.children.start(
            "receiver",
            [sys.executable, "-m", "flows.start", "receiver", "--port", str(port)],
            self.env,
        )
        self._answers(f"http://127.0.0.1:{port}/health")
        if self.stand_in:
            _subscribe(self._sandbox, port, self.settings)

    # -- while it runs ----------------------------------------------------------------------------

    def _tell(self, found: dict[str, First]) -> None:
        """What the first runs did, and where things are."""
        table = Table("flow", "state", "what it did", title="First runs")
        for name in FLOWS:
            table.add_row(name, found[name].state, found[name].message)
        self.out.print(table)
        self.out.print(self._places())
        late = ", ".join(name for name in FLOWS if not found[name].completed)
        if late:
            where = f"Look at {self.children.logs}" + (
                "." if self.plan.once else ", and at the runs in the Prefect UI."
            )
            self.out.print(f"[bold red]Not completed: {late}.[/] {where}", highlight=False)

    def _places(self) -> Table:
        settings, where = self.settings, Table(show_header=False, title="Where things are")
        where.add_row("Prefect UI", f"http://127.0.0.1:{self.plan.prefect_port}")
        where.add_row("its login", self._login())
        tenant = (
            settings.accessplanit.base_url
            or f"as in the Prefect block accessplanit/{settings.accessplanit_block}"
        )
        where.add_row(
            "accessplanit",
            f"{tenant} ({'sandbox: invented people' if self.stand_in else 'your tenant'})",
        )
        where.add_row("HR", self.hr_name)
        counts = ", counts at /metrics" if settings.webhooks.open_pages else ""
        told = f"http://127.0.0.1:{self.plan.receiver_port}/webhooks/…{counts}"
        where.add_row(
            "webhooks", told if self.receives else "no receiver: HRSYNC_WEBHOOKS__SECRET is not set"
        )
        where.add_row("logs", str(self.children.logs))
        return where

    def _login(self) -> str:
        if AUTHENTICATION[0] not in self.env:
            return (
                "none: PREFECT_SERVER_API_AUTH_STRING is empty, so every account of this "
                "machine may use it"
            )
        if AUTHENTICATION[0] in os.environ:
            return f"as {AUTHENTICATION[0]} says"
        return f"the line in {self.home / LOGIN}"

    def _tend(self) -> None:
        """Keeps the parts at work until somebody asks it to stop."""
        soon = (
            "Changes arrive by webhook in seconds; schedules run"
            if self.receives
            else "Schedules run"
        )
        self.out.print(f"{soon} every 5 to 60 minutes.", highlight=False)
        self.out.print(
            "Ctrl-C stops everything; the next start continues from here.", highlight=False
        )
        ticked = time.monotonic()
        while not self.stopped.wait(TEND_SECONDS):
            self._check_owners()
            for told in self.children.tend({"worker": partial(crash_orphans, POOL)}):
                self._say(told)
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

    def _answers(self, url: str) -> None:
        """Waits until ``url`` answers."""
        retry = Retry(total=1, backoff_factor=0.1)
        deadline = time.monotonic() + 180
        with httpx.Client(transport=RetryTransport(retry=retry), timeout=5) as client:
            while True:
                self._go_on()
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
                        f"Nothing answers at {url}", f"The logs are in {self.children.logs}."
                    )
                self.stopped.wait(0.3)

    def _once(self, *arguments: str, log: str) -> None:
        """A command of Prefect's that ends."""
        command = [sys.executable, "-m", "prefect", *arguments]
        # The command is our own.
        done = subprocess.run(  # noqa: S603
            command,
            env=self.env,
            cwd=PROJECT,
            capture_output=True,
            check=False,
            preexec_fn=end_with_parent,
        )
        with (self.children.logs / log).open("ab") as file:
            file.write(done.stdout + done.stderr)
        self._go_on()
        if done.returncode:
            raise NotStarted(
                f"'prefect {' '.join(arguments)}' has failed",
                f"Its log is {self.children.logs / log}.",
            )


def _with_sandbox(settings: Settings, port: int) -> Settings:
    """``settings`` with the sandbox in the place of a tenant: its key, and a secret for its
    webhooks where none is set, for this start."""
    hooks = settings.webhooks
    if not hooks.guarded:
        hooks = hooks.model_copy(update={"secret": SecretStr(token_urlsafe())})
    place = {
        "base_url": f"http://127.0.0.1:{port}/accessplansandbox",
        "api_key": token_urlsafe(),
        "username": None,
        "password": None,
    }
    tenant = AccessplanitSettings.model_validate({**settings.accessplanit.model_dump(), **place})
    return settings.model_copy(update={"accessplanit": tenant, "webhooks": hooks})


def _hears(settings: Settings) -> bool:
    """Whether anybody can tell a receiver anything."""
    try:
        subscriptions(settings)
    except Misconfigured:
        return False
    return True


def _make_pool() -> None:
    """The work pool of our own worker, whose runs start warm."""
    template = WarmWorker.get_default_base_job_template()
    with get_client(sync_client=True) as client:
        client.create_work_pool(
            WorkPoolCreate(name=POOL, type=WarmWorker.type, base_job_template=template),
            overwrite=True,
        )


def _subscribe(sandbox_url: str, port: int, settings: Settings) -> None:
    """Lets the sandbox send what happens there to the receiver."""
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
    """Becomes the sandbox's server."""
    command = _sandbox_command(port, people, seed, tenant, database)
    # The command is our own.
    os.execv(command[0], command)  # noqa: S606
