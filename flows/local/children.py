"""Starts the processes of the quick start, restarts those that end, and stops all of them together.

Each has a process group of its own.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from reconciliation.errors import HrsyncError

PAUSES = (1.0, 2.0, 5.0, 15.0, 60.0)
"""Seconds before the first, second, … restart of a process. The last pause is that of all later
ones."""
STEADY = 300.0
"""Seconds of running after which the next end of a process counts as its first."""
RETRY_AFTER = 2.0
"""Seconds before another attempt at a restart that failed."""
LOG_BYTES = 20_000_000
"""A larger log is rotated."""
LOGS_KEPT = 3
"""Number of rotated logs of a process. ``.1`` is the newest."""
_PR_SET_PDEATHSIG = 1


class NotStarted(HrsyncError):
    """A part of the quick start did not come up."""


@dataclass
class Child:
    """One process."""

    name: str
    command: list[str]
    env: dict[str, str]
    process: subprocess.Popen[bytes]
    began: float
    ends: int = 0
    """How often it has ended in quick succession."""
    due: float | None = None
    """When it starts again (``time.monotonic``), if it has ended."""


@dataclass
class Children:
    """The processes that were started here."""

    logs: Path
    folder: Path
    """Their working directory."""
    started: list[Child] = field(default_factory=list)

    def start(self, name: str, command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        """Starts a process. Its output goes to ``logs/<name>.log``. On Linux it gets SIGTERM when
        this process dies."""
        child = Child(name, command, env, self._spawn(name, command, env), time.monotonic())
        self.started.append(child)
        return child.process

    def check(self) -> None:
        """Raises:
        NotStarted: a process has ended by itself.
        """
        for child in self.started:
            if child.process.poll() is not None:
                raise NotStarted(
                    f"The {child.name} has ended ({_reason(child.process)})",
                    f"Its log is {self._log(child.name)}.",
                )

    def tend(self, before: Mapping[str, Callable[[], object]]) -> Iterator[str]:
        """Restarts processes that have ended, after a growing pause, and rotates large logs. Call
        it regularly.

        Args:
            before: name of a process -> what must be done before its restart.

        Yields:
            A message for each event.
        """
        for child in self.started:
            rotate_if_large(self._log(child.name))
            if child.due is None and child.process.poll() is not None:
                yield self._ended(child)
            elif child.due is not None and time.monotonic() >= child.due:
                yield self._restarted(child, before.get(child.name))

    def _ended(self, child: Child) -> str:
        """Ends what the process has started, and says when it starts again."""
        now = time.monotonic()
        child.ends = 1 if now - child.began > STEADY else child.ends + 1
        pause = PAUSES[min(child.ends, len(PAUSES)) - 1]
        child.due = now + pause
        self._end_group(child)
        return (
            f"the {child.name} has ended ({_reason(child.process)}) and starts again in "
            f"{pause:.0f} s; its log is {self._log(child.name)}"
        )

    def _restarted(self, child: Child, before: Callable[[], object] | None) -> str:
        try:
            if before is not None:
                before()
        except Exception as error:
            child.due = time.monotonic() + RETRY_AFTER
            return (
                f"the {child.name} cannot start yet ({type(error).__name__}); the next attempt is "
                f"in {RETRY_AFTER:.0f} s"
            )
        child.process = self._spawn(child.name, child.command, child.env)
        child.began = time.monotonic()
        child.due = None
        return f"the {child.name} has started again"

    def stop(self) -> None:
        """Stops all, the last started first: SIGTERM, 15 seconds, then SIGKILL for the whole
        group."""
        for child in reversed(self.started):
            if child.process.poll() is None:
                os.killpg(child.process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(timeout=15)
            self._end_group(child)
            child.process.wait()

    def _spawn(self, name: str, command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        self.logs.mkdir(parents=True, exist_ok=True)
        with self._log(name).open("ab") as log:
            # The command is a constant of hrsync: no part of it is typed by a user.
            return subprocess.Popen(  # noqa: S603
                command,
                env=env,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # Safe: it makes one system call and takes no lock.
                preexec_fn=end_with_parent,  # noqa: PLW1509
            )

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    @staticmethod
    def _end_group(child: Child) -> None:
        """Kills the process group: what the process has started ends with it."""
        with suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)


def rotate_if_large(log: Path) -> None:
    """Copies a large log to ``.1`` and empties it.

    The process that writes it appends, so it goes on at the start of the emptied file. Lines that
    it writes within the few milliseconds between the copy and the emptying are lost.
    """
    if not log.exists() or log.stat().st_size <= LOG_BYTES:
        return
    # If the disk is full, the log stays as it is.
    with suppress(OSError):
        _rotate(log)


def _rotate(log: Path) -> None:
    for number in range(LOGS_KEPT - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)


def _reason(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def end_with_parent() -> None:
    """On Linux: sends this process SIGTERM when its parent dies."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
