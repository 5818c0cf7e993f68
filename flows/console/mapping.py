"""Describes the mapping of each process in words: ``hrsync mapping show``, and the page
docs/processes.md."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Literal

import typer
from pydantic.fields import FieldInfo
from rich.table import Table

from connectors.accessplanit.decode import wire_name
from connectors.accessplanit.dialect import Dialect
from connectors.accessplanit.feeds import FEEDS
from connectors.accessplanit.rules import MODULES
from reconciliation.spec import AwardStates, Clause, FieldMap, Join, ProcessSpec

from .._declared import FOLDERS
from ..catalogue import PROCESSES, process
from ..options import Form, RunOptions
from .terminal import ProcessArgument, out, plain_errors, settings, unbroken

app = typer.Typer(help="Fields and how they map.", no_args_is_help=True)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "processes.md"
GUIDE = {
    "users_to_hr": "a, c",
    "users_from_hr": "b, d",
    "course_requests_to_hr": "e",
    "course_decisions_from_hr": "f",
    "delegates_to_hr": "g, h",
    "award_targets_to_hr": "i",
    **dict.fromkeys(
        (
            "awards_to_hr",
            "award_targets_from_hr",
            "job_roles_to_hr",
            "assignments_to_hr",
            "assignments_from_hr",
            "role_compliance",
        ),
        "overview",
    ),
}
"""Process -> its letters in the vendor's guide, or ``overview`` if only the overview names it."""


@app.command("show")
@plain_errors
def show(name: ProcessArgument) -> None:
    """Show the fields of a process: names on both sides, whose value counts, and how values are
    translated."""
    spec = process(name).scoped()
    dialect = settings().dialect
    table = Table(
        "accessplanit",
        "column",
        "HR",
        "kind",
        "whose value counts",
        "values",
        title=f"{spec.title}: {spec.feed} → {spec.entity}",
    )
    for field in spec.fields:
        ours, hr = (
            (field.source, field.target)
            if spec.direction == "to_hr"
            else (field.target, field.source)
        )
        values = "; ".join(
            [
                *(f"{a} → {b}" for a, b in field.values),
                *(f"{a} is {b}" for a, b in field.alike),
            ]
        )
        table.add_row(wire(spec, field, dialect), ours, hr, field.kind, owner(spec, field), values)
    for custom in spec.custom:
        table.add_row(custom, custom, "custom (JSON)", "text", "accessplanit", "")
    out.print(unbroken(table, 3))
    out.print(f"Filter: {filters(spec)}", highlight=False)
    out.print(f"Mappings are read from {', '.join(map(str, FOLDERS))}", highlight=False)


def wire(spec: ProcessSpec, field: FieldMap, dialect: Dialect) -> str:
    """Returns accessplanit's name of a field."""
    name, feed = (
        (field.source, spec.feed) if spec.direction == "to_hr" else (field.target, spec.entity)
    )
    join = spec.rule(Join)
    joined = {as_name: column for column, as_name in join.columns} if join else {}
    if join and name in joined:
        name, feed = joined[name], join.feed
    if feed not in FEEDS or name not in FEEDS[feed].model_fields:
        return name
    return wire_name(feed, name, dialect) or f"({name}: not on this tenant)"


def owner(spec: ProcessSpec, field: FieldMap) -> str:
    """Returns whose value counts, in words."""
    if not field.compare:
        return "carried along"
    if field.owner == "newest":
        return "the newest"
    ours: Literal["source_side", "target_side"] = (
        "source_side" if field.owner == "source" else "target_side"
    )
    return str(getattr(spec, ours))


def filters(spec: ProcessSpec) -> str:
    """Returns the scope of a process in words."""
    return " and ".join(_clause(clause) for clause in spec.scope.clauses) or "none"


def _clause(clause: Clause) -> str:
    words = {
        "in": "is",
        "not_in": "is not",
        "present": "has a value",
        "after": "lies after today",
        "future": "lies in the future",
    }
    return f"{clause.column} {words[clause.op]} {' or '.join(clause.values)}".rstrip()


def endpoints(spec: ProcessSpec) -> str:
    """Returns the requests that a process sends to accessplanit, in words."""
    if spec.direction == "to_hr":
        join = spec.rule(Join)
        read = [feed for feed in (spec.feed, join.feed if join else "") if feed in FEEDS]
        return ", ".join(f"GET {feed}" for feed in read) or "GET AwardUserType"
    return f"{'POST, ' if MODULES[spec.entity].creates else ''}PUT {spec.entity}"


def form(model: type[Form]) -> str:
    """Returns a group of a flow's form as a Markdown table."""
    rows = "".join(
        f"| `{name}` | {_default(field)} | {field.description} |\n"
        for name, field in model.model_fields.items()
    )
    return f"| {model.entry} | default | meaning |\n|---|---|---|\n{rows}"


def _default(field: FieldInfo) -> str:
    if field.default in ([], "", None):
        return "empty"
    return {True: "yes", False: "no"}.get(field.default, str(field.default))


def page() -> str:
    """Returns the text of docs/processes.md."""
    dialect = Dialect()
    text = """# The processes

`make docs` generates this page from the SPECs and forms. The table has a row for each process. The
letters are those of the vendor's guide; "overview" means that only its overview names the process.
Each process lists its filters. Set them in the Prefect UI in the group *filters*, in the command
line with `--filter NAME=VALUE`, in prefect.yaml with `parameters: {filters: {NAME: VALUE}}`.

| process | guide | flow | endpoints | filter | from → to |
|---|---|---|---|---|---|
"""
    for name, chosen in PROCESSES.items():
        spec = chosen.scoped()
        sides = f"{spec.source_side}: {spec.feed} → {spec.target_side}: {spec.entity}"
        guide = GUIDE.get(name, "")
        text += (
            f"| [{name}](#{name}) | {guide} | `{chosen.flow.name}` | {endpoints(spec)} | "
            f"{filters(spec)} | {sides} |\n"
        )
    text += f"\n## The options of a run\n\n{inspect.getdoc(RunOptions)}\n\n{form(RunOptions)}"
    for name, chosen in PROCESSES.items():
        spec = chosen.scoped()
        text += f"\n## {name}\n\n{inspect.getdoc(chosen.flow.fn)}\n\n"
        if chosen.filters.model_fields:
            text += f"{form(chosen.filters)}\n"
            text += f"A record that leaves the filter {LEAVES[spec.scope.leaves]}. "
        text += f"A record that is deleted {GONE[spec.scope.gone]}.\n\n"
        text += "| accessplanit | HR | kind | whose value counts |\n|---|---|---|---|\n"
        if spec.person:
            text += (
                "| (the person) | "
                f"{'employee_id' if spec.direction == 'to_hr' else spec.person} | text | the "
                "link |\n"
            )
        for field in spec.fields:
            hr = field.target if spec.direction == "to_hr" else field.source
            text += (
                f"| {wire(spec, field, dialect)} | {hr} | {field.kind} | {owner(spec, field)} |\n"
            )
        if spec.rule(AwardStates):
            text += (
                "| (the dates, the other records, the day) | state, superseded_by | text | "
                "computed |\n"
            )
    return text


# What happens to the row of a record, as the end of a sentence.
LEAVES = {
    "ignore": "keeps its row as it is",
    "close": "closes its row",
    "follow": "still updates a row that was loaded",
}
GONE = {"report": "is reported", "close": "closes its row"}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"Wrote {PAGE}\n")
