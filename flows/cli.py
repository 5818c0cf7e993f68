"""``hrsync``: the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from connectors.accessplanit.client import AccessplanitSource
from connectors.accessplanit.probe import Finding, probe
from connectors.hr import REGISTRY
from connectors.settings import Settings, load
from connectors.store.sql import SyncStore
from reconciliation.errors import HrsyncError, Misconfigured
from reconciliation.report import RunReport, differences, sentence
from tasks.connections import accessplanit_settings, connections

from . import up as quick_start
from ._process import Order, World, plainly, run_process
from .catalogue import PROCESSES, process

app = typer.Typer(help="accessplanit ⇄ HR: pull feeds, reconcile, load.", no_args_is_help=True, pretty_exceptions_enable=False)
quarantine = typer.Typer(help="Records that did not go through.", no_args_is_help=True)
app.add_typer(quarantine, name="quarantine")
out, err = Console(), Console(stderr=True)

ProcessName = Annotated[str, typer.Argument(help=f"One of {', '.join(PROCESSES)}.")]
Filter = Annotated[list[str] | None, typer.Option("--filter", "-f", help="NAME=VALUE; lists comma-separated. As in the flow's form.")]
Full = Annotated[bool, typer.Option(help="Read everything, not only what has changed.")]
Since = Annotated[datetime | None, typer.Option(help="Read what changed from this moment on (UTC).")]


def _plain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Our errors are one sentence and exit code 1; anything else is a defect and shows where it happened."""

    @wraps(command)
    def called(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except HrsyncError as error:
            err.print(f"[bold red]{type(error).__name__}[/]: {error}", highlight=False, soft_wrap=True)
            raise typer.Exit(1) from None

    return called


@app.command()
@_plain_errors
def up(
    people: Annotated[int, typer.Option(help="Size of the sandbox's organisation.")] = 2000,
    tick_seconds: Annotated[float, typer.Option(help="Pause between the sandbox's changes.")] = 60.0,
    once: Annotated[bool, typer.Option(help="Stop after the first runs.")] = False,
    sandbox_port: int = 8600,
    prefect_port: int = 4200,
) -> None:
    """Start everything: sandbox (while no tenant is configured), Prefect, deployments, worker, first runs."""
    plan = quick_start.Plan(people, tick_seconds, once, sandbox_port, prefect_port)
    quick_start.up(load(), plan, out)


@app.command()
def sandbox(
    port: int = 8600,
    people: int = 2000,
    seed: int = 7,
    tenant: Annotated[str, typer.Option(help="standard or awkward: another dialect.")] = "standard",
    database: Annotated[str, typer.Option(help="A file to keep the organisation in.")] = ":memory:",
) -> None:
    """Serve a local accessplanit with invented people."""
    quick_start.serve_sandbox(port, people, seed, tenant, database)


@app.command()
@_plain_errors
def plan(
    name: ProcessName,
    filter_: Filter = None,
    full: Full = False,
    since: Since = None,
    limit: Annotated[int, typer.Option(help="So many changes are shown field by field.")] = 20,
) -> None:
    """Show what a run would do, without Prefect and without writing. The output holds personal data."""
    chosen = process(name)
    settings = _settings()
    spec = chosen.scoped(**chosen.filters(filter_ or []))
    with connections(settings) as opened:
        order = Order(mode="plan", full=full, since=since)
        report, found = run_process(spec, World.of(opened, settings), order, call=plainly)
    table = _unbroken(Table("change", "HR key", "field", "now", "then", title=f"{spec.title}: the first {limit} changes"), 3)
    last = ""
    for kind, key, field, before, after in differences(found, limit):
        table.add_row(*((kind, key) if key != last else ("", "")), field, before, after)
        last = key
    if last:
        out.print(table)
    _print_report(report)


@app.command()
@_plain_errors
def run(
    name: ProcessName,
    filter_: Filter = None,
    full: Full = False,
    since: Since = None,
    approve: Annotated[str | None, typer.Option(help="Digest of a plan that its guard has stopped.")] = None,
) -> None:
    """Run a process now, as a Prefect flow run."""
    chosen = process(name)
    settings = _settings()
    filters = chosen.filters(filter_ or [])
    chosen.scoped(**filters)
    with quick_start.in_running_server(settings):
        state = chosen.flow(**filters, full=full, since=since, approve=approve, return_state=True)
    _end(state)


def _end(state: Any) -> None:
    if state.is_completed():
        out.print(state.message, highlight=False, soft_wrap=True)
        return
    err.print(f"[bold red]{state.name}[/]: {state.message}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)


@app.command()
@_plain_errors
def status(limit: int = 10) -> None:
    """The latest runs, and what is in quarantine."""
    with _store() as store:
        table = Table("started (UTC)", "process", "outcome", "what it did", title="Latest runs")
        for row in store.runs(limit):
            figures = row["report"]
            did = sentence(figures["read"], figures["outcomes"]) if figures else row["reason"] or ""
            mode = "" if row["mode"] == "apply" else f" ({row['mode']})"
            table.add_row(f"{row['started']:%d %b %H:%M:%S}", row["process"] + mode, row["outcome"] or "running", did)
        out.print(_unbroken(table, 3))
        counts = store.quarantine_counts()
        if counts:
            held = Table("process", "stage", "records", title="Quarantine")
            for (name, stage), rows in sorted(counts.items()):
                held.add_row(name, stage, f"{rows:,}")
            out.print(held)
        else:
            out.print("The quarantine is empty.")


@quarantine.command("list")
@_plain_errors
def quarantine_list(name: Annotated[str | None, typer.Argument(help="Process; all if none is named.")] = None, limit: int = 50) -> None:
    """Open entries: what, where and why."""
    with _store() as store:
        entries = store.quarantined(name, limit)
    table = Table("id", "process", "key", "stage", "field and reason")
    for e in entries:
        why = f"{e['field'] or ''} {e['reason']}".strip() + (f" ({e['waits_for']})" if e["waits_for"] else "")
        table.add_row(str(e["id"]), e["process"], e["key"] or "(unreadable)", e["stage"], why)
    out.print(_unbroken(table, 4) if entries else "The quarantine is empty.")


@quarantine.command("show")
@_plain_errors
def quarantine_show(entry: int, raw: Annotated[bool, typer.Option(help="Show the record itself: personal data.")] = False) -> None:
    """One entry, whole. The record itself only on request."""
    with _store() as store:
        found = store.quarantine_entry(entry)
    if found is None:
        raise Misconfigured(f"The quarantine has no entry {entry}", "Look it up with 'hrsync quarantine list'.")
    table = Table(show_header=False)
    for name, value in found.items():
        hidden = name == "raw" and value and not raw
        table.add_row(name, "(hidden; --raw shows it)" if hidden else "" if value is None else str(value))
    out.print(table)


@quarantine.command("replay")
@_plain_errors
def quarantine_replay(
    name: ProcessName, keys: Annotated[list[str] | None, typer.Argument(help="Keys; all open ones of the process if none is given.")] = None
) -> None:
    """Run the process now, and let it read these records again."""
    chosen = process(name)
    settings = _settings()
    with _store() as store:
        count = store.retry_now(name, keys or None)
    if not count:
        out.print("Nothing to replay.")
        return
    with quick_start.in_running_server(settings):
        state = chosen.flow(return_state=True)
    out.print(f"{count:,} records of the quarantine were looked at again.")
    _end(state)


@app.command()
@_plain_errors
def doctor() -> None:
    """Check settings, credentials, rights, clock, databases and every assumption about the API."""
    settings = _settings(warn=False)
    findings = [
        Finding(f"setting {name}", "refuted", "no such setting", "The data engineer must correct its name.") for name in settings.unknown()
    ]
    budget = None
    for what, opener in (("sync store", lambda: SyncStore(settings.store_url)), ("HR database", lambda: REGISTRY["sql"](settings))):
        try:
            opened = opener()
            findings.append(Finding(what, "confirmed", "can be reached, its tables are of this version"))
            budget = opened if isinstance(opened, SyncStore) else budget
        except HrsyncError as error:
            findings.append(Finding(what, "refuted", error.what, error.remedy))
    if isinstance(budget, SyncStore):
        try:
            tenant = accessplanit_settings(settings)
            share = budget.budget(tenant.requests_per_hour, tenant.hour_seconds)
            out.print(f"Tenant: {tenant.base_url}", highlight=False)
            findings += probe(AccessplanitSource(tenant, settings.dialect, share))
        except HrsyncError as error:
            findings.append(Finding("accessplanit", "refuted", error.what, error.remedy))
    table = _unbroken(Table("check", "verdict", "found", "who must do what"), 2)
    colours = {"confirmed": "green", "refuted": "red", "not testable": "yellow"}
    for f in findings:
        table.add_row(f.check, f"[{colours[f.verdict]}]{f.verdict}[/]", f.says, f.remedy)
    out.print(table)
    if any(f.verdict == "refuted" for f in findings):
        raise typer.Exit(1)


def _settings(warn: bool = True) -> Settings:
    settings = quick_start.with_running_sandbox(load())
    for name in settings.unknown() if warn else ():
        err.print(f"[yellow]{name} is no setting of hrsync and is ignored[/]", highlight=False)
    return settings


@contextmanager
def _store() -> Iterator[SyncStore]:
    store = SyncStore(load().store_url)
    try:
        yield store
    finally:
        store.close()


def _unbroken(table: Table, columns: int) -> Table:
    """``table`` with its first columns kept whole on a narrow terminal; nothing is cut off."""
    for number, column in enumerate(table.columns):
        column.no_wrap = number < columns
        column.overflow = "fold"
    return table


def _print_report(report: RunReport) -> None:
    out.print(f"Source: {report.source}", highlight=False)
    table = Table("outcome", "rows")
    for name, rows in report.outcomes.items():
        if rows:
            table.add_row(name, f"{rows:,}")
    table.add_row("sum", f"{sum(report.outcomes.values()):,}", style="bold")
    out.print(table)
    out.print(f"{report.read:,} rows read, {report.reexamined:,} looked at again in HR; plan {report.digest}", highlight=False)


def main() -> None:
    """The console script."""
    app()


if __name__ == "__main__":
    sys.exit(main())
