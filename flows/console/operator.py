"""The commands with which people look into the sync store and decide: status, why, quarantine,
links, forget."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from connectors.settings import load
from reconciliation.errors import Misconfigured
from reconciliation.ownership import CONFLICT
from reconciliation.report import sentence
from reconciliation.spec import ProcessSpec
from reconciliation.timeline import timeline
from tasks.connections import hr_system

from ..catalogue import PROCESSES, process
from ..local.running import in_running_server
from ..replay import replay
from . import backup, forgetting
from .conflicts import app as conflicts
from .terminal import ProcessArgument, end, out, plain_errors, settings, store, unbroken

app = typer.Typer()
quarantine = typer.Typer(help="Records that did not go through.", no_args_is_help=True)
links = typer.Typer(help="Which accessplanit record is which HR record.", no_args_is_help=True)
app.add_typer(quarantine, name="quarantine")
app.add_typer(links, name="links")
app.add_typer(conflicts, name="conflicts")

ALL = 1_000_000
SPECS: list[ProcessSpec] = [chosen.scoped() for chosen in PROCESSES.values()]


@app.command()
@plain_errors
def status(limit: int = 10) -> None:
    """The latest runs, plans that wait for a decision, and what is in quarantine."""
    with store() as opened:
        table = Table("started (UTC)", "process", "outcome", "what it did", title="Latest runs")
        for row in opened.runs(limit):
            figures = row["report"]
            did = row["reason"] or (
                sentence(figures["read"], figures["outcomes"]) if figures else ""
            )
            mode = "" if row["mode"] == "apply" else f" ({row['mode']})"
            table.add_row(
                f"{row['started']:%d %b %H:%M:%S}",
                row["process"] + mode,
                row["outcome"] or "running",
                did,
            )
        out.print(unbroken(table, 3))
        drafts = opened.drafts()
        if drafts:
            waiting = Table(
                "plan", "process", "made (UTC)", "what it waits for", title="Plans to decide on"
            )
            for row in drafts:
                form = (
                    f"an approval in the Prefect run {row['flow_run']}, or "
                    if row["flow_run"]
                    else ""
                )
                waiting.add_row(
                    row["digest"],
                    row["process"],
                    f"{row['made']:%d %b %H:%M}",
                    f"{form}hrsync apply or reject {row['digest']}",
                )
            out.print(unbroken(waiting, 3))
        counts = opened.quarantine_counts()
        if counts:
            held = Table("process", "stage", "records", title="Quarantine")
            for (name, stage), rows in sorted(counts.items()):
                held.add_row(name, stage, f"{rows:,}")
            out.print(held)
        else:
            out.print("The quarantine is empty.")


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
        bool, typer.Option(help="With what stood there before and after: personal data.")
    ] = False,
) -> None:
    """Tell the story of one record: what was seen, when, why it was changed or held, by which
    run."""
    with store() as opened:
        links = opened.listed(None, key, 50)
        # Of one person each side has a name of its own, and each run has written down the one of
        # the side it wrote to.
        names = list(
            dict.fromkeys(
                [key, *(link[end] for link in links for end in ("source_key", "target_key"))]
            )
        )
        entries = {entry["seq"]: entry for name in names for entry in opened.story(name)}
        held = {entry["id"]: entry for name in names for entry in opened.entries_of(name)}
        sides = {s.name: s.target_side for s in SPECS}
        told = timeline(
            [entries[seq] for seq in sorted(entries)], list(held.values()), links, sides, values
        )
    for at, name, line in told:
        out.print(
            f"[bold]{at:%d %b %Y %H:%M}[/]  [dim]{name}[/]  {line}", highlight=False, soft_wrap=True
        )
    if not told:
        out.print(
            f"Nothing is known of '{key}': it was never changed, held or linked, or was "
            "forgotten since.",
            highlight=False,
        )


@app.command()
@plain_errors
def forget(
    person: Annotated[str, typer.Argument(help="The ID of the user in accessplanit.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase one person's data from all that hrsync keeps: sync store, files and copies of HR
    connectors, reports, lists."""
    found = settings()
    if others := forgetting.meant(found, person):
        out.print(
            f"There is no user '{person}'. Did you mean {' or '.join(others)}? An ID is meant "
            "to the letter. Nothing was erased."
        )
        raise typer.Exit(1)
    if not yes:
        typer.confirm(f"Erase everything about '{person}' that hrsync keeps?", abort=True)
    told = forgetting.forget(found, person)
    out.print(
        "Erased: " + ", ".join(f"{rows:,} {name}" for name, rows in told.erased.items()) + ".",
        highlight=False,
        soft_wrap=True,
    )
    out.print("Not erased:", highlight=False)
    for what in told.left:
        out.print(f"- {what}", highlight=False, soft_wrap=True)
    out.print(
        "If accessplanit still has the person in scope, the next run sees somebody new. "
        "Prefect keeps no personal data."
    )


