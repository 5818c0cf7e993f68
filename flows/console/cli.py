"""The command line ``hrsync``: its commands, one group of them per module."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Annotated

import typer
from prefect.settings import PREFECT_API_URL
from rich.table import Table

from connectors.settings import load
from reconciliation.errors import StalePlan
from tasks.connections import connections

from .._run import plainly, run_process
from ..catalogue import process
from ..local import up as quick_start
from ..local.running import in_running_server
from ..options import RunOptions
from ..reconcile_history import ENTITIES, Only, When, keep_list, reconcile_history
from .conflicts import app as conflicts
from .doctor import findings
from .links import app as links
from .mapping import app as mapping
from .quarantine import app as quarantine
from .status import app as status
from .terminal import (
    ProcessArgument,
    end,
    out,
    plain_errors,
    print_changes,
    print_report,
    secure_home,
    store,
    unbroken,
)
from .terminal import settings as read_settings
from .upkeep import app as upkeep
from .webhooks import app as webhooks

app = typer.Typer(
    help="accessplanit ⇄ HR: pull feeds, reconcile, load.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(status)
app.add_typer(upkeep)
app.add_typer(quarantine, name="quarantine")
app.add_typer(links, name="links")
app.add_typer(conflicts, name="conflicts")
app.add_typer(mapping, name="mapping")
app.add_typer(webhooks, name="webhooks")

Filter = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        "-f",
        help="NAME=VALUE: a filter of the flow's form (docs/processes.md). Separate list items "
        "with commas.",
    ),
]
Full = Annotated[bool, typer.Option(help=RunOptions.meaning("full"))]
Sweep = Annotated[bool, typer.Option(help=RunOptions.meaning("sweep"))]
Since = Annotated[datetime | None, typer.Option(help=RunOptions.meaning("since"))]


@app.command()
@plain_errors
def up(
    people: Annotated[int, typer.Option(help="Number of people in the sandbox.")] = 2000,
    tick_seconds: Annotated[
        float, typer.Option(help="Seconds between changes in the sandbox.")
    ] = 60.0,
    once: Annotated[
        bool, typer.Option(help="Stop after the first runs; exit code 1 if one did not complete.")
    ] = False,
    sandbox_port: int = 8600,
    prefect_port: int = 4200,
    receiver_port: int = 8601,
) -> None:
    """Start everything: sandbox (while no tenant is configured), Prefect, deployments, worker,
    receiver, first runs."""
    plan = quick_start.Plan(people, tick_seconds, once, sandbox_port, prefect_port, receiver_port)
    settings = load()
    secure_home(settings, blocks=False)
    if not quick_start.up(settings, plan, out) and once:
        raise typer.Exit(1)


@app.command()
def sandbox(
    port: int = 8600,
    people: int = 2000,
    seed: int = 7,
    tenant: Annotated[
        str, typer.Option(help="standard, or awkward for another dialect.")
    ] = "standard",
    database: Annotated[str, typer.Option(help="File in which to keep the data.")] = ":memory:",
) -> None:
    """Serve a local accessplanit with invented people."""
    quick_start.serve_sandbox(port, people, seed, tenant, database)


@app.command()
@plain_errors
def receiver(
    host: Annotated[
        str,
        typer.Option(
            help="Do not open this address to the internet. Put a proxy with TLS in front."
        ),
    ] = "127.0.0.1",
    port: int = 8601,
) -> None:
    """Receive webhooks from accessplanit, and from HR if it sends any, and start runs within
    seconds."""
    from ..receiver.app import serve

    settings = read_settings()
    with in_running_server(settings):
        secure_home(settings)
        serve(settings, host, port, PREFECT_API_URL.value())


@app.command()
@plain_errors
def plan(
    name: ProcessArgument,
    filter_: Filter = None,
    full: Full = False,
    since: Since = None,
    sweep: Sweep = False,
    keep: Annotated[
        bool,
        typer.Option("--out", help="Keep the plan, so that 'hrsync apply' can carry it out."),
    ] = False,
    limit: Annotated[int, typer.Option(help="Maximum number of changes to show.")] = 20,
) -> None:
    """Show what a run would do, without Prefect and without writing to HR. The output holds
    personal data."""
    chosen = process(name)
    settings = read_settings()
    filters = chosen.filters.of_texts(filter_ or [])
    options = RunOptions.of({"mode": "plan", "full": full, "since": since, "sweep": sweep})
    with connections(settings) as sides:
        spec = sides.narrowed(chosen.narrowed(filters))
        world = chosen.through(sides.world(spec), filters)
        order = replace(options.order(), keep=keep)
        report, changes = run_process(spec, world, order, call=plainly)
    print_changes(changes, f"{spec.title}: the first {limit} changes", limit)
    print_report(report)
    if keep and len(changes.changes):
        out.print(
            f"Plan kept. To carry out exactly this plan: hrsync apply {changes.digest}",
            highlight=False,
        )


@app.command()
@plain_errors
def run(
    name: ProcessArgument,
    filter_: Filter = None,
    full: Full = False,
    since: Since = None,
    sweep: Sweep = False,
) -> None:
    """Run a process now, as a Prefect flow run."""
    chosen = process(name)
    settings = read_settings()
    filters = chosen.filters.of_texts(filter_ or [])
    given = {"full": full, "since": since, "sweep": sweep}
    # Some flows have none of these options: only those that were given are passed on.
    options = chosen.options.of({name: value for name, value in given.items() if value})
    with in_running_server(settings):
        secure_home(settings)
        state = chosen.flow(filters=filters, run=options, return_state=True)
    end(state)


@app.command()
@plain_errors
def reconcile(
    what: Annotated[
        str, typer.Argument(help=f"An entity ({', '.join(ENTITIES)}) or a process.")
    ] = "awards",
    as_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help=When.meaning("as_of")),
    ] = None,
    known_at: Annotated[datetime | None, typer.Option(help=When.meaning("known_at"))] = None,
    period_from: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help=When.meaning("period_from")),
    ] = None,
    period_to: Annotated[
        datetime | None,
        typer.Option("--to", formats=["%Y-%m-%d"], help=When.meaning("period_to")),
    ] = None,
    company: Annotated[
        list[str] | None, typer.Option(help="ID of a company. Can be repeated.")
    ] = None,
    award: Annotated[
        list[str] | None, typer.Option(help="ID of an award. Can be repeated.")
    ] = None,
    role: Annotated[
        list[str] | None, typer.Option(help="ID of a job role. Can be repeated.")
    ] = None,
    user: Annotated[
        list[str] | None, typer.Option(help="ID of a user in accessplanit. Can be repeated.")
    ] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Also plan the possible repairs. The plan waits for a decision."
        ),
    ] = False,
    filter_: Filter = None,
) -> None:
    """Compare accessplanit with HR and the ledger as of a day, and write a report. It holds
    personal data."""
    settings = read_settings()
    chosen = process(ENTITIES.get(what, what))
    when = When(
        as_of=as_of.date() if as_of else None,
        known_at=known_at,
        period_from=period_from.date() if period_from else None,
        period_to=period_to.date() if period_to else None,
    )
    only = Only(
        companies=company or [],
        awards=award or [],
        roles=role or [],
        people=keep_list(settings, user) if user else None,
        filters=chosen.filters.of_texts(filter_ or []).model_dump(exclude_unset=True),
    )
    with in_running_server(settings):
        state = reconcile_history(
            what, "repair" if repair else "report", when, only, return_state=True
        )
    end(state)


@app.command()
@plain_errors
def show(
    digest: Annotated[
        str, typer.Argument(help="Digest of a plan that was kept or stopped by its guard.")
    ],
    limit: int = 100,
) -> None:
    """Show a kept plan, field by field. The output holds personal data."""
    with store() as sync_store:
        draft = sync_store.draft(digest)
    print_changes(
        draft.compared.plan, f"{draft.spec.title}: the first {limit} changes of {digest}", limit
    )
    counts = ", ".join(f"{rows:,} to {kind}" for kind, rows in draft.compared.plan.counts().items())
    planned = f"planned on {draft.report.started:%d %b %Y %H:%M} UTC from {draft.report.source}"
    out.print(f"{counts}; {planned}", highlight=False)


@app.command()
@plain_errors
def apply(
    digest: Annotated[
        str, typer.Argument(help="Digest of a plan that was kept or stopped by its guard.")
    ],
) -> None:
    """Carry out exactly the plan with this digest, as a Prefect flow run. Refused if HR has changed
    since the plan was made."""
    settings = read_settings()
    with store() as sync_store:
        name = sync_store.draft(digest).spec.name
    with in_running_server(settings):
        state = process(name).flow(run={"approve": digest}, return_state=True)
    end(state)


@app.command()
@plain_errors
def reject(
    digest: Annotated[
        str, typer.Argument(help="Digest of a plan that was kept or stopped by its guard.")
    ],
) -> None:
    """Drop a plan. Nothing is written to HR."""
    with store() as sync_store:
        sync_store.draft(digest)
        if not sync_store.close_plan(digest, "rejected"):
            raise StalePlan(
                f"The plan {digest} is being applied and cannot be rejected",
                "Wait for its run to end: hrsync status.",
            )
    out.print(f"The plan {digest} is rejected.", highlight=False)


@app.command()
@plain_errors
def doctor() -> None:
    """Check settings, credentials, rights, clock, databases and every assumption about the API."""
    checks = list(findings(read_settings(warn_of_unknown=False)))
    table = unbroken(Table("check", "verdict", "result", "what to do"), 2)
    colours = {
        "confirmed": "green",
        "refuted": "red",
        "warning": "yellow",
        "not testable": "yellow",
    }
    for each in checks:
        verdict = f"[{colours[each.verdict]}]{each.verdict}[/]"
        table.add_row(each.check, verdict, each.says, each.remedy)
    out.print(table)
    if any(each.verdict == "refuted" for each in checks):
        raise typer.Exit(1)
