"""``hrsync links``: which accessplanit record is which HR row."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from connectors.store.sql import SyncStore
from reconciliation.errors import WrongInput
from reconciliation.spec import ProcessSpec
from tasks.connections import hr_system

from ..catalogue import PROCESSES
from .terminal import Limit, more, out, plain_errors, settings, store, unbroken

app = typer.Typer(help="Which accessplanit record is which HR row.", no_args_is_help=True)
SPECS: list[ProcessSpec] = [chosen.scoped() for chosen in PROCESSES.values()]


@app.command("list")
@plain_errors
def list_(
    key: Annotated[
        str | None, typer.Argument(help="A key on either side. Default: the latest links.")
    ] = None,
    held: Annotated[
        bool, typer.Option(help="Show records that match no row, or several. A person must decide.")
    ] = False,
    limit: Limit = 50,
) -> None:
    """List links, or the records that could not be linked and why."""
    with store() as opened:
        if held:
            _list_unlinked(opened, limit)
        else:
            _list_links(opened, key, limit)


def _list_links(opened: SyncStore, key: str | None, limit: int) -> None:
    rows = opened.listed(None, key, limit + 1)
    if not rows:
        out.print("No link found.")
        return
    table = Table("entity", "accessplanit", "HR", "since (UTC)", "how")
    for row in rows[:limit]:
        since = f"{row['since']:%d %b %Y %H:%M}"
        table.add_row(row["entity"], row["source_key"], row["target_key"], since, row["origin"])
    out.print(unbroken(table, 4))
    more(rows, limit)


def _list_unlinked(opened: SyncStore, limit: int) -> None:
    entries = opened.unlinked([spec.name for spec in SPECS if spec.match], limit + 1)
    if not entries:
        out.print("No record is waiting for a link.")
        return
    table = Table("process", "record", "why it is not linked", "candidates")
    for entry in entries[:limit]:
        reason = f"{entry['field']}: {entry['reason']}"
        table.add_row(entry["process"], entry["key"], reason, _candidates(entry["raw"]))
    out.print(unbroken(table, 2))
    more(entries, limit)


def _candidates(raw: str | None) -> str:
    """The rows that match a held record, by the field that matches (``match.HELD``)."""
    candidates = json.loads(raw or "{}")
    return "; ".join(f"{field}: {', '.join(keys)}" for field, keys in candidates.items())


@app.command("set")
@plain_errors
def set_(
    entity: Annotated[str, typer.Argument(help="The HR entity, such as employees.")],
    source_key: Annotated[str, typer.Argument(help="The record in accessplanit.")],
    target_key: Annotated[str, typer.Argument(help="The row in HR, which must be there.")],
) -> None:
    """Link a record to an HR row by hand. No match rule overrides the link. The next run loads the
    record into that row."""
    spec = _linking_process(entity)
    target = hr_system(settings(), spec.name)
    if not len(target.read(entity, {}, {spec.entity_key: [target_key]}).frame):
        raise WrongInput(
            f"HR has no {spec.entity_key} '{target_key}'", "Look the exact key up in HR."
        )
    now = datetime.now(UTC)
    with store() as opened:
        opened.set_link(entity, source_key, target_key, now)
        opened.look_again(_affected(spec), source_key, target_key, "linked by hand", now)
        reason = f"was linked by hand to {source_key}"
        opened.enter_link_change(spec, target_key, source_key, "link", reason, now)
    out.print(
        f"{source_key} is {target_key}. The next run of {spec.name} loads it.", highlight=False
    )


@app.command()
@plain_errors
def unset(
    entity: Annotated[str, typer.Argument(help="The HR entity, such as employees.")],
    source_key: Annotated[str, typer.Argument(help="The record in accessplanit.")],
) -> None:
    """Remove a link. The next run matches the record by its rules again. To choose another row, use
    'links set'."""
    spec = _linking_process(entity)
    now, reason = datetime.now(UTC), "its link was undone by hand"
    with store() as opened:
        links = opened.links(entity, [source_key])
        if not opened.unset_link(entity, source_key):
            raise WrongInput(
                f"This key has no link in {entity}", "Look it up with 'hrsync links list'."
            )
        target_key = links["target_key"].iloc[0]
        opened.look_again(_affected(spec), source_key, target_key, reason, now)
        opened.enter_link_change(spec, source_key, source_key, "unlink", reason, now)
    out.print(
        f"{source_key} is not linked any more. The next run of {spec.name} matches it by its "
        "rules.",
        highlight=False,
    )


def _linking_process(entity: str) -> ProcessSpec:
    """The process that links records to rows of an entity."""
    by_entity = {spec.entity: spec for spec in SPECS if spec.match and spec.direction == "to_hr"}
    if entity not in by_entity:
        raise WrongInput(
            f"Records are not linked to {entity}", f"Use one of {', '.join(by_entity)}."
        )
    return by_entity[entity]


def _affected(spec: ProcessSpec) -> list[ProcessSpec]:
    """The processes that read the records of a linked person again. For any other entity: the
    process itself."""
    if spec.entity != "employees":
        return [spec]
    return [other for other in SPECS if other.person or other.links == "employees"]
