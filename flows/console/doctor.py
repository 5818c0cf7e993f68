"""Checks settings, databases, HR systems, and every assumption about the tenant, for ``hrsync
doctor``. It creates nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from connectors.accessplanit.client import AccessplanitSource
from connectors.accessplanit.probe import Finding, probe
from connectors.settings import Settings
from connectors.store.sql import SyncStore
from reconciliation.errors import HrsyncError
from tasks.blocks import accessplanit_settings
from tasks.connections import hr_system

from ..catalogue import PROCESSES
from .terminal import unsafe_settings


def findings(settings: Settings) -> Iterator[Finding]:
    """Yields the result of each check, in the order in which a new tenant is connected."""
    for name in settings.unknown():
        yield Finding(
            f"setting {name}",
            "refuted",
            "unknown setting",
            "Correct its name.",
        )
    with _without_creating_a_store(settings) as usable:
        if usable is not settings:
            yield Finding(
                "sync store",
                "not testable",
                f"there is none at {settings.home.absolute() / 'store.db'} yet",
                "No action needed before the first 'hrsync up' or 'hrsync run'. After it, "
                "correct HRSYNC_HOME.",
            )
        yield from _systems(usable)
        yield from _store_and_tenant(usable, report_store=usable is settings)
    yield from unsafe_settings(settings)


@contextmanager
def _without_creating_a_store(settings: Settings) -> Iterator[Settings]:
    """Yields ``settings`` if the store exists. Otherwise yields them with a temporary home folder,
    so that nothing is created in one that may be mistyped."""
    if settings.store.url or (settings.home / "store.db").exists():
        yield settings
        return
    with TemporaryDirectory() as folder:
        yield settings.model_copy(update={"home": Path(folder)})


def _systems(settings: Settings) -> Iterator[Finding]:
    process_of = {settings.hr_of.get(name, settings.hr): name for name in PROCESSES}
    for chosen, process in process_of.items():
        try:
            hr_system(settings, process).close()
            yield Finding(f"HR: {chosen}", "confirmed", "can be used")
        except HrsyncError as error:
            yield Finding(f"HR: {chosen}", "refuted", error.what, error.remedy)


def _store_and_tenant(settings: Settings, *, report_store: bool) -> Iterator[Finding]:
    """Checks the store and the tenant. ``report_store``: whether to yield a result for a store that
    can be used; not for a temporary one."""
    try:
        store = SyncStore(settings.store_url)
    except HrsyncError as error:
        yield Finding("sync store", "refuted", error.what, error.remedy)
        return
    with closing(store):
        if report_store:
            yield Finding("sync store", "confirmed", "can be used")
        try:
            tenant = accessplanit_settings(settings)
            share = store.budget(tenant.requests_per_hour, tenant.hour_seconds)
            with closing(AccessplanitSource(tenant, settings.dialect, share)) as source:
                yield Finding("tenant", "confirmed", str(tenant.base_url))
                yield from probe(source)
        except HrsyncError as error:
            yield Finding("accessplanit", "refuted", error.what, error.remedy)
