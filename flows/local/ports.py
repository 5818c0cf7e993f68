"""Checks the ports of the quick start: free at its start, and not another account's later."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from reconciliation.errors import Misconfigured

LISTENS = "0A"
"""The state of a listening socket in :data:`TABLES`."""
TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
"""Linux's tables of TCP sockets."""


def check_free(name: str, port: int) -> None:
    """Raises:
    Misconfigured: another process listens on a port that a part needs.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            option = f"--{name.lower()}-port"
            raise Misconfigured(
                f"Port {port}, which {name} needs, is in use",
                f"Stop the process that uses it, or choose another port with {option}.",
            ) from None


def is_somebody_elses(port: int) -> bool:
    """Returns whether another account of this machine, other than root, listens on a port. Nothing
    secret may be sent there. Always false where Linux's tables of sockets do not exist."""
    return any(owner not in (0, os.geteuid()) for owner in _listeners(port))


def _listeners(port: int) -> list[int]:
    """Returns the IDs of the accounts whose sockets listen on a port."""
    owners = []
    for table in map(Path, TABLES):
        if table.exists():
            rows = [line.split() for line in table.read_text().splitlines()[1:]]
            # Columns: 1 is the local address with a hexadecimal port, 3 the state, 7 the user ID.
            owners += [
                int(row[7])
                for row in rows
                if row[3] == LISTENS and int(row[1].rpartition(":")[2], 16) == port
            ]
    return owners
