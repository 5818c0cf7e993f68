"""Lists fields that both sides have changed, with both values, and takes a person's decision."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer
from rich.table import Table

from connectors.store.sql import SyncStore
from reconciliation.ask import Ask
from reconciliation.errors import WrongInput
from reconciliation.frame import strings
from reconciliation.ownership import CONFLICT
from reconciliation.ports import NO_HASHES
from reconciliation.spec import ProcessSpec
from reconciliation.translate import as_text, mapped
from tasks.connections import Connections, connections

from ..catalogue import PROCESSES
from .terminal import out, plain_errors, settings, unbroken

app = typer.Typer(
    help="Fields changed on both sides that wait for a decision.", no_args_is_help=True
)


@dataclass(frozen=True)
class Values:
    """The values of one field on both sides."""

    accessplanit: str | None
    hr: str | None
    hr_translated: str | None
    """HR's value as accessplanit would write it."""


def _pair(name: str) -> tuple[ProcessSpec, ProcessSpec]:
    """Returns both processes of the pair that a process belongs to: to HR, and from HR."""
    specs = [chosen.scoped() for chosen in PROCESSES.values()]
    pair = next((spec.pair for spec in specs if spec.name == name), None)
    from_hr, to_hr = sorted(
        (spec for spec in specs if spec.pair == pair and pair), key=lambda spec: spec.direction
    )
    return to_hr, from_hr


def _waiting(store: SyncStore, limit: int) -> list[dict[str, str]]:
    """Returns the conflicts that wait, each once, although both directions may hold it.

    Each has the pair's process to HR (``process``), accessplanit's key (``key``), HR's key
    (``row``) and the name of the field (``field``).
    """
    conflicts: dict[tuple[str, str, str], dict[str, str]] = {}
    for entry in store.quarantined(stage="held", limit=limit, reason=CONFLICT):
        to_hr, _ = _pair(entry["process"])
        links = store.links(to_hr.entity, source_keys=[entry["key"]], target_keys=[entry["key"]])
        for source, target in links.itertuples(index=False):
            key = (to_hr.name, source, entry["field"])
            conflicts[key] = {
                "process": to_hr.name,
                "key": source,
                "row": target,
                "field": entry["field"],
            }
    return list(conflicts.values())


def _values(sides: Connections, name: str, key: str, row: str, field: str) -> Values:
    """Reads a field on both sides. ``row``: the key in HR."""
    to_hr, from_hr = _pair(name)
    field_to_hr, field_from_hr = (
        next((f for f in spec.fields if field in (f.source, f.target)), None)
        for spec in (to_hr, from_hr)
    )
    if field_to_hr is None or field_from_hr is None:
        raise WrongInput(
            f"'{field}' is not a field that both sides may change",
            "Look it up with 'hrsync conflicts list'.",
        )
    source, target, kind = field_to_hr.source, field_to_hr.target, field_to_hr.kind
    ask = Ask(keys=(key,), skip_known=False)
    record = sides.source.read(to_hr.feed, ["id", source], (), ask, NO_HASHES, "0").frame
    hr = sides.system(to_hr.name)
    hr_row = hr.read(to_hr.entity, {target: kind}, {to_hr.entity_key: [row]}).frame
    if not len(record) or not len(hr_row):
        raise WrongInput(
            "This record no longer exists on both sides",
            "No action needed: the next run handles it.",
        )
    translated, _ = mapped(field_from_hr, hr_row[target])
    columns = (record[source], hr_row[target], translated)
    accessplanit_value, hr_value, hr_translated = (strings(as_text(c))[0] for c in columns)
    return Values(accessplanit_value, hr_value, hr_translated)


@app.command("list")
@plain_errors
def conflicts_list(limit: int = 50) -> None:
    """List fields that were changed on both sides since they agreed. The values are personal
    data."""
    with connections(settings()) as sides:
        rows = _waiting(sides.store, limit)
        table = Table("process", "accessplanit", "HR", "field", "in accessplanit", "in HR")
        for row in rows:
            values = _values(sides, row["process"], row["key"], row["row"], row["field"])
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
    """Decide whose value is right. The next run writes it to the other side."""
    now = datetime.now(UTC)
    with connections(settings()) as sides:
        row = next(
            (r for r in _waiting(sides.store, 10_000) if r["key"] == key and r["field"] == field),
            None,
        )
        if row is None:
            raise WrongInput(
                f"No conflict about '{field}' of this record waits for a decision",
                "Look it up with 'hrsync conflicts list'.",
            )
        values = _values(sides, row["process"], key, row["row"], field)
        to_hr, from_hr = _pair(row["process"])
        # The value of the other side is stored as the agreed one. Then the chosen side is the only
        # one that has changed since, and its value counts.
        overruled = values.hr_translated if side == "accessplanit" else values.accessplanit
        sides.store.settle_conflict(str(to_hr.pair), key, field, overruled)
        sides.store.look_at(to_hr, [key], "settled by hand", now)
        sides.store.look_at(from_hr, [row["row"]], "settled by hand", now)
    out.print(
        f"{field} of {key}: the value of {side} is right. The next runs of {to_hr.name} and "
        f"{from_hr.name} write it to the other side.",
        highlight=False,
    )
