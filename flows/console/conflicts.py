"""Fields that both sides have changed and that wait for a person: both values, and the decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer
from rich.table import Table

from connectors.store.sql import SyncStore
from reconciliation.ask import Ask
from reconciliation.errors import Misconfigured
from reconciliation.frame import strings
from reconciliation.ownership import CONFLICT
from reconciliation.ports import NO_HASHES
from reconciliation.spec import ProcessSpec
from reconciliation.translate import as_text, mapped
from tasks.connections import Connections, connections

from ..catalogue import PROCESSES
from .terminal import out, plain_errors, settings, unbroken

app = typer.Typer(help="Fields that were changed on both sides.", no_args_is_help=True)


@dataclass(frozen=True)
class Values:
    """One field on both sides. hr_there: HR's value as accessplanit would write it."""

    accessplanit: str | None
    hr: str | None
    hr_there: str | None


def _pair(name: str) -> tuple[ProcessSpec, ProcessSpec]:
    """The two directions of the pair that a process belongs to: to HR, from HR."""
    specs = [chosen.scoped() for chosen in PROCESSES.values()]
    pair = next((spec.pair for spec in specs if spec.name == name), None)
    there, back = sorted(
        (spec for spec in specs if spec.pair == pair and pair),
        key=lambda spec: spec.direction,
        reverse=True,
    )
    return there, back


def _open(opened: SyncStore, limit: int) -> list[dict[str, str]]:
    """Conflicts that wait: pair's process, accessplanit's key, HR's key, field; each once."""
    found: dict[tuple[str, str, str], dict[str, str]] = {}
    for entry in opened.quarantined(stage="held", limit=limit, reason=CONFLICT):
        there, _ = _pair(entry["process"])
        links = opened.links(there.entity, source_keys=[entry["key"]], target_keys=[entry["key"]])
        for source, target in links.itertuples(index=False):
            key = (there.name, source, entry["field"])
            found[key] = {
                "process": there.name,
                "key": source,
                "row": target,
                "field": entry["field"],
            }
    return list(found.values())


def _values(opened: Connections, name: str, key: str, row: str, field: str) -> Values:
    there, back = _pair(name)
    to, fro = (
        next((f for f in spec.fields if field in (f.source, f.target)), None)
        for spec in (there, back)
    )
    if to is None or fro is None:
        raise Misconfigured(
            f"{field} is not a field that both sides may change",
            "Look it up with 'hrsync conflicts list'.",
        )
    ours = opened.source.read(
        there.feed, ["id", to.source], (), Ask(keys=(key,), skip_known=False), NO_HASHES, "0"
    ).frame
    theirs = (
        opened.system(there.name)
        .read(there.entity, {to.target: to.kind}, {there.entity_key: [row]})
        .frame
    )
    if not len(ours) or not len(theirs):
        raise Misconfigured(
            "This record is no longer on both sides",
            "No action needed: the next run sees to it.",
        )
    back_there, _ = mapped(fro, theirs[to.target])
    columns = (ours[to.source], theirs[to.target], back_there)
    one, other, back_again = (strings(as_text(column))[0] for column in columns)
    return Values(one, other, back_again)


@app.command("list")
@plain_errors
def conflicts_list(limit: int = 50) -> None:
    """Fields that were changed on both sides since they agreed, with both values: personal data."""
    found = settings()
    with connections(found) as opened:
        rows = _open(opened.store, limit)
        table = Table("process", "accessplanit", "HR", "field", "in accessplanit", "in HR")
        for row in rows:
            values = _values(opened, row["process"], row["key"], row["row"], row["field"])
            table.add_row(
                row["process"],
                row["key"],
                row["row"],
                row["field"],
                values.accessplanit or "",
                values.hr or "",
            )
    out.print(unbroken(table, 4) if rows else "No field waits for a decision.")


@app.command("settle")
@plain_errors
def conflicts_settle(
    key: Annotated[
        str, typer.Argument(help="The record in accessplanit, as 'conflicts list' shows it.")
    ],
    field: Annotated[str, typer.Argument(help="The field, as 'conflicts list' shows it.")],
    side: Annotated[Literal["accessplanit", "hr"], typer.Argument(help="Whose value is right.")],
) -> None:
    """Decide whose value is right. The next run of that direction carries it to the other side."""
    found = settings()
    now = datetime.now(UTC)
    with connections(found) as opened:
        row = next(
            (r for r in _open(opened.store, 10_000) if r["key"] == key and r["field"] == field),
            None,
        )
        if row is None:
            raise Misconfigured(
                f"No conflict about {field} of this record waits",
                "Look it up with 'hrsync conflicts list'.",
            )
        values = _values(opened, row["process"], key, row["row"], field)
        there, back = _pair(row["process"])
        # What was agreed is the value of the side whose change does not count: then the other one
        # is the only change.
        opened.store.settle_conflict(
            str(there.pair),
            key,
            field,
            values.hr_there if side == "accessplanit" else values.accessplanit,
        )
        opened.store.look_at(there, [key], "settled by hand", now)
        opened.store.look_at(back, [row["row"]], "settled by hand", now)
    out.print(
        f"{field} of {key}: the value of {side} is right. The next runs of {there.name} and "
        f"{back.name} see to it.",
        highlight=False,
    )
