"""The processes by name, for the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from prefect import Flow
from pydantic import TypeAdapter, ValidationError

from reconciliation.errors import Misconfigured
from reconciliation.spec import ProcessSpec

from . import awards_to_hr, users_to_hr


@dataclass(frozen=True)
class Process:
    """A flow, and how its filters narrow its spec."""

    flow: Flow[..., Any]
    scoped: Callable[..., ProcessSpec]

    def filters(self, given: list[str]) -> dict[str, Any]:
        """``name=value`` texts as the typed arguments of ``scoped``; lists are comma-separated.

        Raises:
            Misconfigured: there is no such filter, or its value does not fit.
        """
        hints = get_type_hints(self.scoped)
        found: dict[str, Any] = {}
        for text in given:
            name, _, value = text.partition("=")
            if name not in inspect.signature(self.scoped).parameters:
                names = ", ".join(inspect.signature(self.scoped).parameters)
                raise Misconfigured(f"There is no filter '{name}'", f"Use one of {names}, as NAME=VALUE.")
            try:
                listed = "list" in str(hints[name])
                found[name] = TypeAdapter(hints[name]).validate_python(value.split(",") if listed else value)
            except ValidationError:
                raise Misconfigured(f"The value of '{name}' does not fit", f"It is a {hints[name]}.") from None
        return found


PROCESSES = {
    "users_to_hr": Process(users_to_hr.users_to_hr, users_to_hr.scoped),
    "awards_to_hr": Process(awards_to_hr.awards_to_hr, awards_to_hr.scoped),
}
"""In the order in which they make sense when all is new: people before their awards."""


def process(name: str) -> Process:
    """Raises:
    Misconfigured: there is no such process.
    """
    if name not in PROCESSES:
        raise Misconfigured(f"There is no process '{name}'", f"Use one of {', '.join(PROCESSES)}.")
    return PROCESSES[name]
