"""Finds valid but unsafe settings: those that expose credentials or personal data.

``hrsync up``, ``run`` and ``receiver`` print these warnings at start, and so does ``hrsync
doctor``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa
from pydantic import BaseModel, SecretStr
from sqlalchemy.exc import ArgumentError

from .accessplanit.probe import Finding
from .address import is_loopback
from .hr import connectors
from .private import open_to_others
from .settings import ENV_FILE, PREFIX, AccessplanitSettings, Settings

DATABASES = ("store.db", "hr.db")
"""Default database files below the home folder."""
WITHOUT_TLS = ("disable", "allow", "prefer")
"""Values of ``sslmode`` that allow an unencrypted connection. ``prefer`` is the default of
libpq."""

OPEN_HTTP = (
    "is an http:// address of another host: credentials and personal data can be read on the way",
    "Use https://.",
)
IN_ADDRESS = (
    "holds a user name and password: addresses end up in logs of proxies and in shell histories",
    "Move them to HRSYNC_ACCESSPLANIT__USERNAME and __PASSWORD.",
)
OPEN_DATABASE = (
    "is a PostgreSQL server on another host, and the URL does not require TLS: personal data "
    "can be read on the way",
    "Add ?sslmode=verify-full (or require) to the URL.",
)


def exposures(settings: Settings, systems: Mapping[str, BaseModel]) -> list[Finding]:
    """Returns a warning for each unsafe setting and each readable file, without any value that may
    be secret.

    Args:
        settings: the general settings.
        systems: the settings of accessplanit and of the HR systems, by their environment prefix or
            other place, such as ``HRSYNC_SCIM``.
    """
    values = [pair for place, model in systems.items() for pair in _values(place, model)]
    values += _values(f"{PREFIX}STORE", settings.store)
    findings = [
        Finding(name, "warning", *problem)
        for name, value in values
        if (problem := _unencrypted(value))
    ]
    if any(
        isinstance(model, AccessplanitSettings) and model.were_in_address
        for model in systems.values()
    ):
        findings.append(Finding("HRSYNC_ACCESSPLANIT__BASE_URL", "warning", *IN_ADDRESS))
    home_files = sorted(
        {*DATABASES, *(name for connector in connectors().values() for name in connector.keeps)}
    )
    paths = [
        Path(ENV_FILE),
        settings.home,
        *(settings.home / name for name in home_files),
        *_files(value for _, value in values),
    ]
    exposed = sorted({path.absolute() for path in paths if open_to_others(path)})
    problem_of_path = "other accounts on this machine can access it"
    return findings + [
        Finding(str(path), "warning", problem_of_path, f"Remove their access: chmod go= {path}")
        for path in exposed
    ]


def _values(place: str, model: BaseModel) -> list[tuple[str, str]]:
    """Returns (setting, value) of every text and secret in a model and its nested models."""
    values: list[tuple[str, str]] = []
    for name in type(model).model_fields:
        value, setting = getattr(model, name), f"{place}__{name.upper()}"
        if isinstance(value, BaseModel):
            values += _values(setting, value)
        elif isinstance(value, str | SecretStr):
            values.append((setting, value if isinstance(value, str) else value.get_secret_value()))
    return values


def _unencrypted(value: str) -> tuple[str, str] | None:
    """Returns (problem, remedy) if a value is an address whose traffic others can read."""
    if value.lower().startswith("http://"):
        return None if is_loopback(_host(value)) else OPEN_HTTP
    url = _database(value)
    if url is None or url.get_backend_name() != "postgresql":
        return None
    remote = [
        host for host in _hosts(url) if host and not host.startswith("/") and not is_loopback(host)
    ]
    # libpq verifies the server by default when the system's certificates are chosen.
    default = "verify-full" if _option(url, "sslrootcert") == ["system"] else "prefer"
    modes = _option(url, "sslmode") or [os.environ.get("PGSSLMODE", default)]
    return OPEN_DATABASE if remote and set(modes) & set(WITHOUT_TLS) else None


def _host(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""


def _database(value: str) -> sa.URL | None:
    try:
        return sa.make_url(value) if value.startswith(("postgresql", "sqlite")) else None
    except (ArgumentError, ValueError):
        return None


def _option(url: sa.URL, name: str) -> list[str]:
    """Returns the values of an option in the query of a URL, which may repeat it or separate its
    values by commas."""
    value = url.query.get(name, ())
    texts = [value] if isinstance(value, str) else value
    return [part for text in texts for part in text.split(",")]


def _hosts(url: sa.URL) -> list[str]:
    """Returns the hosts of a URL without their ports. They come from ``hostaddr``, from ``host``,
    or from libpq's environment variables. An empty host or a path is a local socket."""
    hosts = _option(url, "hostaddr") or _option(url, "host") or [unquote(url.host or "")]
    if hosts == [""]:
        hosts = [os.environ.get("PGHOSTADDR") or os.environ.get("PGHOST", "")]
    return [re.sub(r"^([^:]*):\d+$", r"\1", host) for host in hosts]


def _files(values: Iterable[str]) -> list[Path]:
    """Returns the files of the SQLite databases among ``values``."""
    urls = [
        url for value in values if (url := _database(value)) and url.get_backend_name() == "sqlite"
    ]
    return [Path(url.database) for url in urls if url.database and url.database != ":memory:"]
