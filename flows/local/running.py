"""What a running ``hrsync up`` tells the other commands: where its Prefect server and its sandbox
are."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from connectors.home import at_work
from connectors.private import write_private
from connectors.settings import Settings, load

NOTE = "up.json"
PREFECT = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
SANDBOX = ("HRSYNC_ACCESSPLANIT__BASE_URL", "HRSYNC_ACCESSPLANIT__API_KEY")


@contextmanager
def written_down(home: Path, environment: Mapping[str, str], *, of_sandbox: bool) -> Iterator[None]:
    """Keeps a note of what runs with ``environment`` in the home folder meanwhile. of_sandbox:
    whether the sandbox stands in."""
    names = [*PREFECT, *(SANDBOX if of_sandbox else ())]
    write_private(
        home / NOTE, json.dumps({name: environment[name] for name in names if name in environment})
    )
    try:
        yield
    finally:
        (home / NOTE).unlink(missing_ok=True)


def server(environment: Mapping[str, str]) -> AbstractContextManager[object]:
    """Prefect's client in this process speaks to the server of ``environment``, if it names one."""
    known = {
        PREFECT_API_URL: environment.get(PREFECT[0]),
        PREFECT_API_AUTH_STRING: environment.get(PREFECT[1]),
    }
    return temporary_settings({setting: value for setting, value in known.items() if value})


def in_running_server(settings: Settings) -> AbstractContextManager[object]:
    """Flow runs of this process appear in the server that ``hrsync up`` runs, if it does."""
    return server(_running(settings))


def with_running_sandbox(settings: Settings) -> Settings:
    """Settings that point to the running sandbox while no tenant is configured."""
    note = {name: value for name, value in _running(settings).items() if name in SANDBOX}
    if settings.accessplanit.base_url or settings.accessplanit_block or not note:
        return settings
    # In the environment, because a flow reads its settings there.
    os.environ.update(note)
    return load()


def _running(settings: Settings) -> dict[str, str]:
    """The environment that a running ``hrsync up`` has left; empty if none runs."""
    note = settings.home / NOTE
    if not note.exists() or not at_work(settings.home):
        return {}
    try:
        return dict(json.loads(note.read_text()))
    except ValueError:
        return {}
