"""How Prefect runs under ``hrsync up``: its settings, as environment variables of its server, its
worker and every flow run."""

from __future__ import annotations

import os
from pathlib import Path
from secrets import token_urlsafe

from connectors.private import is_ours, write_private
from connectors.settings import Settings
from reconciliation.errors import Misconfigured

LOGIN = "prefect-login"
"""The file in the home folder with the name and password of the Prefect server,
``name:password``."""
RUNS_DAYS = 14
"""How long Prefect keeps runs that have ended, with their logs and artifacts."""


def environment(settings: Settings, prefect_port: int) -> dict[str, str]:
    """The environment of Prefect's processes. What this process's own environment says of Prefect
    counts, but for what must fit."""
    home = settings.home.absolute()
    address = f"http://127.0.0.1:{prefect_port}"
    own = {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_LOGGING_LEVEL": "INFO",
        **_credentials(home),
    }
    # A flow run works in a folder of its own: what came from .env or is relative to here must reach
    # it in full.
    hrsync = settings.model_copy(update={"home": home}).as_environment()
    found = {**_eager(), **_private(address), **_kept(), **os.environ, **hrsync, **own}
    return {name: value for name, value in found.items() if value or name not in AUTHENTICATION}


AUTHENTICATION = ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING")
"""What the server asks for, and what its clients send. Prefect takes an empty string for a
password."""


def _credentials(home: Path) -> dict[str, str]:
    """Those of the environment where it has any: an empty PREFECT_SERVER_API_AUTH_STRING lets
    everybody in.

    Raises:
        Misconfigured: it has letters with which Prefect's server fails.
    """
    said = os.environ.get(AUTHENTICATION[0])
    if said and not (said.isascii() and said.isprintable()):
        raise Misconfigured(
            f"{AUTHENTICATION[0]} has letters that Prefect cannot compare",
            "Use ASCII letters, digits and signs only.",
        )
    return dict.fromkeys(AUTHENTICATION, login(home) if said is None else said)


LEASES_IN_FILES = "prefect.server.concurrency.lease_storage.filesystem"


def login(home: Path) -> str:
    """The name and password of the Prefect server, made at the first start, and anew if somebody
    else may know it."""
    file = home / LOGIN
    known = file.read_text(errors="replace").strip() if is_ours(file) else ""
    if ":" not in known:
        known = f"hrsync:{token_urlsafe(24)}"
        write_private(file, known + "\n")
    return known


def _eager() -> dict[str, str]:
    """A run that an event starts is taken up at once, and one that must wait for another of its
    flow waits no longer than that."""
    return {
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_ENABLE_CANCELLATION": "true",
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
        # The slot of a run that is gone becomes free by itself, also when the server was started
        # anew meanwhile.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES_IN_FILES,
        "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "60",
        # As prefect.yaml has it, and early enough: a run inherits what the worker has imported.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }


def _with_localhost(address: str) -> str:
    return ",".join([address, address.replace("127.0.0.1", "localhost")])


def _private(address: str) -> dict[str, str]:
    """Nobody is told that this server exists, and no page of another site may speak to it."""
    return {
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": _with_localhost(address),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "DO_NOT_TRACK": "1",
    }


def _kept() -> dict[str, str]:
    """What Prefect's database keeps, and for how long. It uses the space of what it deletes again.

    An event starts a run and is not needed afterwards. Kept, events would be nine tenths of the
    database.
    """
    return {
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs,orphans",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(RUNS_DAYS * 86_400),
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    }
