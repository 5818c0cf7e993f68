"""What each HR system can hold, as the generated part of docs/hr-systems.md."""

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
    """Whether a process runs on a system: yes, or in part, with what is lost; or no."""
    entity = spec.entity if spec.direction == "to_hr" else spec.feed
    if entity not in can.entities or (
        spec.name == "role_compliance" and "assignments" not in can.entities
    ):
        return "no"
    there = narrowed(spec, can)
    side = "target" if spec.direction == "to_hr" else "source"
    lost = [
        getattr(f, side)
        for f in spec.fields
        if getattr(f, side) not in {getattr(g, side) for g in there.fields}
    ]
    lost = [name for name in lost if name not in can.entities[entity].kinds()]
    lost += ["state", "superseded_by"] if len(there.rules) < len(spec.rules) else []
    return f"without {', '.join(lost)}" if lost else "yes"


def page() -> str:
    """The generated part."""
    found = {name: (c, c.can(c.settings())) for name, c in sorted(connectors().items())}
    text = (
        "\n## Which process runs where\n\nWith each system's default settings. *no*: the rows "
        "are counted as unsupported,"
    )
    text += " and nothing is written.\n\n"
    text += f"| process | {' | '.join(found)} |\n|---|{'---|' * len(found)}\n"
    for name, chosen in PROCESSES.items():
        text += (
            f"| {name} | {' | '.join(holds(chosen.scoped(), can) for _, can in found.values())} |\n"
        )
    for name, (connector, can) in found.items():
        text += (
            f"\n## {name}: {connector.title}\n\n{(connector.settings.__doc__ or '').strip()}\n\n"
        )
        lost = [f"- {entity}: {held.lost}." for entity, held in can.entities.items() if held.lost]
        text += "What is lost:\n\n" + "\n".join(lost) + "\n\n" if lost else ""
        text += "| setting | default | |\n|---|---|---|\n" + "".join(
            settings(f"HRSYNC_{name.upper()}", connector.settings)
        )
    return text


def settings(prefix: str, model: type[BaseModel]) -> list[str]:
    """A line of a table for each setting."""
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
        shown = (
            ""
            if default in (None, {}, ())
            else f"`{default}`"
            if default != "required"
            else "required"
        )
        lines.append(
            f"| `{prefix}__{name.upper()}` | {shown} | "
            f"{(field.description or '').replace('|', '/')} |\n"
        )
    return lines


def whole(text: str) -> str:
    """The page with its generated part made anew."""
    return text.partition(MARK)[0] + MARK + page()


if __name__ == "__main__":
    PAGE.write_text(whole(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stdout.write(f"{PAGE} is written\n")
