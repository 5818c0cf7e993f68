"""The interface between the webhook receiver and the systems that send webhooks: is a delivery
genuine, and which records is it about? Nothing here opens a socket."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import SecretStr


@dataclass(frozen=True)
class Delivery:
    """A webhook request as received."""

    subscription: str
    method: str
    target: bytes
    """The path and query string as sent."""
    key: str | None
    """The part of the path after the subscription."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Headers by lower-case name. Values are decoded as Latin-1: one character for each byte."""
    body: bytes
    at: datetime
    """Time of receipt, UTC."""


@dataclass(frozen=True)
class Arrival:
    """The content of a genuine delivery."""

    subscription: str
    method: str
    records: tuple[tuple[str, str | None], ...]
    """(feed, key) of each record. The key is ``None`` where the sender cannot name it."""
    identity: str
    """A digest by which a repeated delivery is recognised."""
    once: bool
    """Whether ``identity`` belongs to one delivery for good. If false, two equal deliveries may be
    about two changes: the second is a duplicate only while no run has processed the first."""
    deleted: bool = False
    """Whether the sender reports the records as deleted."""


class Forged(Exception):
    """The delivery is not proved genuine. ``reason`` is one of a few fixed words and labels a
    counter."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unreadable(Exception):
    """The delivery is genuine but names no usable record. The message quotes nothing from it."""


class Sender(Protocol):
    """A system that sends webhooks."""

    def subscriptions(self) -> Mapping[str, str]:
        """Maps each subscription, as named in the path, to its feed."""

    def screen(self, headers: Mapping[str, str]) -> None:
        """Checks the headers (:attr:`Delivery.headers`) before the body is read.

        Raises:
            Forged: the headers alone show that the delivery is not genuine.
        """

    def verify(self, delivery: Delivery) -> None:
        """Checks a complete delivery.

        Raises:
            Forged: it is not genuine.
        """

    def read(self, delivery: Delivery) -> Arrival:
        """Returns the content of a delivery.

        Raises:
            Unreadable: it names no record.
        """


class Watch(Protocol):
    """Polls a source that sends no webhooks."""

    def look(self) -> Mapping[str, str]:
        """Maps a mark of each new item to its feed. The same item has the same mark at every
        call."""

    def close(self) -> None:
        """Closes connections."""


@dataclass(frozen=True)
class Proof:
    """Credentials that the headers of a request must hold: a secret, basic authentication, or
    both. No other code reads these headers."""

    header: str
    secret: SecretStr | None
    username: str | None
    password: SecretStr | None

    @property
    def asked(self) -> bool:
        """Whether a secret or a password is configured."""
        return bool(self.secret or self.password)

    def wanting(self, headers: Mapping[str, str]) -> list[str]:
        """Returns the names of the failed checks: ``secret``, ``credentials``, both or none.
        ``headers`` are :attr:`Delivery.headers`."""
        wrong = []
        if self.secret and not equal(
            _sent(headers, self.header.lower()), self.secret.get_secret_value()
        ):
            wrong.append("secret")
        if self.password:
            name, password = basic(_sent(headers, "authorization")) or (b"", b"")
            # Both are always compared, so that the time taken reveals neither.
            if not all(
                [
                    equal(name, self.username or ""),
                    equal(password, self.password.get_secret_value()),
                ]
            ):
                wrong.append("credentials")
        return wrong


def _sent(headers: Mapping[str, str], name: str) -> bytes:
    """Returns the bytes of a header as sent, empty if the header is missing."""
    return headers.get(name, "").encode("latin-1", "replace")


def basic(header: bytes) -> tuple[bytes, bytes] | None:
    """Returns user name and password from an ``Authorization`` header, or ``None`` if it is not
    well-formed basic authentication."""
    scheme, _, encoded = header.partition(b" ")
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
    except ValueError:
        return None
    return (name, password) if scheme.lower() == b"basic" and colon else None


def equal(given: bytes, text: str) -> bool:
    """Whether ``given`` is ``text`` in UTF-8 or Latin-1. The time taken does not reveal how much of
    it matches."""
    utf8 = text.encode("utf-8", "surrogateescape")
    latin = text.encode("latin-1") if all(ord(letter) < 256 for letter in text) else utf8
    same = hmac.compare_digest(given, utf8), hmac.compare_digest(given, latin)
    return any(same)


def signed(given: str | None, key: SecretStr, message: bytes) -> bool:
    """Whether ``given`` is the hexadecimal HMAC-SHA256 of a message, with or without the prefix
    ``sha256=``."""
    expected = hmac.new(key.get_secret_value().encode(), message, hashlib.sha256).hexdigest()
    signature = (given or "").strip().removeprefix("sha256=").lower()
    return hmac.compare_digest(signature.encode("utf-8", "surrogateescape"), expected.encode())


def timely(stamp: str | None, at: datetime, tolerance: timedelta) -> bool:
    """Whether ``stamp``, in seconds since 1970, differs from ``at`` by at most ``tolerance``."""
    try:
        return abs(float(stamp or "") - at.timestamp()) <= tolerance.total_seconds()
    except (ValueError, OverflowError):
        return False


def digest(*parts: str | bytes) -> str:
    """Returns a 128-bit hexadecimal digest of the parts in their order."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        # With its length, so that ("ab", "c") and ("a", "bc") differ.
        state.update(len(data).to_bytes(8, "big") + data)
    return state.hexdigest()


def usable(key: object) -> str | None:
    """Returns a value as a record key, or ``None`` if it cannot be one: a key is text or a whole
    number, of 1 to 200 printable characters."""
    if isinstance(key, bool) or not isinstance(key, str | int):
        return None
    text = str(key).strip()
    return text if 0 < len(text) <= 200 and text.isprintable() else None
