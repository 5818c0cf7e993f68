"""Tells other commands where the Prefect server and the sandbox of a running ``hrsync up`` are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    PREFECT_API_URL,
    temporary_settings,
)

from connectors.home import at_work
from connectors.private import write_private
from connectors.settings import Settings, load

NOTE = "up.json"
"""A file in the home folder, with the variables below."""
PREFECT = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
SANDBOX = ("HRSYNC_ACCESSPLANIT__BASE_URL", "HRSYNC_ACCESSPLANIT__API_KEY")


@contextmanager
def written_down(home: Path, environment: Mapping[str, str], *, of_sandbox: bool) -> Iterator[None]:
    """Context manager: keeps a note in the home folder with the addresses and logins that are in
    ``environment``.

    ``of_sandbox``: whether the sandbox runs in place of a tenant.
    """
    names = [*PREFECT, *(SANDBOX if of_sandbox else ())]
    write_private(
        home / NOTE, json.dumps({name: environment[name] for name in names if name in environment})
    )
    try:
        yield
    finally:
        (home / NOTE).unlink(missing_ok=True)


def server(environment: Mapping[str, str]) -> AbstractContextManager[object]:
    """Context manager: makes Prefect's client in this process use the server of ``environment``, if
    it names one."""
    url = environment.get(PREFECT[0])
    values = {
        PREFECT_API_URL: url,
        PREFECT_API_AUTH_STRING: environment.get(PREFECT[1]),
        # Without TLS, no certificate authorities need loading.
        PREFECT_API_TLS_INSECURE_SKIP_VERIFY: bool(url and url.startswith("http://")),
    }
    return temporary_settings({setting: value for setting, value in values.items() if value})


def in_running_server(settings: Settings) -> AbstractContextManager[object]:
    """Context manager: flow runs of this process appear in the server of ``hrsync up``, if any."""
    return server(_running(settings))


def with_running_sandbox(settings: Settings) -> Settings:
    """Returns settings that point to the running sandbox, as long as no tenant is configured."""
    note = {name: value for name, value in _running(settings).items() if name in SANDBOX}
    if settings.accessplanit.base_url or settings.accessplanit_block or not note:
        return settings
    # Into the environment, because a flow reads its settings from there.
    os.environ.update(note)
    return load()


def _running(settings: Settings) -> dict[str, str]:
    """Returns the variables in the note of a running ``hrsync up``; empty if none runs."""
    note = settings.home / NOTE
    if not note.exists() or not at_work(settings.home):
        return {}
    try:
        return dict(json.loads(note.read_text()))
    except ValueError:
        return {}
