"""Keeps the home folder of hrsync private, and lets one ``hrsync up`` at a time use it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from reconciliation.errors import Misconfigured

from .private import OTHERS

LOCK = "up.lock"
LOCK_ATTEMPTS = 20
"""Number of attempts to get the lock: one second in all."""


def make_private(home: Path) -> bool:
    """Makes the folder readable by its owner alone: it holds personal data and secrets.

    Returns:
        Whether others could read it before.

    Raises:
        Misconfigured: the folder belongs to another account, or cannot be changed.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        if home.stat().st_uid != os.geteuid():
            raise PermissionError
        shared = home.stat().st_mode & OTHERS != 0
        if shared:
            home.chmod(0o700)
    except OSError as error:
        raise Misconfigured(
            f"The home folder {home} belongs to another account, or cannot be made private "
            f"({type(error).__name__})",
            "Set HRSYNC_HOME to a folder of this account.",
        ) from None
    return shared


@contextmanager
def locked(home: Path) -> Iterator[None]:
    """Locks the home folder for one ``hrsync up``. The system releases the lock when the process
    ends, also after a kill.

    Raises:
        Misconfigured: another ``hrsync up`` has the lock.
    """
    with (home / LOCK).open("a+") as file:
        if not _try_lock(file):
            file.seek(0)
            raise Misconfigured(
                f"Another hrsync up uses {home} (process {file.read().strip() or 'unknown'})",
                "Stop that one first, or set HRSYNC_HOME to another folder.",
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _try_lock(file: TextIO) -> bool:
    """Whether the lock is ours now. It is tried several times: :func:`at_work` has it for a moment,
    too."""
    for _ in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
        else:
            return True
    return False


def at_work(home: Path) -> bool:
    """Whether an ``hrsync up`` holds the home folder now."""
    try:
        with (home / LOCK).open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
