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
    """Yields the result of each check, in the order in which you set up a new tenant."""
    for name in settings.unknown():
        yield Finding(
            f"setting {name}",
            "refuted",
            "unknown setting",
            "Correct its name.",
        )
    with _without_creating_a_store(settings) as (checked_settings, store_exists):
        if not store_exists:
            yield Finding(
                "sync store",
                "not testable",
                f"there is none at {settings.home.absolute() / 'store.db'} yet",
                "If you have not run hrsync yet, this is normal. If you have, HRSYNC_HOME is the "
                "wrong folder: correct it.",
            )
        yield from _systems(checked_settings)
        yield from _store_and_tenant(checked_settings, report_store=store_exists)
    yield from unsafe_settings(settings)


@contextmanager
def _without_creating_a_store(settings: Settings) -> Iterator[tuple[Settings, bool]]:
    """Yields ``settings``, and whether the store exists. If it does not, the settings have a
    temporary home folder, so that a mistyped HRSYNC_HOME is not created."""
    if settings.store.url or (settings.home / "store.db").exists():
        yield settings, True
        return
    with TemporaryDirectory() as folder:
        yield settings.model_copy(update={"home": Path(folder)}), False


def _systems(settings: Settings) -> Iterator[Finding]:
    a_process_of_system = {settings.hr_of.get(name, settings.hr): name for name in PROCESSES}
    for system, process in a_process_of_system.items():
        try:
            hr_system(settings, process).close()
            yield Finding(f"HR: {system}", "confirmed", "can be used")
        except HrsyncError as error:
            yield Finding(f"HR: {system}", "refuted", error.what, error.remedy)


def _store_and_tenant(settings: Settings, *, report_store: bool) -> Iterator[Finding]:
    """Checks the store and the tenant. ``report_store`` is false for the temporary store: then
    success is not reported."""
    try:
        store = SyncStore(settings.store_url)
    except HrsyncError as error:
        yield Finding("sync store", "refuted", error.what, error.remedy)
        yield Finding(
            "tenant",
            "not testable",
            "requests are counted in the sync store, which cannot be used",
            "Correct the sync store, then run 'hrsync doctor' again.",
        )
        return
    with closing(store):
        if report_store:
            yield Finding("sync store", "confirmed", "can be used")
        try:
            tenant = accessplanit_settings(settings)
            budget = store.budget(tenant.requests_per_hour, tenant.hour_seconds)
            with closing(AccessplanitSource(tenant, settings.dialect, budget)) as source:
                yield from _tenant(source)
        except HrsyncError as error:
            yield Finding("tenant", "refuted", error.what, error.remedy)


def _tenant(source: AccessplanitSource) -> Iterator[Finding]:
    results = probe(source)
    # The first result says whether the tenant answers and accepts the credentials.
    if results[0].verdict == "confirmed":
        yield Finding("tenant", "confirmed", source.root)
    else:
        yield Finding("tenant", "not testable", f"no request to {source.root} succeeded")
    yield from results
