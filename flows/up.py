"""The quick start: every process that the integration needs on one machine, started in order and stopped together."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from secrets import token_urlsafe
from types import FrameType

import httpx
from httpx_retries import Retry, RetryTransport
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.deployments import run_deployment
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from connectors.home import at_work, held, own
from connectors.settings import AccessplanitSettings, Settings
from connectors.store.sql import SyncStore
from reconciliation.errors import Misconfigured
from tasks.blocks import register
from tasks.connections import hr_system

from .catalogue import FLOWS, WAVES
from .children import Children, NotStarted
from .orphans import crash_orphans
from .subscriptions import subscriptions
from .worker import WarmWorker

SANDBOX_KEY = "sandbox-key"
TEND_SECONDS = 1.0
"""Seconds between two looks at the parts."""
POOL = "hrsync"
PROJECT = Path(__file__).resolve().parent.parent


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
    """Starts, runs each process once, prints where things are, and keeps running until it is interrupted.

    Returns:
        Whether every first run has completed.

    Raises:
        NotStarted, Misconfigured: with the port or log to look at.
    """
    home = settings.home.absolute()
    if own(home):
        out.print(f"{home} could be read by other accounts of this machine; now it is yours alone", highlight=False)
    with held(home):
        return _up(settings, plan, out, home)


def _up(settings: Settings, plan: Plan, out: Console, home: Path) -> bool:
    stand_in = settings.accessplanit.base_url is None and settings.accessplanit_block is None
    if stand_in and not settings.webhooks.guarded:
        settings = settings.model_copy(update={"webhooks": settings.webhooks.model_copy(update={"secret": SecretStr(token_urlsafe())})})
    ports = {"Prefect": plan.prefect_port, "receiver": plan.receiver_port} | ({"sandbox": plan.sandbox_port} if stand_in else {})
    for name, port in ports.items():
        _free(name, port)
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    children = Children(home / "logs", PROJECT)
    completed = False
    began = time.monotonic()

    def say(text: str) -> None:
        out.print(f"[dim]{time.monotonic() - began:5.1f} s[/]  {text}", highlight=False)

    try:
        if stand_in:
            settings = _with_sandbox(settings, plan.sandbox_port)
            sandbox_url = f"http://127.0.0.1:{plan.sandbox_port}"
            say(f"starting the sandbox: no tenant is configured, {plan.people:,} invented people stand in")
            children.start(
                "sandbox", _sandbox_command(plan.sandbox_port, plan.people, 7, "standard", str(home / "sandbox.db")), dict(os.environ)
            )
        say("starting the Prefect server")
        env = environment(settings, plan.prefect_port)
        prefect = [sys.executable, "-m", "prefect"]
        server = [sys.executable, "-m", "flows.prefect_server", "--host", "127.0.0.1", "--port", str(plan.prefect_port)]
        children.start("prefect-server", server, env)
        _answers(f"{env['PREFECT_API_URL']}/health", children, stopped)
        if stand_in:
            _answers(f"{sandbox_url}/sandbox/health", children, stopped)
        say("setting up the databases")
        SyncStore(settings.store_url).close()
        target = hr_system(settings, "")
        say("creating the work pool and the deployments")
        with temporary_settings({PREFECT_API_URL: env["PREFECT_API_URL"]}):
            _make_pool()
            if orphans := crash_orphans(POOL):
                say(f"marked {orphans} run{'s' if orphans > 1 else ''} as Crashed: the last stop interrupted them")
            register()
            receiving = _hears(settings)
        _once([*prefect, "--no-prompt", "deploy", "--all"], env, children.logs / "deploy.log")
        children.start("worker", [*prefect, "worker", "start", "--pool", POOL, "--name", "hrsync-worker"], env)
        (home / "up.json").write_text(json.dumps({"environment": _shared(env)}))
        table = Table("flow", "state", "what it did", title="First runs")
        found: dict[str, First] = {}
        with temporary_settings({PREFECT_API_URL: env["PREFECT_API_URL"]}):
            for names in WAVES:
                say(f"running {', '.join(names)}")
                found |= _through_the_worker(names, stopped, children)
                if stopped.is_set():
                    return False
        if receiving:
            say("starting the receiver of webhooks")
            receiver = [sys.executable, "-m", "flows.start", "receiver", "--port", str(plan.receiver_port)]
            children.start("receiver", receiver, env)
            _answers(f"http://127.0.0.1:{plan.receiver_port}/health", children, stopped)
            if stand_in:
                _subscribe(sandbox_url, plan.receiver_port, settings)
        for name in FLOWS:
            table.add_row(name, found[name].state, found[name].message)
        out.print(table)
        completed = all(found[name].completed for name in FLOWS)
        where = Table(show_header=False, title="Where things are")
        where.add_row("Prefect UI", f"http://127.0.0.1:{plan.prefect_port}")
        tenant = settings.accessplanit.base_url or f"as in the Prefect block accessplanit/{settings.accessplanit_block}"
        where.add_row("accessplanit", f"{tenant} ({'sandbox: invented people' if stand_in else 'your tenant'})")
        where.add_row("HR", target.name)
        shown = "counts at /metrics" if settings.webhooks.open_pages else "counts at /metrics with the secret (or __OPEN_PAGES=true)"
        told = f"http://127.0.0.1:{plan.receiver_port}/webhooks/…, {shown}"
        where.add_row("webhooks", told if receiving else "no receiver: HRSYNC_WEBHOOKS__SECRET is not set")
        where.add_row("logs", str(children.logs))
        out.print(where)
        if not completed:
            late = ", ".join(name for name in FLOWS if not found[name].completed)
            out.print(f"[bold red]Not completed: {late}.[/] Look at the runs in the Prefect UI and at {children.logs}.", highlight=False)
        if plan.once:
            return completed
        soon = "Changes arrive by webhook in seconds; schedules run" if receiving else "Schedules run"
        out.print(f"{soon} every 5 to 60 minutes.", highlight=False)
        out.print("Ctrl-C stops everything; the next start continues from here.", highlight=False)
        ticked = time.monotonic()
        with temporary_settings({PREFECT_API_URL: env["PREFECT_API_URL"]}):
            while not stopped.wait(TEND_SECONDS):
                for told in children.tend({"worker": partial(crash_orphans, POOL)}):
                    say(told)
                if stand_in and time.monotonic() - ticked >= plan.tick_seconds:
                    ticked = time.monotonic()
                    with suppress(httpx.HTTPError):
                        httpx.post(f"{sandbox_url}/sandbox/tick", json={"events": 10}, timeout=60)
        return completed
    finally:
        out.print("stopping …", highlight=False)
        (home / "up.json").unlink(missing_ok=True)
        children.stop()
        out.print("stopped", highlight=False)


def environment(settings: Settings, prefect_port: int) -> dict[str, str]:
    """The environment of Prefect's processes and, through the worker, of every flow run."""
    home = settings.home.absolute()
    # A run that an event starts is taken up at once, and one that must wait for another of its flow waits no longer than that.
    eager = {
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_ENABLE_CANCELLATION": "true",
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
        # The slot of a run that is gone becomes free by itself, also when the server was started anew meanwhile.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "60",
        # As prefect.yaml has it, and early enough: a run inherits what the worker has imported.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }
    own = {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": f"http://127.0.0.1:{prefect_port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_LOGGING_LEVEL": "INFO",
    }
    # A flow run works in a folder of its own: what came from .env or is relative to here must reach it in full.
    return {**eager, **os.environ, **settings.model_copy(update={"home": home}).as_environment(), **own}


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
        client.create_work_pool(WorkPoolCreate(name=POOL, type=WarmWorker.type, base_job_template=template), overwrite=True)


def _subscribe(sandbox_url: str, port: int, settings: Settings) -> None:
    """Lets the sandbox send what happens there to the receiver."""
    hooks = settings.webhooks
    headers = {hooks.secret_header: hooks.secret.get_secret_value()} if hooks.secret else {}
    wanted = {"url": f"http://127.0.0.1:{port}/webhooks", "headers": headers}
    httpx.post(f"{sandbox_url}/sandbox/webhooks", json=wanted, timeout=30).raise_for_status()


def _shared(env: dict[str, str]) -> dict[str, str]:
    """What other commands need to find the running server and sandbox; no credentials but the sandbox's."""
    names = ["PREFECT_API_URL"]
    if env.get("HRSYNC_ACCESSPLANIT__API_KEY") == SANDBOX_KEY:
        names += ["HRSYNC_ACCESSPLANIT__BASE_URL", "HRSYNC_ACCESSPLANIT__API_KEY"]
    return {name: env[name] for name in names if name in env}


def _running(settings: Settings) -> dict[str, str]:
    """The environment that a running ``hrsync up`` has left; empty if none runs."""
    note = settings.home / "up.json"
    if not note.exists() or not at_work(settings.home):
        return {}
    return dict(json.loads(note.read_text())["environment"])


@contextmanager
def in_running_server(settings: Settings) -> Iterator[None]:
    """Flow runs of this process appear in the server that ``hrsync up`` runs, if it does."""
    url = _running(settings).get("PREFECT_API_URL")
    with temporary_settings({PREFECT_API_URL: url} if url else {}):
        yield


def with_running_sandbox(settings: Settings) -> Settings:
    """Settings that point to the running sandbox while no tenant is configured."""
    note = {k: v for k, v in _running(settings).items() if k.startswith("HRSYNC_")}
    if settings.accessplanit.base_url or settings.accessplanit_block or not note:
        return settings
    # In the environment, because a flow reads its settings there.
    os.environ.update(note)
    return Settings()


def _with_sandbox(settings: Settings, port: int) -> Settings:
    tenant = AccessplanitSettings.model_validate(
        {**settings.accessplanit.model_dump(), "base_url": f"http://127.0.0.1:{port}/accessplansandbox", "api_key": SANDBOX_KEY}
    )
    return settings.model_copy(update={"accessplanit": tenant})


def _sandbox_command(port: int, people: int, seed: int, tenant: str, database: str) -> list[str]:
    options = {"--port": port, "--people": people, "--seed": seed, "--tenant": tenant, "--database": database}
    return [sys.executable, "-m", "sandbox", *(str(part) for option in options.items() for part in option)]


def serve_sandbox(port: int, people: int, seed: int, tenant: str, database: str) -> None:
    """Becomes the sandbox's server."""
    command = _sandbox_command(port, people, seed, tenant, database)
    os.execv(command[0], command)  # noqa: S606


def _free(name: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            option = f"--{name.lower()}-port"
            raise Misconfigured(
                f"Port {port}, which {name} needs, is in use", f"Stop what uses it, or choose another with {option}."
            ) from None


def _answers(url: str, children: Children, stopped: threading.Event) -> None:
    """Waits until ``url`` answers."""
    retry = Retry(total=1, backoff_factor=0.1)
    deadline = time.monotonic() + 180
    with httpx.Client(transport=RetryTransport(retry=retry), timeout=5) as client:
        while not stopped.is_set():
            children.check()
            try:
                if client.get(url).is_success:
                    return
            except httpx.HTTPError:
                pass
            if time.monotonic() > deadline:
                raise NotStarted(f"Nothing answers at {url}", f"The logs are in {children.logs}.")
            stopped.wait(0.3)


def _once(command: list[str], env: dict[str, str], log: Path) -> None:
    done = subprocess.run(command, env=env, cwd=PROJECT, capture_output=True, check=False)  # noqa: S603
    with log.open("ab") as file:
        file.write(done.stdout + done.stderr)
    if done.returncode:
        raise NotStarted(f"'{' '.join(command[2:5])}' has failed", f"Its log is {log}.")


@dataclass(frozen=True)
class First:
    """How the first run of a flow has ended."""

    state: str
    message: str
    completed: bool


def _through_the_worker(names: Sequence[str], stopped: threading.Event, children: Children) -> dict[str, First]:
    """Runs deployments side by side as their schedules do, and waits for them, ready to stop waiting."""
    found = dict.fromkeys(names, First("not finished", "", completed=False))

    def run(name: str) -> None:
        state = run_deployment(f"{name}/{name.replace('_', '-')}", timeout=600, poll_interval=0.5, as_subflow=False).state
        if state is not None:
            found[name] = First(state.name or "", state.message or "", state.is_completed())

    # A thread does not see this one's Prefect settings unless it gets them.
    threads = [threading.Thread(target=copy_context().run, args=(run, name), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) and not stopped.is_set():
        children.check()
        stopped.wait(0.2)
    return found
