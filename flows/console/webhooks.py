"""``hrsync webhooks``: lists deliveries, and lets runs read their records again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from reconciliation.errors import WrongInput
from reconciliation.report import with_noun

from .terminal import out, plain_errors, store, unbroken

app = typer.Typer(help="Deliveries of webhooks.", no_args_is_help=True)


@app.command("list")
@plain_errors
def list_(
    limit: int = 20,
    waiting: Annotated[
        bool, typer.Option(help="Only those that no run has processed yet.")
    ] = False,
) -> None:
    """List the latest deliveries, and what became of them. The records are personal data and are
    not shown."""
    with store() as sync_store:
        rows = sync_store.deliveries(limit, waiting=waiting)
        hints = sync_store.waiting_hints()
    table = Table(
        "number",
        "received (UTC)",
        "subscription",
        "method",
        "records",
        "repeats",
        "loaded after",
        title="Deliveries",
    )
    for row in rows:
        if row["waiting"]:
            loaded_after = "waits"
        elif row["heard"]:
            loaded_after = f"{(row['heard'] - row['received']).total_seconds():.1f} s"
        else:
            loaded_after = "concerns no process"
        table.add_row(
            str(row["id"]),
            f"{row['received']:%d %b %H:%M:%S}",
            row["subscription"],
            row["method"],
            str(row["records"]),
            str(row["repeats"]) if row["repeats"] else "",
            loaded_after,
        )
    out.print(unbroken(table, 4))
    if hints:
        out.print(
            "Records that wait to be loaded: "
            + ", ".join(f"{w.fresh + w.sent:,} of {name}" for name, w in sorted(hints.items())),
            highlight=False,
        )


@app.command()
@plain_errors
def replay(
    numbers: Annotated[list[int] | None, typer.Argument(help="Numbers of deliveries.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Also all deliveries since this moment (UTC).")
    ] = None,
) -> None:
    """Let the next runs read the records of deliveries again. If the receiver runs, they start at
    once."""
    if not numbers and since is None:
        raise WrongInput(
            "No deliveries are chosen",
            "Give the numbers of deliveries ('hrsync webhooks list') or --since.",
        )
    moment = since.replace(tzinfo=UTC) if since and since.tzinfo is None else since
    with store() as sync_store:
        hints = sync_store.replay(numbers or [], moment, datetime.now(UTC))
    if not hints:
        raise WrongInput(
            "No such delivery names a record that concerns a process",
            "Look them up with 'hrsync webhooks list'.",
        )
    out.print(f"Queued to be read again: {with_noun(hints, 'record')}.", highlight=False)