@app.command("backup")
@plain_errors
def backup_command(to: Annotated[Path, typer.Argument(help="A new folder.")]) -> None:
    """Copy the sync store and the other databases of the home folder; runs may go on meanwhile. The
    copies hold personal data."""
    for told in backup.backup(load(), to):
        out.print(f"- {told}", highlight=False, soft_wrap=True)
    out.print(
        "Keep with it the settings (.env) and your mappings. To go back: hrsync restore, into "
        "an empty HRSYNC_HOME."
    )


@app.command("restore")
@plain_errors
def restore_command(
    source: Annotated[Path, typer.Argument(help="The folder that 'hrsync backup' has made.")],
) -> None:
    """Bring the databases of a backup into HRSYNC_HOME, which must have none."""
    for told in backup.restore(load(), source):
        out.print(f"- {told}", highlight=False, soft_wrap=True)
    out.print(
        "The next runs go on from there. What HR or accessplanit has changed since, a sweep "
        "finds: hrsync run PROCESS --sweep."
    )


@quarantine.command("list")
@plain_errors
def quarantine_list(
    name: Annotated[str | None, typer.Argument(help="Process; all if none is named.")] = None,
    limit: int = 50,
) -> None:
    """Open entries: what, where and why."""
    with store() as opened:
        entries = opened.quarantined(name, limit)
    table = Table("id", "process", "key", "stage", "field and reason", "next attempt (UTC)")
    for e in entries:
        reason = f"{e['field'] or ''} {e['reason']}".strip() + (
            f" ({e['waits_for']})" if e["waits_for"] else ""
        )
        again = (
            "when the person arrives"
            if e["waits_for"]
            else f"{e['next_attempt']:%d %b %H:%M}"
            if e["next_attempt"]
            else "by hand"
        )
        table.add_row(
            str(e["id"]), e["process"], e["key"] or "(unreadable)", e["stage"], reason, again
        )
    out.print(unbroken(table, 4) if entries else "The quarantine is empty.")


@quarantine.command("show")
@plain_errors
def quarantine_show(
    entry: int,
    raw: Annotated[bool, typer.Option(help="Show the record itself: personal data.")] = False,
) -> None:
    """One entry, whole. The record itself only on request."""
    with store() as opened:
        found = opened.quarantine_entry(entry)
    if found is None:
        raise _no_entry(entry)
    table = Table(show_header=False)
    for name, value in found.items():
        hidden = name == "raw" and value and not raw
        table.add_row(
            name, "(hidden; --raw shows it)" if hidden else "" if value is None else str(value)
        )
    out.print(unbroken(table, 1))


@quarantine.command("replay")
@plain_errors
def quarantine_replay(
    name: ProcessArgument,
    keys: Annotated[
        list[str] | None,
        typer.Argument(help="Keys; all open ones of the process if none is given."),
    ] = None,
) -> None:
    """Read these records again now, with the filters of the run that has put them into the
    quarantine, and no others."""
    process(name)
    found = settings()
    with store() as opened:
        waiting = opened.to_replay(name, keys or None)
    if not waiting:
        out.print("Nothing to replay.")
        return
    for fingerprint, of_this in waiting.items():
        with store() as opened:
            opened.retry_now(name, of_this)
            opened.hint(name, opened.scope(name, fingerprint).feed, of_this, datetime.now(UTC))
        with in_running_server(found):
            state = replay(name, fingerprint, return_state=True)
        out.print(f"{len(of_this):,} records of the quarantine were looked at again.")
        end(state)


@quarantine.command("discard")
@plain_errors
def quarantine_discard(
    entry: Annotated[
        int, typer.Argument(help="The id of the entry, as 'quarantine list' shows it.")
    ],
    reason: Annotated[
        str, typer.Option(help="Why the record is not to be loaded. No personal data.", prompt=True)
    ],
) -> None:
    """Decide that a record, as it is now, is not to be loaded. When it changes it is looked at
    again."""
    with store() as opened:
        if not opened.discard(entry, reason):
            raise _no_entry(entry)
    out.print(f"Entry {entry} is discarded.", highlight=False)


def _no_entry(entry: int) -> Misconfigured:
    return Misconfigured(
        f"The quarantine has no open entry {entry}", "Look it up with 'hrsync quarantine list'."
    )


