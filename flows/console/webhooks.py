"""``hrsync webhooks``: what was delivered, and looking at it again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from reconciliation.errors import Misconfigured
from reconciliation.report import counted

from .terminal import out, plain_errors, store, unbroken

app = typer.Typer(help="Deliveries of webhooks.", no_args_is_help=True)


@app.command("list")
@plain_errors
def list_(
    limit: int = 20,
    waiting: Annotated[bool, typer.Option(help="Only those that no run has heard yet.")] = False,
) -> None:
    """The latest deliveries, and what became of them. The records they name are personal data and
    are not shown."""
    with store() as opened:
        rows = opened.deliveries(limit, waiting=waiting)
        hints = opened.waiting_hints()
    table = Table(
        "number",
        "received (UTC)",
        "subscription",
        "method",
        "records",
        "came again",
        "loaded after",
        title="Deliveries",
    )
    for row in rows:
        took = (
            f"{(row['heard'] - row['received']).total_seconds():.1f} s"
            if row["heard"] and not row["waiting"]
            else "waits"
        )
        unread = "concerns no process" if not row["heard"] and not row["waiting"] else took
        table.add_row(
            str(row["id"]),
            f"{row['received']:%d %b %H:%M:%S}",
            row["subscription"],
            row["method"],
            str(row["records"]),
            str(row["repeats"]) if row["repeats"] else "",
            unread,
        )
    out.print(unbroken(table, 4))
    if hints:
        out.print(
            "Hints that wait: "
            + ", ".join(f"{w.fresh + w.sent:,} of {name}" for name, w in sorted(hints.items())),
            highlight=False,
        )


@app.command()
@plain_errors
def replay(
    numbers: Annotated[list[int] | None, typer.Argument(help="Of deliveries.")] = None,
    since: Annotated[
        datetime | None, typer.Option(help="Also all that came from this moment on (UTC).")
    ] = None,
) -> None:
    """Look again at the records that deliveries have named, with the next runs; at once if the
    receiver runs."""
    if not numbers and since is None:
        raise Misconfigured(
            "Nothing is named",
            "Give the numbers of deliveries ('hrsync webhooks list') or --since.",
        )
    moment = since.replace(tzinfo=UTC) if since and since.tzinfo is None else since
    with store() as opened:
        hints = opened.replay(numbers or [], moment, datetime.now(UTC))
    if not hints:
        raise Misconfigured(
            "No such delivery has named a record that concerns a process",
            "Look them up with 'hrsync webhooks list'.",
        )
    out.print(f"Queued to be read again: {counted(hints, 'record')}.", highlight=False)
