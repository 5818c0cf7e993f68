"""The ports of the quick start: free when it starts, and its own processes' while it runs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from reconciliation.errors import Misconfigured

LISTENS = "0A"
"""The state of a listening socket in Linux's tables."""
TABLES = ("/proc/net/tcp", "/proc/net/tcp6")


def check_free(name: str, port: int) -> None:
    """Raises:
    Misconfigured: something listens at a port that a part needs.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            option = f"--{name.lower()}-port"
            raise Misconfigured(
                f"Port {port}, which {name} needs, is in use",
                f"Stop what uses it, or choose another with {option}.",
            ) from None


def is_somebody_elses(port: int) -> bool:
    """Whether another account of this machine listens at a port: nothing secret may be sent there.
    Known on Linux only."""
    return any(owner not in (0, os.geteuid()) for owner in _listeners(port))


def _listeners(port: int) -> list[int]:
    """The accounts whose sockets listen at a port."""
    found = []
    for table in map(Path, TABLES):
        if table.exists():
            rows = [line.split() for line in table.read_text().splitlines()[1:]]
            found += [
                int(row[7])
                for row in rows
                if row[3] == LISTENS and int(row[1].rpartition(":")[2], 16) == port
            ]
    return found
