"""The processes by name: which flow runs each, and how its form narrows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_type_hints

from prefect import Flow

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
from .options import Form, WriteOptions


def as_it_is(world: World, filters: Form | None = None) -> World:
    """The world itself: what most processes read needs no computing."""
    return world


@dataclass(frozen=True)
class Process:
    """One process."""

    flow: Flow[..., Any]
    narrowed: Callable[[Any], ProcessSpec]
    """Its SPEC within the filters of the flow's form."""
    through: Callable[..., World] = as_it_is
    """What it sees the world through: called with a world and, if any, filters."""

    @property
    def filters(self) -> type[Form]:
        """The filters in the flow's form."""
        found: type[Form] = get_type_hints(self.flow.fn)["filters"]
        return found

    @property
    def options(self) -> type[WriteOptions]:
        """The options of a run in the flow's form."""
        found: type[WriteOptions] = get_type_hints(self.flow.fn)["run"]
        return found

    def scoped(self, **filters: Any) -> ProcessSpec:
        """The process within these filters, by name.

        Raises:
            Misconfigured: a filter is unknown, or its value does not fit.
        """
        return self.narrowed(self.filters.of(filters))


PROCESSES: dict[str, Process] = {
    "users_to_hr": Process(users_to_hr.users_to_hr, users_to_hr.narrowed),
    "users_from_hr": Process(users_from_hr.users_from_hr, users_from_hr.narrowed),
    "job_roles_to_hr": Process(job_roles_to_hr.job_roles_to_hr, job_roles_to_hr.job_roles),
    "assignments_to_hr": Process(job_roles_to_hr.job_roles_to_hr, job_roles_to_hr.narrowed),
    "assignments_from_hr": Process(job_roles_from_hr.job_roles_from_hr, job_roles_from_hr.narrowed),
    "awards_to_hr": Process(awards_to_hr.awards_to_hr, awards_to_hr.narrowed),
    "award_targets_to_hr": Process(
        award_targets_to_hr.award_targets_to_hr, award_targets_to_hr.narrowed
    ),
    "award_targets_from_hr": Process(
        award_targets_from_hr.award_targets_from_hr, award_targets_from_hr.narrowed
    ),
    "delegates_to_hr": Process(delegates_to_hr.delegates_to_hr, delegates_to_hr.narrowed),
    "course_requests_to_hr": Process(
        course_requests_to_hr.course_requests_to_hr, course_requests_to_hr.narrowed
    ),
    "course_decisions_from_hr": Process(
        course_decisions_from_hr.course_decisions_from_hr, course_decisions_from_hr.narrowed
    ),
    "role_compliance": Process(
        role_compliance.role_compliance, role_compliance.narrowed, role_compliance.computed
    ),
}
"""In the order of ``reconciliation.processes``."""
FLOWS = {chosen.flow.name: chosen.flow for chosen in PROCESSES.values()}
"""The flows by name, in the order of the processes; one may run several processes."""
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
"""Start-up order: each wave depends only on earlier ones."""


def process(name: str) -> Process:
    """Raises:
    Misconfigured: the process is unknown.
    """
    if name not in PROCESSES:
        raise Misconfigured(f"There is no process '{name}'", f"Use one of {', '.join(PROCESSES)}.")
    return PROCESSES[name]
