"""The processes by name, for the command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from prefect import Flow
from pydantic import TypeAdapter, ValidationError

from connectors.settings import Settings
from reconciliation.errors import Misconfigured
from reconciliation.spec import ProcessSpec

from . import (
    award_targets_from_hr,
    award_targets_to_hr,
    awards_to_hr,
    course_decisions_from_hr,
    course_requests_to_hr,
    delegates_to_hr,
    job_roles_from_hr,
    job_roles_to_hr,
    role_compliance,
    users_from_hr,
    users_to_hr,
)
from ._run import World


@dataclass(frozen=True)
class Process:
    """What a flow runs, and how its filters narrow its spec. through: what it sees the world
    through."""

    flow: Flow[..., Any]
    scoped: Callable[..., ProcessSpec]
    through: Callable[[World], World] = lambda world: world

    def filters(self, given: list[str]) -> dict[str, Any]:
        """``name=value`` texts as the typed arguments of ``scoped``; lists are comma-separated.

        Raises:
            Misconfigured: the filter is unknown, or its value does not fit.
        """
        named = dict(text.partition("=")[::2] for text in given)
        hints = get_type_hints(self.scoped)
        return self.typed(
            {
                name: value.split(",") if "list" in str(hints.get(name)) else value
                for name, value in named.items()
            }
        )

    def typed(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Filters by name as the typed arguments of ``scoped``.

        Raises:
            Misconfigured: the filter is unknown, or its value does not fit.
        """
        hints = get_type_hints(self.scoped)
        found: dict[str, Any] = {}
        for name, value in given.items():
            if name not in inspect.signature(self.scoped).parameters:
                names = ", ".join(inspect.signature(self.scoped).parameters)
                raise Misconfigured(
                    f"There is no filter '{name}'", f"Use one of {names}, as NAME=VALUE."
                )
            try:
                found[name] = TypeAdapter(hints[name]).validate_python(value)
            except ValidationError:
                raise Misconfigured(
                    f"The value of '{name}' does not fit", f"It is a {hints[name]}."
                ) from None
        return found


PROCESSES = {
    "users_to_hr": Process(users_to_hr.users_to_hr, users_to_hr.scoped),
    "users_from_hr": Process(users_from_hr.users_from_hr, users_from_hr.scoped),
    "job_roles_to_hr": Process(job_roles_to_hr.job_roles_to_hr, lambda: job_roles_to_hr.ROLES),
    "assignments_to_hr": Process(job_roles_to_hr.job_roles_to_hr, job_roles_to_hr.scoped),
    "assignments_from_hr": Process(job_roles_from_hr.job_roles_from_hr, job_roles_from_hr.scoped),
    "awards_to_hr": Process(awards_to_hr.awards_to_hr, awards_to_hr.scoped),
    "award_targets_to_hr": Process(
        award_targets_to_hr.award_targets_to_hr, award_targets_to_hr.scoped
    ),
    "award_targets_from_hr": Process(
        award_targets_from_hr.award_targets_from_hr, award_targets_from_hr.scoped
    ),
    "delegates_to_hr": Process(delegates_to_hr.delegates_to_hr, delegates_to_hr.scoped),
    "course_requests_to_hr": Process(
        course_requests_to_hr.course_requests_to_hr, course_requests_to_hr.scoped
    ),
    "course_decisions_from_hr": Process(
        course_decisions_from_hr.course_decisions_from_hr, course_decisions_from_hr.scoped
    ),
    "role_compliance": Process(
        role_compliance.role_compliance, role_compliance.scoped, role_compliance.computed
    ),
}
"""In the order in which they make sense when all is new: people before their awards, roles before
assignments."""

FLOWS = {chosen.flow.name: chosen.flow for chosen in PROCESSES.values()}
"""The flows in that order, by name; one may run several processes."""
WAVES = (
    ("users_to_hr",),
    (
        "users_from_hr",
        "job_roles_to_hr",
        "awards_to_hr",
        "award_targets_to_hr",
        "delegates_to_hr",
        "course_requests_to_hr",
    ),
    ("job_roles_from_hr", "award_targets_from_hr", "course_decisions_from_hr", "role_compliance"),
)
"""The flows by what must be there before: those of a wave need nothing of each other."""


def checked(settings: Settings) -> Settings:
    """``settings``, whose HR systems are those of processes that there are.

    Raises:
        Misconfigured: a misspelt process would quietly go to the usual system.
    """
    unknown = [name for name in settings.hr_of if name not in PROCESSES]
    if unknown:
        raise Misconfigured(
            f"HRSYNC_HR_OF names no process: {', '.join(unknown)}",
            f"The data engineer must use one of {', '.join(PROCESSES)}.",
        )
    return settings


def process(name: str) -> Process:
    """Raises:
    Misconfigured: there is no such process.
    """
    if name not in PROCESSES:
        raise Misconfigured(f"There is no process '{name}'", f"Use one of {', '.join(PROCESSES)}.")
    return PROCESSES[name]
