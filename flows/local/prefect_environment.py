"""Builds the environment variables of Prefect's server, its worker and every flow run under
``hrsync up``."""

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
"""Days for which Prefect keeps runs that have ended, with their logs and artifacts."""


def environment(settings: Settings, prefect_port: int) -> dict[str, str]:
    """Returns the environment of Prefect's processes.

    Prefect settings in this process's own environment take precedence, except over the few that
    are fixed here.
    """
    home = settings.home.absolute()
    address = f"http://127.0.0.1:{prefect_port}"
    fixed = {
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": f"{address}/api",
        # The address has no TLS. Otherwise each of Prefect's clients would load the certificate
        # authorities, which took a third of a run.
        "PREFECT_API_TLS_INSECURE_SKIP_VERIFY": "true",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_LOGGING_LEVEL": "INFO",
        **_credentials(home),
    }
    # A flow run works in another folder. It needs the settings from .env, and absolute paths.
    hrsync = settings.model_copy(update={"home": home}).as_environment()
    defaults = {**_prompt(), **_private(address), **_retention()}
    variables = {**defaults, **os.environ, **hrsync, **fixed}
    # Prefect takes an empty string for a password, so an empty login is left out.
    return {n: value for n, value in variables.items() if value or n not in AUTHENTICATION}


AUTHENTICATION = ("PREFECT_SERVER_API_AUTH_STRING", "PREFECT_API_AUTH_STRING")
"""The login that the server asks for, and the one that its clients send."""


def _credentials(home: Path) -> dict[str, str]:
    """Returns the login for server and clients: that of the environment if it is set there. An
    empty PREFECT_SERVER_API_AUTH_STRING lets everybody in.

    Raises:
        Misconfigured: the login has characters with which Prefect's server fails.
    """
    configured = os.environ.get(AUTHENTICATION[0])
    if configured and not (configured.isascii() and configured.isprintable()):
        raise Misconfigured(
            f"{AUTHENTICATION[0]} has characters that Prefect cannot compare",
            "Use only printable ASCII characters.",
        )
    return dict.fromkeys(AUTHENTICATION, login(home) if configured is None else configured)


LEASES_IN_FILES = "prefect.server.concurrency.lease_storage.filesystem"


def login(home: Path) -> str:
    """Returns the name and password of the Prefect server, ``name:password``. They are generated at
    the first start, and again if another account may know them."""
    file = home / LOGIN
    text = file.read_text(errors="replace").strip() if is_ours(file) else ""
    if ":" not in text:
        text = f"hrsync:{token_urlsafe(24)}"
        write_private(file, text + "\n")
    return text


def _prompt() -> dict[str, str]:
    """Returns the settings for prompt starts: of a run that an event starts, and of one that waits
    for another run of its flow to end."""
    return {
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "PREFECT_WORKER_ENABLE_CANCELLATION": "true",
        "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "1",
        # The slot of a dead run becomes free by itself, even after a restart of the server.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": LEASES_IN_FILES,
        "PREFECT_SERVER_CONCURRENCY_INITIAL_DEPLOYMENT_LEASE_DURATION": "60",
        # As in prefect.yaml. Here it also applies when the worker imports pyarrow, which its runs
        # inherit.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }


def _with_localhost(address: str) -> str:
    """Returns the address, and the same one with ``localhost``, separated by a comma."""
    return ",".join([address, address.replace("127.0.0.1", "localhost")])


def _private(address: str) -> dict[str, str]:
    """Returns the settings for privacy: no usage statistics, and no requests from pages of other
    sites."""
    return {
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": _with_localhost(address),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "DO_NOT_TRACK": "1",
    }


def _retention() -> dict[str, str]:
    """Returns the settings for what Prefect's database keeps, and for how long. It reuses the space
    of deleted rows.

    Events start runs and are not needed afterwards. They would fill nine tenths of the database,
    so they are not stored.
    """
    return {
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs,orphans",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(RUNS_DAYS * 86_400),
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_ENABLED": "false",
    }
