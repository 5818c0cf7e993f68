"""What the commands share: one face for results, errors and tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
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
from connectors.home import own
from connectors.settings import Settings, load
from connectors.store.sql import SyncStore
from reconciliation.errors import HrsyncError
from reconciliation.plan import Plan
from reconciliation.processes import NAMES
from reconciliation.report import RunReport, differences
from tasks.connections import in_use

from ..local import running

out, err = Console(), Console(stderr=True)
ProcessArgument = Annotated[str, typer.Argument(help=f"One of {', '.join(NAMES)}.")]
"""The process that a command is about."""


def plain_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Our errors are one sentence and exit code 1; anything else is a defect and shows where it
    happened."""

    @wraps(command)
    def called(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except HrsyncError as error:
            where = f" [dim]Fix in: {error.fix_in}.[/]" if error.fix_in else ""
            told = f"[bold red]{type(error).__name__}[/]: {escape(str(error))}{where}"
            err.print(told, highlight=False, soft_wrap=True)
            raise typer.Exit(1) from None

    return called


def settings(warn: bool = True) -> Settings:
    """The settings, pointing to the running sandbox while no tenant is configured."""
    found = running.with_running_sandbox(load())
    for name in found.unknown() if warn else ():
        err.print(f"[yellow]{name} is not a setting of hrsync and is ignored[/]", highlight=False)
    return found


def exposed(found: Settings, blocks: bool = True) -> list[Finding]:
    """What weakens safety in the settings, and in the Prefect blocks that they name."""
    return exposures(found, in_use(found, NAMES, blocks))


def at_start(found: Settings, blocks: bool = True) -> None:
    """What ``up``, ``run`` and ``receiver`` do before they begin: the home folder is closed to
    others, and what is not safe is said."""
    home = found.home.absolute()
    if own(home):
        err.print(
            f"{home} could be read by other accounts of this machine; now it is yours alone",
            highlight=False,
            soft_wrap=True,
        )
    warn(exposed(found, blocks))


def warn(findings: Iterable[Finding]) -> None:
    """Prints warnings on the standard error stream, a line each."""
    for finding in findings:
        err.print(
            Text(f"{finding.check}: {finding.says}. {finding.remedy}", style="yellow"),
            soft_wrap=True,
        )


@contextmanager
def store() -> Iterator[SyncStore]:
    """The configured sync store, which must be there; says which one it is."""
    opened = SyncStore(load().store_url, create=False)
    err.print(f"[dim]sync store: {shown(opened.engine.url)}[/]", highlight=False, soft_wrap=True)
    try:
        yield opened
    finally:
        opened.close()


def unbroken(table: Table, columns: int) -> Table:
    """``table`` with its first columns kept whole on a narrow terminal; nothing is cut off."""
    for number, column in enumerate(table.columns):
        column.no_wrap = number < columns
        column.overflow = "fold"
    return table


def print_changes(plan: Plan, title: str, limit: int) -> None:
    """The first changes of a plan, field by field: personal data."""
    table = unbroken(Table("change", "HR key", "field", "before", "after", title=title), 3)
    last = ""
    for kind, key, field, before, after in differences(plan, limit):
        table.add_row(*((kind, key) if key != last else ("", "")), field, before, after)
        last = key
    if last:
        out.print(table)


def print_report(report: RunReport) -> None:
    """A run in figures."""
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
        f"{report.read:,} rows read, {report.reexamined:,} looked at again in HR; plan "
        f"{report.digest}",
        highlight=False,
    )


def end(state: Any) -> None:
    """Says how a flow run ended; exit code 1 unless it did what it was to do."""
    if state.is_completed():
        out.print(state.message, highlight=False, soft_wrap=True)
        return
    err.print(f"[bold red]{state.name}[/]: {state.message}", highlight=False, soft_wrap=True)
    raise typer.Exit(1)
