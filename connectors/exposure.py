"""What weakens the protection of credentials and personal data, though every setting is valid.

``hrsync up``, ``run`` and ``receiver`` say it when they start, and ``hrsync doctor`` repeats it.
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
from .address import is_here
from .hr import connectors
from .private import open_to_others
from .settings import ENV_FILE, PREFIX, AccessplanitSettings, Settings

DATABASES = ("store.db", "hr.db")
"""Below the home folder, where none is configured elsewhere."""
WITHOUT_TLS = ("disable", "allow", "prefer")
"""Values of ``sslmode`` with which a server may be spoken to in the clear; the last is what counts
where none is given."""

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
    """Each with its setting or file; never with a value that may be secret.

    systems: the settings of accessplanit and of the HR systems by the place in which they are, such
    as ``HRSYNC_SCIM``.
    """
    values = [found for place, model in systems.items() for found in _values(place, model)]
    values += _values(f"{PREFIX}STORE", settings.store)
    found = [
        Finding(name, "warning", *open_) for name, value in values if (open_ := _unencrypted(value))
    ]
    if any(
        isinstance(model, AccessplanitSettings) and model.were_in_address
        for model in systems.values()
    ):
        found.append(Finding("HRSYNC_ACCESSPLANIT__BASE_URL", "warning", *IN_ADDRESS))
    homely = sorted(
        {*DATABASES, *(name for connector in connectors().values() for name in connector.keeps)}
    )
    kept = [
        Path(ENV_FILE),
        settings.home,
        *(settings.home / name for name in homely),
        *_files(value for _, value in values),
    ]
    exposed = sorted({path.absolute() for path in kept if open_to_others(path)})
    told = "other accounts of this machine have rights to it"
    return found + [
        Finding(str(path), "warning", told, f"Take the rights away: chmod go= {path}")
        for path in exposed
    ]


def _values(place: str, model: BaseModel) -> list[tuple[str, str]]:
    """The texts of a model and of those in it, each by its name."""
    found: list[tuple[str, str]] = []
    for name in type(model).model_fields:
        value, named = getattr(model, name), f"{place}__{name.upper()}"
        if isinstance(value, BaseModel):
            found += _values(named, value)
        elif isinstance(value, str | SecretStr):
            found.append((named, value if isinstance(value, str) else value.get_secret_value()))
    return found


def _unencrypted(value: str) -> tuple[str, str] | None:
    """What is wrong with an address over which others can read, and who must do what."""
    if value.lower().startswith("http://"):
        return None if is_here(_host(value)) else OPEN_HTTP
    url = _database(value)
    if url is None or url.get_backend_name() != "postgresql":
        return None
    away = [host for host in _hosts(url) if host and not host.startswith("/") and not is_here(host)]
    modes = _asked(url, "sslmode") or [
        os.environ.get(
            "PGSSLMODE", "verify-full" if _asked(url, "sslrootcert") == ["system"] else "prefer"
        )
    ]
    return OPEN_DATABASE if away and set(modes) & set(WITHOUT_TLS) else None


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


def _asked(url: sa.URL, name: str) -> list[str]:
    """What the query of a URL says of an option: once, several times, or in a list with commas."""
    said = url.query.get(name, ())
    return [one for text in ([said] if isinstance(said, str) else said) for one in text.split(",")]


def _hosts(url: sa.URL) -> list[str]:
    """Where a URL leads, each without its port: by address, by name, or as libpq's environment
    says. None, or a path: a socket."""
    named = _asked(url, "hostaddr") or _asked(url, "host") or [unquote(url.host or "")]
    if named == [""]:
        named = [os.environ.get("PGHOSTADDR") or os.environ.get("PGHOST", "")]
    return [re.sub(r"^([^:]*):\d+$", r"\1", host) for host in named]


def _files(values: Iterable[str]) -> list[Path]:
    """The files of SQLite databases."""
    urls = [
        url for value in values if (url := _database(value)) and url.get_backend_name() == "sqlite"
    ]
    return [Path(url.database) for url in urls if url.database and url.database != ":memory:"]
