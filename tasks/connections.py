"""From settings (environment or Prefect block) to the open connections of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import cast

from pydantic import BaseModel

from connectors.accessplanit.client import AccessplanitSource
from connectors.accessplanit.target import AccessplanitTarget
from connectors.home import make_private
from connectors.hr import connectors
from connectors.hr.absent import NotHeld
from connectors.hr.source import HrSource
from connectors.settings import PREFIX, Settings
from connectors.store.sql import SyncStore
from reconciliation.capabilities import narrowed
from reconciliation.errors import Misconfigured
from reconciliation.ports import HrSystem, LeavesTraces, Source, Target
from reconciliation.run.context import World
from reconciliation.spec import ProcessSpec

from .blocks import accessplanit_settings, hr_settings


def hr_system(settings: Settings, process: str) -> HrSystem:
    """Opens the HR system of a process.

    Raises:
        Misconfigured, CredentialsRefused, TargetFailed: it cannot be opened.
    """
    name, block = settings.system_of(process)
    return connectors()[name].open(hr_settings(settings, name, block), settings.home)


def in_use(settings: Settings, processes: Iterable[str], blocks: bool) -> dict[str, BaseModel]:
    """The settings of accessplanit and of the HR systems of ``processes``, by where they come from:
    the prefix of environment variables, or a Prefect block.

    ``blocks``: read Prefect blocks too. Settings that cannot be read are left out; they raise their
    error when the system is opened.
    """
    tenant_block = settings.accessplanit_block or ""
    readers: dict[tuple[str, str], Callable[[], BaseModel]] = {
        ("accessplanit", tenant_block): partial(accessplanit_settings, settings)
    }
    for process in processes:
        with suppress(Misconfigured):
            name, block = settings.system_of(process)
            readers[name, block] = partial(hr_settings, settings, name, block)
    found: dict[str, BaseModel] = {}
    for (name, block), read in readers.items():
        if block and not blocks:
            continue
        with suppress(Misconfigured):
            found[f"block {name}/{block}" if block else f"{PREFIX}{name.upper()}"] = read()
    return found


class Connections:
    """The open connections of a run: accessplanit, the sync store, and the HR systems."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._systems: dict[tuple[str, str], HrSystem] = {}
        make_private(settings.home.absolute())
        with ExitStack() as opened:
            self.store = SyncStore(settings.store_url, settings.lease_seconds)
            opened.callback(self.store.close)
            tenant = accessplanit_settings(settings)
            budget = self.store.budget(tenant.requests_per_hour, tenant.hour_seconds)
            self.source = AccessplanitSource(tenant, settings.dialect, budget)
            opened.callback(self.source.close)
            self._opened = opened.pop_all()

    def system(self, process: str) -> HrSystem:
        """The HR system of a process, which is opened at the first call."""
        name = self._settings.system_of(process)
        if name not in self._systems:
            self._systems[name] = hr_system(self._settings, process)
            self._opened.callback(self._systems[name].close)
        return self._systems[name]

    def narrowed(self, spec: ProcessSpec) -> ProcessSpec:
        """``spec`` without the fields that the HR system of the process cannot hold."""
        return narrowed(spec, self.system(spec.name).capabilities)

    def world(self, spec: ProcessSpec) -> World:
        """The two sides of a process and the store, for a run."""
        source, target = ways(spec, self.source, self.system(spec.name))
        return World(source, target, self.store, self._settings.dialect.zone)

    def close(self) -> None:
        """Closes all connections."""
        self._opened.close()


def ways(
    spec: ProcessSpec, accessplanit: AccessplanitSource, hr: HrSystem
) -> tuple[Source, Target]:
    """The source and the target of a process between these two systems."""
    if spec.direction == "from_hr":
        return HrSource(hr), AccessplanitTarget(accessplanit)
    if spec.entity not in hr.capabilities.entities:
        return accessplanit, NotHeld(hr)
    return accessplanit, hr


class ReadOnly:
    """A target that can only be read, for previews."""

    def __init__(self, target: Target) -> None:
        self.name = target.name
        self.population = target.population
        self.read = target.read
        self.rejections = target.rejections


@contextmanager
def previewed(world: World) -> Iterator[World]:
    """A world for a preview, which cannot change either side."""
    with ExitStack() as opened:

        def untouched(system: HrSystem) -> HrSystem:
            if isinstance(system, LeavesTraces):
                return opened.enter_context(system.untouched())
            return system

        source, target = world.source, world.target
        if isinstance(source, HrSource):
            source = HrSource(untouched(source.system))
        if isinstance(target, NotHeld):
            target = NotHeld(untouched(target.system))
        else:
            target = untouched(cast(HrSystem, target))
        # ReadOnly has no ``apply``, so a preview that tried to write would fail.
        yield replace(world, source=source, target=cast(Target, ReadOnly(target)))


@contextmanager
def connections(settings: Settings) -> Iterator[Connections]:
    """Opens what a run needs and closes it again."""
    opened = Connections(settings)
    try:
        yield opened
    finally:
        opened.close()
