"""What a receiver needs of whoever sends webhooks, without a socket: is this delivery genuine, and
what does it say?"""

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
    """A request as it came."""

    subscription: str
    method: str
    target: bytes
    """The path with its query string, as they were sent."""
    key: str | None
    """What the path says after the subscription."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """By lower-case name; each character of a value is one byte of what was sent (Latin-1)."""
    body: bytes
    at: datetime
    """When it came, UTC."""


@dataclass(frozen=True)
class Arrival:
    """What a genuine delivery says."""

    subscription: str
    method: str
    records: tuple[tuple[str, str | None], ...]
    """(feed, key) of each record; the key is ``None`` where the sender cannot name it."""
    identity: str
    """Recognises the same delivery when it comes again."""
    once: bool
    """``identity`` belongs to one delivery for good. If false, two equal deliveries may be about
    two changes: the second is a duplicate only while no run has processed the first."""
    deleted: bool = False
    """The records are said to be deleted."""


class Forged(Exception):
    """The delivery cannot be shown to be genuine. reason: one of a few words, to be counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unreadable(Exception):
    """The delivery is genuine, but it does not say of which record it is. The message holds nothing
    of it."""


class Sender(Protocol):
    """A system that sends deliveries."""

    def subscriptions(self) -> Mapping[str, str]:
        """Name of a subscription, as the path has it -> the feed that it is about."""

    def screen(self, headers: Mapping[str, str]) -> None:
        """Looks at the headers before the body is read. headers: as those of a :class:`Delivery`.

        Raises:
            Forged: they alone show that it is not genuine.
        """

    def verify(self, delivery: Delivery) -> None:
        """Raises:
        Forged: it is not genuine.
        """

    def read(self, delivery: Delivery) -> Arrival:
        """What it says.

        Raises:
            Unreadable: it names no record.
        """


class Watch(Protocol):
    """Notices by looking what nobody tells."""

    def look(self) -> Mapping[str, str]:
        """A mark of everything new that is there -> the feed it is about; of the same thing it is
        the same each time."""

    def close(self) -> None:
        """Ends what it has opened."""


@dataclass(frozen=True)
class Proof:
    """What the headers of a request must hold: a secret, basic authentication, or both. This is
    where they are read."""

    header: str
    secret: SecretStr | None
    username: str | None
    password: SecretStr | None

    @property
    def asked(self) -> bool:
        """Whether there is anything that must hold."""
        return bool(self.secret or self.password)

    def wanting(self, headers: Mapping[str, str]) -> list[str]:
        """What does not hold, of ``secret`` and ``credentials``. headers: as those of a
        :class:`Delivery`."""
        wrong = []
        if self.secret and not equal(
            _sent(headers, self.header.lower()), self.secret.get_secret_value()
        ):
            wrong.append("secret")
        if self.password:
            name, password = basic(_sent(headers, "authorization")) or (b"", b"")
            # Both are compared, so that the time tells of neither.
            if not all(
                [
                    equal(name, self.username or ""),
                    equal(password, self.password.get_secret_value()),
                ]
            ):
                wrong.append("credentials")
        return wrong


def _sent(headers: Mapping[str, str], name: str) -> bytes:
    """A header's value as it was sent; empty if the header is missing."""
    return headers.get(name, "").encode("latin-1", "replace")


def basic(header: bytes) -> tuple[bytes, bytes] | None:
    """The user name and the password of an ``Authorization`` header; ``None`` if it is not
    well-formed basic authentication."""
    scheme, _, encoded = header.partition(b" ")
    try:
        name, colon, password = base64.b64decode(encoded, validate=True).partition(b":")
    except ValueError:
        return None
    return (name, password) if scheme.lower() == b"basic" and colon else None


def equal(given: bytes, text: str) -> bool:
    """Whether this is a text as UTF-8 or as Latin-1, in a time that does not tell how much of it
    is."""
    utf8 = text.encode("utf-8", "surrogateescape")
    latin = text.encode("latin-1") if all(ord(letter) < 256 for letter in text) else utf8
    same = hmac.compare_digest(given, utf8), hmac.compare_digest(given, latin)
    return any(same)


def signed(given: str | None, key: SecretStr, message: bytes) -> bool:
    """Whether ``given`` is the HMAC-SHA256 of a message, hexadecimal, with or without ``sha256=``
    before it."""
    right = hmac.new(key.get_secret_value().encode(), message, hashlib.sha256).hexdigest()
    said = (given or "").strip().removeprefix("sha256=").lower()
    return hmac.compare_digest(said.encode("utf-8", "surrogateescape"), right.encode())


def timely(stamp: str | None, at: datetime, tolerance: timedelta) -> bool:
    """Whether a time in seconds since 1970 is near enough to ``at``."""
    try:
        return abs(float(stamp or "") - at.timestamp()) <= tolerance.total_seconds()
    except (ValueError, OverflowError):
        return False


def digest(*parts: str | bytes) -> str:
    """A digest of parts in their order."""
    whole = hashlib.blake2b(digest_size=16)
    for part in parts:
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        whole.update(len(data).to_bytes(8, "big") + data)
    return whole.hexdigest()


def usable(key: object) -> str | None:
    """A value as the key of a record: text or a whole number, short and without control
    characters."""
    if isinstance(key, bool) or not isinstance(key, str | int):
        return None
    text = str(key).strip()
    return text if 0 < len(text) <= 200 and text.isprintable() else None
