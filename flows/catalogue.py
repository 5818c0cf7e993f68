"""Lists all processes: the flow that runs each, and how the flow's form narrows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, get_type_hints

from prefect import Flow

from reconciliation.errors import Misconfigured, WrongInput
from reconciliation.processes import NAMES
from reconciliation.spec import ProcessSpec

from . import job_roles_from_hr, job_roles_to_hr
from ._checks import check, check_mappings
from ._run import World
from .options import Form, WriteOptions


def as_it_is(world: World, filters: Form | None = None) -> World:
    """Returns ``world`` unchanged. Most processes read their source as it is."""
    return world


@dataclass(frozen=True)
class Process:
    """One process."""

    flow: Flow[..., Any]
    narrowed: Callable[[Any], ProcessSpec]
    """Its SPEC within the filters of the flow's form."""
    through: Callable[..., World] = as_it_is
    """Takes a world and optionally the filters. Returns the world in which the process runs, for
    example one with a computed source."""

    @property
    def filters(self) -> type[Form]:
        """The filters in the flow's form."""
        form: type[Form] = get_type_hints(self.flow.fn)["filters"]
        return form

    @property
    def options(self) -> type[WriteOptions]:
        """The options of a run in the flow's form."""
        form: type[WriteOptions] = get_type_hints(self.flow.fn)["run"]
        return form

    def scoped(self, **filters: Any) -> ProcessSpec:
        """Returns the SPEC of the process within filters, which are given by name.

        Raises:
            Misconfigured: a filter is unknown, or its value does not fit.
        """
        return self.narrowed(self.filters.of(filters))


def _of_its_file(name: str) -> Process:
    """Returns the process of ``flows/<name>.py``, which has a flow of that name, a function
    ``narrowed``, and optionally a function ``computed``.

    Raises:
        Misconfigured: the file has no such flow or function.
    """
    file = import_module(f"{__package__}.{name}")
    for needed in (name, "narrowed"):
        if not hasattr(file, needed):
            raise Misconfigured(
                f"flows/{name}.py has no {needed}",
                f"It needs the flow {name} and the function narrowed (docs/your-first-flow.md).",
            )
    return Process(getattr(file, name), file.narrowed, getattr(file, "computed", as_it_is))


_UNDER_ANOTHER_FLOW = {
    "job_roles_to_hr": Process(job_roles_to_hr.job_roles_to_hr, job_roles_to_hr.job_roles),
    "assignments_to_hr": Process(job_roles_to_hr.job_roles_to_hr, job_roles_to_hr.narrowed),
    "assignments_from_hr": Process(job_roles_from_hr.job_roles_from_hr, job_roles_from_hr.narrowed),
}
PROCESSES: dict[str, Process] = {
    name: _UNDER_ANOTHER_FLOW.get(name) or _of_its_file(name) for name in NAMES
}
"""Name -> process, in the order of ``reconciliation.processes``."""
for _name, _process in PROCESSES.items():
    check(_name, _process.scoped())
check_mappings()
FLOWS = {chosen.flow.name: chosen.flow for chosen in PROCESSES.values()}
"""The flows by name, in the order of the processes; one may run several processes."""


def _wave(chosen: Process) -> int:
    """Returns the wave of a process: users (0), then the records that belong to them (1), then the
    records from HR (2)."""
    spec = chosen.narrowed(chosen.filters())
    if spec.entity == "employees":
        return 0
    of_accessplanit = spec.direction == "to_hr" and chosen.through is as_it_is
    return 1 if of_accessplanit or spec.feed == "employees" else 2


WAVES = tuple(
    tuple(dict.fromkeys(p.flow.name for p in PROCESSES.values() if _wave(p) == wave))
    for wave in range(3)
)
"""Start-up order: each wave depends only on earlier ones."""


def process(name: str) -> Process:
    """Returns the process with this name.

    Raises:
        WrongInput: the process is unknown.
    """
    if name not in PROCESSES:
        raise WrongInput(f"There is no process '{name}'", f"Use one of {', '.join(PROCESSES)}.")
    return PROCESSES[name]