def _candidates(raw: str | None) -> str:
    """The rows that a held record may be, by the field that says so (``match.HELD``)."""
    return "; ".join(
        f"{field}: {', '.join(keys)}" for field, keys in json.loads(raw or "{}").items()
    )


@links.command("list")
@plain_errors
def links_list(
    key: Annotated[
        str | None, typer.Argument(help="A key on either side; the latest links if none is given.")
    ] = None,
    held: Annotated[
        bool, typer.Option(help="Records that match no row or several: for a person to decide.")
    ] = False,
    limit: int = 50,
) -> None:
    """Links, or the records that could not be linked and why."""
    with store() as opened:
        if held:
            matching = {spec.name for spec in SPECS if spec.match}
            rows = [
                e
                for e in opened.quarantined(stage="held", limit=ALL)
                if e["process"] in matching
                and not e["waits_for"]
                and e["field"] != "(link)"
                and e["reason"] != CONFLICT
            ][:limit]
            table = Table("process", "record", "why it is not linked", "what it may be")
            for e in rows:
                table.add_row(
                    e["process"], e["key"], f"{e['field']}: {e['reason']}", _candidates(e["raw"])
                )
            out.print(unbroken(table, 2) if rows else "Nothing waits to be linked.")
            return
        rows = opened.listed(None, key, limit)
    table = Table("entity", "accessplanit", "HR", "since (UTC)", "how")
    for row in rows:
        table.add_row(
            row["entity"],
            row["source_key"],
            row["target_key"],
            f"{row['since']:%d %b %Y %H:%M}",
            row["origin"],
        )
    out.print(unbroken(table, 4) if rows else "No link found.")


@links.command("set")
@plain_errors
def links_set(
    entity: Annotated[str, typer.Argument(help="The HR entity, such as employees.")],
    source_key: Annotated[str, typer.Argument(help="The record in accessplanit.")],
    target_key: Annotated[str, typer.Argument(help="The row in HR, which must be there.")],
) -> None:
    """Say which HR row a record is. No rule overrules it; the next run loads the record into that
    row."""
    spec = _linked(entity)
    target = hr_system(settings(), spec.name)
    if not len(target.read(entity, {}, {spec.entity_key: [target_key]}).frame):
        raise Misconfigured(
            f"HR has no {spec.entity_key} '{target_key}'",
            "Look it up in HR; its key is meant, to the letter.",
        )
    now = datetime.now(UTC)
    with store() as opened:
        opened.set_link(entity, source_key, target_key, now)
        opened.look_again(_concerned(spec), source_key, target_key, "linked by hand", now)
        opened.tell(
            spec.name,
            entity,
            uuid.uuid4().hex,
            target_key,
            source_key,
            "link",
            f"was linked by hand to {source_key}",
            now,
        )
    out.print(
        f"{source_key} is {target_key}. The next run of {spec.name} loads it.", highlight=False
    )


@links.command("unset")
@plain_errors
def links_unset(
    entity: Annotated[str, typer.Argument(help="The HR entity, such as employees.")],
    source_key: Annotated[str, typer.Argument(help="The record in accessplanit.")],
) -> None:
    """Undo a link. The next run matches the record anew by its rules; to give it another row, set
    that link."""
    spec = _linked(entity)
    now = datetime.now(UTC)
    with store() as opened:
        known = opened.links(entity, [source_key])
        if not opened.unset_link(entity, source_key):
            raise Misconfigured(
                f"This key has no link in {entity}", "Look it up with 'hrsync links list'."
            )
        opened.look_again(
            _concerned(spec),
            source_key,
            known["target_key"].iloc[0],
            "its link was undone by hand",
            now,
        )
        opened.tell(
            spec.name,
            entity,
            uuid.uuid4().hex,
            source_key,
            source_key,
            "unlink",
            "its link was undone by hand",
            now,
        )
    out.print(
        f"{source_key} is not linked any more. The next run of {spec.name} matches it anew.",
        highlight=False,
    )


def _linked(entity: str) -> ProcessSpec:
    """The process that links records to rows of an entity."""
    by_entity = {spec.entity: spec for spec in SPECS if spec.match and spec.direction == "to_hr"}
    if entity not in by_entity:
        raise Misconfigured(
            f"Records are not linked to {entity}", f"Use one of {', '.join(by_entity)}."
        )
    return by_entity[entity]


def _concerned(spec: ProcessSpec) -> list[ProcessSpec]:
    """The process that links people, and all whose records belong to them."""
    if spec.entity != "employees":
        return [spec]
    return [other for other in SPECS if other.person or other.links == "employees"]
