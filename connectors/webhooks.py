"""What a receiver needs of whoever sends webhooks, without a socket: is this delivery genuine, and what does it say?"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import SecretStr


@dataclass(frozen=True)
class Delivery:
    """A request as it came. key: what the path says after the subscription. headers: by lower-case name. at: when, UTC."""

    subscription: str
    method: str
    key: str | None
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    at: datetime


@dataclass(frozen=True)
class Arrival:
    """What a genuine delivery says. records: (feed, key or ``None``) each. deleted: they are said to be gone. identity: by which
    the same one is known again.

    once: the identity is that of one delivery for good. If not, two that are alike may tell of two changes: the second is a
    duplicate only while no run has heard the first.
    """

    subscription: str
    method: str
    records: tuple[tuple[str, str | None], ...]
    identity: str
    once: bool
    deleted: bool = False


class Forged(Exception):
    """The delivery cannot be shown to be genuine. reason: one of a few words, to be counted."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Unreadable(Exception):
    """The delivery is genuine, but it does not say of which record it is. The message holds nothing of it."""


class Sender(Protocol):
    """Whoever sends deliveries."""

    def subscriptions(self) -> Mapping[str, str]:
        """The subscriptions of this sender, by the name that stands in the path -> the feed it is about."""

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
        """A mark of everything new that is there -> the feed it is about; of the same thing it is the same each time."""

    def close(self) -> None:
        """Ends what it has opened."""


def equal(given: str | None, secret: SecretStr) -> bool:
    """Whether these are the same, in a time that does not tell how much of it is."""
    return hmac.compare_digest((given or "").encode("utf-8", "surrogateescape"), secret.get_secret_value().encode())


def signed(given: str | None, key: SecretStr, message: bytes) -> bool:
    """Whether ``given`` is the HMAC-SHA256 of a message, hexadecimal, with or without ``sha256=`` before it."""
    right = hmac.new(key.get_secret_value().encode(), message, hashlib.sha256).hexdigest()
    return equal((given or "").strip().removeprefix("sha256=").lower(), SecretStr(right))


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
    """A value as the key of a record: text or a whole number, short and without control characters."""
    if isinstance(key, bool) or not isinstance(key, str | int):
        return None
    text = str(key).strip()
    return text if 0 < len(text) <= 200 and text.isprintable() else None
