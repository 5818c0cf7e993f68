"""The home folder of hrsync: its owner's alone, and one ``hrsync up`` at a time."""

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
LOOKS = 20
"""Attempts at the lock, within a second."""


def own(home: Path) -> bool:
    """Makes the folder, in which personal data and secrets lie, readable by its owner alone;
    whether others could read it before.

    Raises:
        Misconfigured: it is not ours.
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
            f"The home folder {home} is not this account's, or cannot be made so "
            f"({type(error).__name__})",
            "Set HRSYNC_HOME to a folder of this account.",
        ) from None
    return shared


@contextmanager
def held(home: Path) -> Iterator[None]:
    """Holds the home folder for one ``hrsync up``. The lock ends with the process, however that
    ends.

    Raises:
        Misconfigured: another one is at work there.
    """
    with (home / LOCK).open("a+") as file:
        if not _locked(file):
            file.seek(0)
            raise Misconfigured(
                f"hrsync up is at work on {home} already (process "
                f"{file.read().strip() or 'unknown'})",
                "Stop that one first, or set HRSYNC_HOME to another folder.",
            )
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _locked(file: TextIO) -> bool:
    """Whether the lock could be had. A command that looks whether somebody is at work has it for a
    moment, too."""
    for _ in range(LOOKS):
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
