"""Validates server addresses, and moves credentials out of them: addresses appear in messages,
reports and artifacts."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import AfterValidator


def plain(address: str) -> str:
    """Returns an HTTP address unchanged if it is valid.

    Raises:
        ValueError: it is not an HTTP address, or may hold credentials. The message does not repeat
            the address.
    """
    # urlsplit removes some white space and control characters, and would accept the address.
    if re.search(r"[\s\x00-\x1f]", address):
        raise ValueError("the address contains a space or a line break: remove it")
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(
            "the address must begin with https:// or http:// and a host, with a valid port if it "
            "has one"
        )
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
    """Returns an address or a path unchanged if it has no ``user:password@``.

    Raises:
        ValueError: it holds a password. The message does not repeat the address.
    """
    if re.search(r"://[^@]*:.*@", address):
        raise ValueError(
            "the address may hold a password: leave it out, and configure it where the library for "
            "that kind of address looks for it, such as an AWS profile"
        )
    return address


Address = Annotated[str, AfterValidator(plain)]


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
    credentials, at, place = parts.netloc.rpartition("@")
    if not at:
        return settings
    name, _, password = credentials.partition(":")
    moved = {"username": unquote(name) or None, "password": unquote(password) or None}
    return {**settings, **moved, "base_url": urlunsplit(parts._replace(netloc=place))}


def is_here(host: str) -> bool:
    """Whether a host is this machine, so that traffic to it does not cross a network."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
