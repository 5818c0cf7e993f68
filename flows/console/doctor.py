"""What ``hrsync doctor`` looks at: settings, databases, HR systems, and every assumption about the
tenant. It makes nothing."""

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
    """Everything that was looked at, in the order in which a new tenant is connected."""
    for name in settings.unknown():
        yield Finding(
            f"setting {name}",
            "refuted",
            "no such setting",
            "Correct its name.",
        )
    with _untouched(settings) as looked_at:
        if looked_at is not settings:
            yield Finding(
                "sync store",
                "not testable",
                f"there is none at {settings.home.absolute() / 'store.db'} yet",
                "No action needed before the first 'hrsync up' or 'hrsync run'; after it, "
                "correct HRSYNC_HOME.",
            )
        yield from _systems(looked_at)
        yield from _store_and_tenant(looked_at, told=looked_at is settings)
    yield from unsafe_settings(settings)


@contextmanager
def _untouched(settings: Settings) -> Iterator[Settings]:
    """These settings; with a temporary home folder where there is no store yet, so that a mistyped
    one stays as it is."""
    if settings.store.url or (settings.home / "store.db").exists():
        yield settings
        return
    with TemporaryDirectory() as folder:
        yield settings.model_copy(update={"home": Path(folder)})


def _systems(settings: Settings) -> Iterator[Finding]:
    for chosen, process in {
        settings.hr_of.get(name, settings.hr): name for name in PROCESSES
    }.items():
        try:
            hr_system(settings, process).close()
            yield Finding(f"HR: {chosen}", "confirmed", "can be used")
        except HrsyncError as error:
            yield Finding(f"HR: {chosen}", "refuted", error.what, error.remedy)


def _store_and_tenant(settings: Settings, *, told: bool) -> Iterator[Finding]:
    """told: whether the store is one to tell of."""
    try:
        store = SyncStore(settings.store_url)
    except HrsyncError as error:
        yield Finding("sync store", "refuted", error.what, error.remedy)
        return
    with closing(store):
        if told:
            yield Finding("sync store", "confirmed", "can be used")
        try:
            tenant = accessplanit_settings(settings)
            share = store.budget(tenant.requests_per_hour, tenant.hour_seconds)
            with closing(AccessplanitSource(tenant, settings.dialect, share)) as source:
                yield Finding("tenant", "confirmed", str(tenant.base_url))
                yield from probe(source)
        except HrsyncError as error:
            yield Finding("accessplanit", "refuted", error.what, error.remedy)
