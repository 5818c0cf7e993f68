"""Protects the receiver from slow and numerous clients: uvicorn's HTTP protocol, with limits on
time and on the number of connections.

A connection either waits for a request (its headers are not complete yet) or is answering one. Each
state has its own time limit. Data that arrives meanwhile does not extend it.
"""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from connectors.settings import WebhookSettings
from reconciliation.errors import Misconfigured

ANSWER_SECONDS = 5.0
"""Seconds to answer a request, in addition to those for its body. An answer counts as sent once the
operating system has taken it; after that, ``header_seconds`` limits a client that does not read."""
OTHER_FILES = 200
"""Number of file descriptors reserved for all else: the store, logs, Prefect, and connections that
are being accepted."""


class OpenConnections:
    """The connections of one server."""

    def __init__(self, settings: WebhookSettings) -> None:
        self.maximum = settings.connections
        self.header_seconds = settings.header_seconds
        self.request_seconds = settings.body_seconds + ANSWER_SECONDS
        # Ordered sets: the connection that has been in a state longest comes first.
        self._waiting: dict[LimitedProtocol, None] = {}
        self._answering: dict[LimitedProtocol, None] = {}

    def admit(self, connection: LimitedProtocol) -> bool:
        """Admits a new connection. Returns whether it was admitted.

        If there are too many, one is dropped to make room: the one that has waited longest for a
        request, or else the first whose body is incomplete.
        """
        while len(self._waiting) + len(self._answering) >= self.maximum:
            victim = next(iter(self._waiting), None) or next(
                (other for other in self._answering if other.is_receiving_body), None
            )
            if victim is None:
                return False
            victim.drop()
        self._waiting[connection] = None
        return True

    def move(self, connection: LimitedProtocol, *, is_answering: bool) -> float:
        """Records that a connection now waits for a request, or is answering one. Returns the time
        limit in seconds."""
        self.remove(connection)
        (self._answering if is_answering else self._waiting)[connection] = None
        return self.request_seconds if is_answering else self.header_seconds

    def remove(self, connection: LimitedProtocol) -> None:
        """Removes a connection."""
        self._waiting.pop(connection, None)
        self._answering.pop(connection, None)


class LimitedProtocol(H11Protocol):
    """One connection, which is closed when its time limit has passed."""

    open_connections: OpenConnections
    _deadline: asyncio.TimerHandle | None = None

    @property
    def is_answering(self) -> bool:
        """Whether it is answering a request: the headers are complete, the answer is not."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def is_receiving_body(self) -> bool:
        """Whether the body of the current request is incomplete."""
        return self.conn.their_state is h11.SEND_BODY

    # uvicorn, too, narrows the type that asyncio declares.
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.open_connections.admit(self):
            self._restart_timer()
        else:
            transport.abort()

    def data_received(self, data: bytes) -> None:
        was_waiting = not self.is_answering
        super().data_received(data)
        if was_waiting and self.is_answering:
            self._restart_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._restart_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._forget()

    def drop(self) -> None:
        """Closes the connection at once. Unsent data is lost."""
        self._forget()
        self.transport.abort()

    def _restart_timer(self) -> None:
        seconds = self.open_connections.move(self, is_answering=self.is_answering)
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, self.drop)

    def _forget(self) -> None:
        self.open_connections.remove(self)
        if self._deadline is not None:
            self._deadline.cancel()


def protocol_class(settings: WebhookSettings) -> type[LimitedProtocol]:
    """Returns the protocol class for one server, with its own :class:`OpenConnections`."""
    own = {"open_connections": OpenConnections(settings)}
    return type("LimitedProtocol", (LimitedProtocol,), own)


def raise_file_limit(connections: int) -> int:
    """Raises this process's limit of open files so that it can have ``connections`` at a time.
    Returns the number that it can have, which is smaller if the system does not allow more.

    Raises:
        Misconfigured: the limit does not allow a single connection.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        # macOS refuses more than kern.maxfilesperproc, even if the hard limit is infinite.
        with suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
        connections = min(connections, soft - OTHER_FILES)
    if connections < 1:
        raise Misconfigured(
            f"The limit of open files is {soft}, too low for the receiver, which needs "
            f"{OTHER_FILES} besides its connections",
            f"Raise the limit (ulimit -n) above {OTHER_FILES}.",
        )
    return connections
