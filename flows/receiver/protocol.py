"""Protects the receiver from slow and numerous clients: uvicorn's HTTP protocol, with limits on
time and on the number of connections.

A connection either waits for a request (its headers are not complete yet) or is answering one. Each
state has its own time limit. Data that arrives meanwhile does not extend it.
"""

from __future__ import annotations

import asyncio
import resource

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from connectors.settings import WebhookSettings
from reconciliation.errors import Misconfigured

ANSWER_SECONDS = 5.0
"""Maximum number of seconds to answer a request after its body, and for the client to read the
answer."""
OTHER_FILES = 200
"""Number of file descriptors reserved for all else: the store, logs, Prefect, and connections that
are being accepted."""


class Room:
    """The connections of one server. In each state, the one that entered it first comes first."""

    def __init__(self, settings: WebhookSettings) -> None:
        self.size = settings.connections
        self.header_seconds = settings.header_seconds
        self.request_seconds = settings.body_seconds + ANSWER_SECONDS
        self._waiting: dict[LimitedProtocol, None] = {}
        self._answering: dict[LimitedProtocol, None] = {}

    def enter(self, one: LimitedProtocol) -> bool:
        """Admits a new connection. Returns whether it was admitted.

        If the room is full, it takes the place of the first connection that waits for a request,
        or else of the first whose body is incomplete.
        """
        while len(self._waiting) + len(self._answering) >= self.size:
            victim = next(iter(self._waiting), None) or next(
                (other for other in self._answering if other.sends), None
            )
            if victim is None:
                return False
            victim.drop()
        self._waiting[one] = None
        return True

    def move(self, one: LimitedProtocol, *, asks: bool) -> float:
        """Records that a connection now waits for a request, or answers one if ``asks``. Returns
        the time limit in seconds."""
        self.leave(one)
        (self._answering if asks else self._waiting)[one] = None
        return self.request_seconds if asks else self.header_seconds

    def leave(self, one: LimitedProtocol) -> None:
        """Removes a connection."""
        self._waiting.pop(one, None)
        self._answering.pop(one, None)


class LimitedProtocol(H11Protocol):
    """One connection, which is closed when its time limit has passed."""

    room: Room
    _deadline: asyncio.TimerHandle | None = None

    @property
    def asks(self) -> bool:
        """Whether it is answering a request: the headers are complete, the answer is not."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def sends(self) -> bool:
        """Whether the body of the current request is incomplete."""
        return self.conn.their_state is h11.SEND_BODY

    # uvicorn, too, narrows the type that asyncio declares.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.room.enter(self):
            self._restart_timer()
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        was_waiting = not self.asks
        super().data_received(data)
        if was_waiting and self.asks:
            self._restart_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._restart_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._end()

    def drop(self) -> None:
        """Closes the connection at once. Unsent data is lost."""
        self._end()
        self.transport.abort()

    def _restart_timer(self) -> None:
        seconds = self.room.move(self, asks=self.asks)
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.drop)

    def _end(self) -> None:
        self.room.leave(self)
        if self._deadline is not None:
            self._deadline.cancel()


def limited(settings: WebhookSettings) -> type[LimitedProtocol]:
    """Returns the protocol class for one server, with its own room."""
    return type("LimitedProtocol", (LimitedProtocol,), {"room": Room(settings)})


def affordable(connections: int) -> int:
    """Returns how many of these connections this process can have at a time. Raises the limit of
    open files first, as far as it may.

    Raises:
        Misconfigured: the limit does not allow a single connection.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        connections = min(connections, soft - OTHER_FILES)
    if connections < 1:
        raise Misconfigured(
            f"The limit of open files is {soft}, too low for the receiver, which needs "
            f"{OTHER_FILES} besides its connections",
            f"Raise the limit (ulimit -n) above {OTHER_FILES}.",
        )
    return connections
