"""``hrsync quarantine``: the records that were not loaded, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from reconciliation.errors import WrongInput

from ..catalogue import process
from ..local.running import in_running_server
from ..replay import replay
from .terminal import (
    Limit,
    ProcessArgument,
    end,
    more,
    out,
    plain_errors,
    settings,
    store,
    unbroken,
)

app = typer.Typer(help="Records that were not loaded.", no_args_is_help=True)


@app.command("list")
@plain_errors
def list_(
    name: Annotated[str | None, typer.Argument(help="The process. Default: all processes.")] = None,
    limit: Limit = 50,
) -> None:
    """List the open entries, the oldest first, with the stage and the reason."""
    with store() as opened:
        entries = opened.quarantined(name, limit + 1)
    if not entries:
        out.print("The quarantine is empty.")
        return
    table = Table("id", "process", "key", "stage", "field and reason", "next attempt (UTC)")
    for entry in entries[:limit]:
        key = entry["key"] or "(unreadable)"
        table.add_row(
            str(entry["id"]), entry["process"], key, entry["stage"], _reason(entry), _next(entry)
        )
    out.print(unbroken(table, 4))
    more(entries, limit)


def _reason(entry: Mapping[str, Any]) -> str:
    reason = f"{entry['field'] or ''} {entry['reason']}".strip()
    return f"{reason} ({entry['waits_for']})" if entry["waits_for"] else reason


def _next(entry: Mapping[str, Any]) -> str:
    """When the record is read again."""
    if entry["waits_for"]:
        return "when the person arrives"
    return f"{entry['next_attempt']:%d %b %H:%M}" if entry["next_attempt"] else "by hand"


@app.command()
@plain_errors
def show(
    entry: int,
    raw: Annotated[bool, typer.Option(help="Show the record itself: personal data.")] = False,
) -> None:
    """Show one entry in full. Use --raw to show the record itself."""
    with store() as opened:
        found = opened.quarantine_entry(entry)
    if found is None:
        raise _no_entry(entry)
    if found["raw"] and not raw:
        found["raw"] = "(hidden; --raw shows it)"
    table = Table(show_header=False)
    for name, value in found.items():
        table.add_row(name, "" if value is None else str(value))
    out.print(unbroken(table, 1))


@app.command("replay")
@plain_errors
def replay_(
    name: ProcessArgument,
    keys: Annotated[
        list[str] | None,
        typer.Argument(help="Keys of the records. Default: all open entries of the process."),
    ] = None,
) -> None:
    """Read these records again now, each with the filters of the run that put it into the
    quarantine."""
    process(name)
    config = settings()
    with store() as opened:
        waiting = opened.to_replay(name, keys or None)
    if not waiting:
        out.print("Nothing to replay.")
        return
    states = []
    for fingerprint, records in waiting.items():
        with store() as opened:
            opened.retry_now(name, records)
            feed = opened.scope(name, fingerprint).feed
            opened.hint(name, feed, records, datetime.now(UTC))
        with in_running_server(config):
            states.append(replay(name, fingerprint, return_state=True))
    end(*states)


@app.command()
@plain_errors
def discard(
    entry: Annotated[
        int, typer.Argument(help="The id of the entry, as 'quarantine list' shows it.")
    ],
    reason: Annotated[
        str, typer.Option(help="Why the record must not be loaded. No personal data.", prompt=True)
    ],
) -> None:
    """Do not load this version of the record. hrsync reads the record again when it changes."""
    with store() as opened:
        if not opened.discard(entry, reason):
            raise _no_entry(entry)
    out.print(f"Entry {entry} is discarded.", highlight=False)


def _no_entry(entry: int) -> WrongInput:
    return WrongInput(
        f"The quarantine has no open entry {entry}", "Look it up with 'hrsync quarantine list'."
    )
