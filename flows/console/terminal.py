"""What all commands share: settings, the store, and one style for results, errors and tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from connectors.accessplanit.probe import Finding
from connectors.database import shown
from connectors.exposure import exposures
from connectors.home import make_private
from connectors.settings import Settings, load
from connectors.store.sql import SyncStore
from reconciliation.errors import HrsyncError
from reconciliation.plan import Plan
from reconciliation.processes import NAMES
from reconciliation.report import RunReport, field_differences
from tasks.connections import in_use

from ..local import running

out, err = Console(), Console(stderr=True)
ProcessArgument = Annotated[str, typer.Argument(help=f"One of {', '.join(NAMES)}.")]
"""The process that a command is about."""
Limit = Annotated[int, typer.Option(min=1, help="Maximum number of rows to show.")]


def plain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Prints an error of hrsync as one sentence, with exit code 1. Any other exception is a defect
    and keeps its traceback."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except HrsyncError as error:
            where = f" [dim]Fix in: {error.fix_in}.[/]" if error.fix_in else ""
            message = f"[bold red]{type(error).__name__}[/]: {escape(str(error))}{where}"
            err.print(message, highlight=False, soft_wrap=True)
            raise typer.Exit(1) from None

    return wrapper


def settings(warn_of_unknown: bool = True) -> Settings:
    """The settings, pointing to the running sandbox while no tenant is configured."""
    config = running.with_running_sandbox(load())
    if warn_of_unknown:
        for name in config.unknown():
            text = f"[yellow]{name} is not a setting of hrsync and is ignored[/]"
            err.print(text, highlight=False)
    return config


def unsafe_settings(config: Settings, blocks: bool = True) -> list[Finding]:
    """The unsafe settings, those of the Prefect blocks among them if ``blocks``."""
    return exposures(config, in_use(config, NAMES, blocks))


def secure_home(config: Settings, blocks: bool = True) -> None:
    """Makes the home folder private and prints a warning for each unsafe setting. ``up``, ``run``
    and ``receiver`` begin with it."""
    home = config.home.absolute()
    if make_private(home):
        text = f"Other accounts of this machine could read {home}. Now only you can."
        err.print(text, highlight=False, soft_wrap=True)
    warn(unsafe_settings(config, blocks))


def warn(findings: Iterable[Finding]) -> None:
    """Prints warnings to the standard error stream, one line each."""
    for finding in findings:
        err.print(
            Text(f"{finding.check}: {finding.says}. {finding.remedy}", style="yellow"),
            soft_wrap=True,
        )


@contextmanager
def store() -> Iterator[SyncStore]:
    """Opens the configured sync store and prints its address. Fails if it does not exist."""
    opened = SyncStore(load().store_url, create=False)
    err.print(f"[dim]sync store: {shown(opened.engine.url)}[/]", highlight=False, soft_wrap=True)
    try:
        yield opened
    finally:
        opened.close()


def unbroken(table: Table, columns: int) -> Table:
    """``table`` with its first ``columns`` columns on one line. The others wrap."""
    for number, column in enumerate(table.columns):
        column.no_wrap = number < columns
        column.overflow = "fold"
    return table


def print_changes(plan: Plan, title: str, limit: int) -> None:
    """Prints the first changes of a plan, field by field: personal data."""
    table = unbroken(Table("change", "key", "field", "before", "after", title=title), 3)
    last = ""
    for kind, key, field, before, after in field_differences(plan, limit):
        table.add_row(*((kind, key) if key != last else ("", "")), field, before, after)
        last = key
    if last:
        out.print(table)


def print_report(report: RunReport) -> None:
    """Prints how many rows of a run had which outcome."""
    out.print(f"Source: {report.source}", highlight=False)
    table = Table("outcome", "rows")
    for name, rows in report.outcomes.items():
        if rows:
            table.add_row(name, f"{rows:,}")
    table.add_row("sum", f"{sum(report.outcomes.values()):,}", style="bold")
    out.print(table)
    if report.sweep:
        out.print(
            "Sweep: " + ", ".join(f"{rows:,} {name}" for name, rows in report.sweep.items()),
            highlight=False,
        )
    out.print(
        f"{report.read:,} rows read, {report.reexamined:,} compared with {report.target_side} "
        f"again. Plan {report.digest}.",
        highlight=False,
    )


def more(rows: Sequence[object], limit: int) -> None:
    """Says that a list was cut, where ``rows`` has more than the ``limit`` that it shows."""
    if len(rows) > limit:
        out.print(f"The list is cut after {limit:,}. Show more with --limit.", highlight=False)


def end(*states: Any) -> None:
    """Prints how flow runs ended. Exits with code 1 unless all of them completed."""
    for state in states:
        if state.is_completed():
            out.print(state.message, highlight=False, soft_wrap=True)
        else:
            text = f"[bold red]{state.name}[/]: {state.message}"
            err.print(text, highlight=False, soft_wrap=True)
    if not all(state.is_completed() for state in states):
        raise typer.Exit(1)
