"""HTTP for strangers: uvicorn's protocol, with limits of time and of the number of connections.

A connection either waits for a request (nothing was sent yet, or not all of the headers, or the
last answer is complete) or has one under way. Both have a time limit of their own, which what is
sent meanwhile does not prolong.
"""

from __future__ import annotations

import asyncio
import resource

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from connectors.settings import WebhookSettings
from reconciliation.errors import Misconfigured

ANSWER_SECONDS = 5.0
"""Seconds in which a request whose body is complete must have been answered, and the answer been
read."""
OTHER_FILES = 200
"""File descriptors for everything but connections: the store, logs, Prefect, what is just being
accepted."""


class Room:
    """The connections of one server, of each kind the one first that has waited longest."""

    def __init__(self, settings: WebhookSettings) -> None:
        self.size = settings.connections
        self.header_seconds = settings.header_seconds
        self.request_seconds = settings.body_seconds + ANSWER_SECONDS
        self._waiting: dict[LimitedProtocol, None] = {}
        self._asking: dict[LimitedProtocol, None] = {}

    def enter(self, one: LimitedProtocol) -> bool:
        """Lets a new connection in. If there are too many, another is closed, or this is not let
        in."""
        while len(self._waiting) + len(self._asking) >= self.size:
            idle = next(iter(self._waiting), None) or next(
                (other for other in self._asking if other.sends), None
            )
            if idle is None:
                return False
            idle.drop()
        self._waiting[one] = None
        return True

    def move(self, one: LimitedProtocol, *, asks: bool) -> float:
        """From now on a connection waits for a request, or has one under way; returns for how many
        seconds it may."""
        self.leave(one)
        (self._asking if asks else self._waiting)[one] = None
        return self.request_seconds if asks else self.header_seconds

    def leave(self, one: LimitedProtocol) -> None:
        """A connection is at its end."""
        self._waiting.pop(one, None)
        self._asking.pop(one, None)


class LimitedProtocol(H11Protocol):
    """One connection."""

    room: Room
    _deadline: asyncio.TimerHandle | None = None

    @property
    def asks(self) -> bool:
        """Whether a request is under way: its headers are complete, its answer is not."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def sends(self) -> bool:
        """Whether the body of the request under way is not complete."""
        return self.conn.their_state is h11.SEND_BODY

    # uvicorn declares it so as well, against asyncio.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.room.enter(self):
            self._begin()
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        waited = not self.asks
        super().data_received(data)
        if waited and self.asks:
            self._begin()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end()

    def drop(self) -> None:
        """Closes the connection at once, whatever is still to be sent."""
        self._end()
        self.transport.abort()

    def _begin(self) -> None:
        seconds = self.room.move(self, asks=self.asks)
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.drop)

    def _end(self) -> None:
        self.room.leave(self)
        if self._deadline is not None:
            self._deadline.cancel()


def limited(settings: WebhookSettings) -> type[LimitedProtocol]:
    """The protocol of one server."""
    return type("LimitedProtocol", (LimitedProtocol,), {"room": Room(settings)})


def affordable(connections: int) -> int:
    """How many of these connections this process can have at a time. It raises its limit of open
    files as far as it may.

    Raises:
        Misconfigured: not one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        connections = min(connections, soft - OTHER_FILES)
    if connections < 1:
        raise Misconfigured(
            f"This process may open {soft} files, too few for the receiver, which needs "
            f"{OTHER_FILES} beside its connections",
            f"Raise the limit (ulimit -n) above {OTHER_FILES}.",
        )
    return connections
