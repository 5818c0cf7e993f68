"""Validates server addresses, and moves credentials out of them. Addresses appear in messages,
reports and artifacts, so they must not hold credentials."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import AfterValidator


def checked_http_address(address: str) -> str:
    """Returns an HTTP or HTTPS address unchanged if requests can be sent below it.

    Raises:
        ValueError: it is not such an address, or may hold credentials. The message does not repeat
            the address.
    """
    if re.search(r"[\s\x00-\x1f\x7f]", address):
        # urlsplit would ignore some of these, but the address is used as it is written.
        raise ValueError("the address has a blank or a control character: remove it")
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(
            "the address is not valid: write it as https://host/path, or with a port from 1 to "
            "65535 as https://host:port/path"
        )
    # Even an empty query is refused: a path that is added to it would become the query.
    if "?" in address or "#" in address:
        raise ValueError(
            "the address has a query or a fragment: leave them out, and put credentials in their "
            "own settings"
        )
    if "@" in address:
        raise ValueError(
            "the address may hold a user name or a password: leave them out, and put credentials "
            "in their own settings"
        )
    return address


def without_password(address: str) -> str:
    """Returns an address or a path unchanged unless it holds a password before its host
    (``scheme://name:password@host``). A secret in any other place is not detected.

    Raises:
        ValueError: it holds a password. The message does not repeat the address.
    """
    if re.search(r"://[^@]*:.*@", address):
        raise ValueError(
            "the address may hold a password: leave it out, and configure it where the library "
            "for this kind of address looks for it (for s3:// an AWS profile)"
        )
    return address


Address = Annotated[str, AfterValidator(checked_http_address)]


def credentials_apart(settings: Any) -> Any:
    """Moves the user name and password from ``base_url`` to the fields ``username`` and
    ``password``.

    Returns the same object if there is nothing to move or one of these fields has a value.
    """
    if (
        not isinstance(settings, dict)
        or not isinstance(settings.get("base_url"), str)
        or settings.get("username")
        or settings.get("password")
    ):
        return settings
    try:
        parts = urlsplit(settings["base_url"])
    except ValueError:
        return settings
    credentials, separator, host = parts.netloc.rpartition("@")
    if not separator:
        return settings
    name, _, password = credentials.partition(":")
    moved = {"username": unquote(name) or None, "password": unquote(password) or None}
    return {**settings, **moved, "base_url": urlunsplit(parts._replace(netloc=host))}


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, so that traffic to it does not cross a network."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
