"""``hrsync status`` and ``hrsync why``: what runs did, and the history of one record."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table

from connectors.store.sql import SyncStore
from reconciliation.errors import WrongInput
from reconciliation.report import one_line_summary
from reconciliation.timeline import timeline

from ..catalogue import PROCESSES
from .terminal import Limit, out, plain_errors, store, unbroken

app = typer.Typer()


@app.command()
@plain_errors
def status(limit: Limit = 10) -> None:
    """Show the latest runs, the plans that wait for a decision, and what is in quarantine."""
    with store() as opened:
        out.print(unbroken(_runs(opened, limit), 3))
        if plans := _waiting_plans(opened):
            out.print(unbroken(plans, 3))
        out.print(_quarantine(opened) or "The quarantine is empty.")


def _runs(opened: SyncStore, limit: int) -> Table:
    table = Table("started (UTC)", "process", "outcome", "what it did", title="Latest runs")
    for row in opened.runs(limit):
        figures = row["report"]
        counts = one_line_summary(figures["read"], figures["outcomes"]) if figures else ""
        did = row["reason"] or counts
        mode = "" if row["mode"] == "apply" else f" ({row['mode']})"
        started = f"{row['started']:%d %b %H:%M:%S}"
        table.add_row(started, row["process"] + mode, row["outcome"] or "running", did)
    return table


def _waiting_plans(opened: SyncStore) -> Table | None:
    drafts = opened.drafts()
    if not drafts:
        return None
    table = Table("plan", "process", "made (UTC)", "what it waits for", title="Plans to decide on")
    for row in drafts:
        digest, made = row["digest"], f"{row['made']:%d %b %H:%M}"
        form = f"an approval in the Prefect run {row['flow_run']}, or " if row["flow_run"] else ""
        table.add_row(digest, row["process"], made, f"{form}hrsync apply or reject {digest}")
    return table


def _quarantine(opened: SyncStore) -> Table | None:
    counts = opened.quarantine_counts()
    if not counts:
        return None
    table = Table("process", "stage", "records", title="Quarantine")
    for (process, stage), rows in sorted(counts.items()):
        table.add_row(process, stage, f"{rows:,}")
    return table


@app.command()
@plain_errors
def why(
    key: Annotated[
        str,
        typer.Argument(
            help="The ID of a user or record in accessplanit, or the key of a row in HR."
        ),
    ],
    values: Annotated[
        bool, typer.Option(help="Also show the old and the new values: personal data.")
    ] = False,
) -> None:
    """Show the history of one record: what changed or was held, when, why and by which run."""
    if not key.strip():
        raise WrongInput("The key is empty", "Give the ID or key of one record.")
    with store() as opened:
        lines = _history(opened, key, values)
    for at, process, line in lines:
        text = f"[bold]{at:%d %b %Y %H:%M}[/]  [dim]{process}[/]  {line}"
        out.print(text, highlight=False, soft_wrap=True)
    if not lines:
        out.print(
            f"Nothing is known of '{key}'. It was never changed, held or linked, or it was erased.",
            highlight=False,
        )


def _history(opened: SyncStore, key: str, values: bool) -> list[tuple[datetime, str, str]]:
    links = opened.listed(None, key, 50)
    # A person has a different key on each side, and a run records the key of the side that it
    # wrote to.
    linked = [link[side] for link in links for side in ("source_key", "target_key")]
    keys = list(dict.fromkeys([key, *linked]))
    ledger = {entry["seq"]: entry for each in keys for entry in opened.story(each)}
    held = {entry["id"]: entry for each in keys for entry in opened.entries_of(each)}
    sides = {name: chosen.scoped().target_side for name, chosen in PROCESSES.items()}
    return timeline(
        [ledger[seq] for seq in sorted(ledger)], list(held.values()), links, sides, values
    )
