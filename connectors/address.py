"""Addresses of servers. They stand in messages, reports and artifacts, so that they hold no
credentials."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from pydantic import AfterValidator


def plain(address: str) -> str:
    """An address as it was given.

    Raises:
        ValueError: it is not one of HTTP, or may hold credentials; does not repeat it.
    """
    try:
        parts = urlsplit(address)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("the address does not begin with https:// and a host")
    if parts.query or parts.fragment:
        raise ValueError(
            "the address has a query or a fragment: leave them out, and use the settings that "
            "are for credentials"
        )
    if "@" in address:
        raise ValueError(
            "the address may hold a user name or a password: leave them out, and use the "
            "settings that are for credentials"
        )
    return address


def without_password(address: str) -> str:
    """An address, or a path, as it was given.

    Raises:
        ValueError: it holds a password; does not repeat it.
    """
    if re.search(r"://[^@]*:.*@", address):
        raise ValueError(
            "the address may hold a password: leave it out, and give it to what opens the "
            "address otherwise"
        )
    return address


Address = Annotated[str, AfterValidator(plain)]


def credentials_apart(given: Any) -> Any:
    """Settings as they were given, with the user name and password of ``base_url`` in fields of
    their own where these are empty."""
    if (
        not isinstance(given, dict)
        or not isinstance(given.get("base_url"), str)
        or given.get("username")
        or given.get("password")
    ):
        return given
    try:
        parts = urlsplit(given["base_url"])
    except ValueError:
        return given
    credentials, at, place = parts.netloc.rpartition("@")
    if not at:
        return given
    name, _, password = credentials.partition(":")
    found = {"username": unquote(name) or None, "password": unquote(password) or None}
    return {**given, **found, "base_url": urlunsplit(parts._replace(netloc=place))}


def is_here(host: str) -> bool:
    """Whether a host is this machine: what is sent there leaves on no wire."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
