"""Generates the part of docs/hr-systems.md about what each HR system can hold."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from connectors.hr import connectors
from reconciliation.capabilities import Capabilities, narrowed
from reconciliation.spec import ProcessSpec

from ..catalogue import PROCESSES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "hr-systems.md"
MARK = "<!-- From here on made by `make docs`. -->\n"


def holds(spec: ProcessSpec, can: Capabilities) -> str:
    """Returns whether a process runs on a system: "yes", "no", or "without" and the columns that
    the system cannot hold."""
    entity = spec.entity if spec.direction == "to_hr" else spec.feed
    if entity not in can.entities or (
        spec.name == "role_compliance" and "assignments" not in can.entities
    ):
        return "no"
    supported = narrowed(spec, can)
    side = "target" if spec.direction == "to_hr" else "source"
    columns = {getattr(field, side) for field in supported.fields}
    columns |= set(can.entities[entity].kinds())
    names = [getattr(field, side) for field in spec.fields]
    lost = [name for name in names if name not in columns]
    lost += ["state", "superseded_by"] if len(supported.rules) < len(spec.rules) else []
    return f"without {', '.join(lost)}" if lost else "yes"


def page() -> str:
    """Returns the generated part."""
    systems = {name: (c, c.can(c.settings())) for name, c in sorted(connectors().items())}
    text = (
        "\n## Which process runs where\n\nWith each system's default settings. *no*: the rows "
        "are counted as unsupported, and nothing is written.\n\n"
    )
    text += f"| process | {' | '.join(systems)} |\n|---|{'---|' * len(systems)}\n"
    for name, chosen in PROCESSES.items():
        cells = [holds(chosen.scoped(), can) for _, can in systems.values()]
        text += f"| {name} | {' | '.join(cells)} |\n"
    for name, (connector, can) in systems.items():
        text += (
            f"\n## {name}: {connector.title}\n\n{(connector.settings.__doc__ or '').strip()}\n\n"
        )
        lost = [f"- {entity}: {held.lost}." for entity, held in can.entities.items() if held.lost]
        text += "What it cannot hold:\n\n" + "\n".join(lost) + "\n\n" if lost else ""
        text += "| setting | default | |\n|---|---|---|\n" + "".join(
            settings(f"HRSYNC_{name.upper()}", connector.settings)
        )
    return text


def settings(prefix: str, model: type[BaseModel]) -> list[str]:
    """Returns a line of a Markdown table for each setting. ``prefix`` precedes the names."""
    lines = []
    for name, field in model.model_fields.items():
        inner = next(
            (
                t
                for t in (field.annotation, *get_args(field.annotation))
                if isinstance(t, type) and issubclass(t, BaseModel)
            ),
            None,
        )
        if inner:
            lines += settings(f"{prefix}__{name.upper()}", inner)
            continue
        default: Any = (
            "required" if field.is_required() else field.get_default(call_default_factory=True)
        )
        default = ", ".join(map(str, default)) if isinstance(default, tuple) else default
        if default in (None, {}, ()):
            shown = ""
        else:
            shown = "required" if default == "required" else f"`{default}`"
        lines.append(
            f"| `{prefix}__{name.upper()}` | {shown} | "
            f"{(field.description or '').replace('|', '/')} |\n"
        )
    return lines


def whole(text: str) -> str:
    """Returns the page with a newly generated part."""
    return text.partition(MARK)[0] + MARK + page()


if __name__ == "__main__":
    PAGE.write_text(whole(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE} is written\n")
