"""The processes of the quick start, each in a group of its own: started, started again when they
end, stopped together."""

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
"""Seconds before a part that has ended starts again: the first time, the second, …, and from then
on."""
STEADY = 300.0
"""A part that has run for as many seconds is well: the next time that it ends counts as the
first."""
LOG_BYTES = 20_000_000
"""A log that is larger is put aside."""
LOGS_KEPT = 3
"""Logs of a part that were put aside, the newest ``.1``; older ones go."""
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
    """How often it has ended, one time soon after the other."""
    due: float | None = None
    """When it starts again, if it has ended."""


@dataclass
class Children:
    """The processes that were started here."""

    logs: Path
    folder: Path
    """Where they work."""
    started: list[Child] = field(default_factory=list)

    def start(self, name: str, command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        """Starts a process whose output goes to ``logs/<name>.log``. When this process is killed,
        it is asked to end."""
        child = Child(name, command, env, self._spawn(name, command, env), time.monotonic())
        self.started.append(child)
        return child.process

    def check(self) -> None:
        """Raises:
        NotStarted: one of them has ended by itself.
        """
        for child in self.started:
            if child.process.poll() is not None:
                raise NotStarted(
                    f"The {child.name} has ended ({_how(child.process)})",
                    f"Its log is {self._log(child.name)}.",
                )

    def tend(self, before: Mapping[str, Callable[[], object]]) -> Iterator[str]:
        """Starts again what has ended, after a pause that grows, and puts large logs aside. Call it
        now and then.

        Args:
            before: name of a part -> what must be done before it starts again.

        Yields:
            What was seen and done, in words.
        """
        now = time.monotonic()
        for child in self.started:
            put_aside(self._log(child.name))
            if child.due is None and child.process.poll() is not None:
                child.ends = 1 if now - child.began > STEADY else child.ends + 1
                pause = PAUSES[min(child.ends, len(PAUSES)) - 1]
                child.due = now + pause
                self._end_group(child)
                told = (
                    f"the {child.name} has ended ({_how(child.process)}) and starts again in "
                    f"{pause:.0f} s"
                )
                yield f"{told}; its log is {self._log(child.name)}"
            elif child.due is not None and now >= child.due:
                try:
                    before.get(child.name, lambda: None)()
                except Exception as error:
                    child.due = now + PAUSES[1]
                    yield (
                        f"the {child.name} cannot start yet ({type(error).__name__}): it waits "
                        "for the other parts"
                    )
                    continue
                child.process, child.began, child.due = (
                    self._spawn(child.name, child.command, child.env),
                    now,
                    None,
                )
                yield f"the {child.name} has started again"

    def stop(self) -> None:
        """Ends them, the last started first: asked, given time, then killed with their groups."""
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
            # The command is our own.
            return subprocess.Popen(  # noqa: S603
                command,
                env=env,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # One call of the kernel, and no thread of ours holds a lock then.
                preexec_fn=end_with_parent,  # noqa: PLW1509
            )

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    @staticmethod
    def _end_group(child: Child) -> None:
        """What a part has started ends with it."""
        with suppress(ProcessLookupError):
            os.killpg(child.process.pid, signal.SIGKILL)


def put_aside(log: Path) -> None:
    """Begins a log anew that has grown large, and keeps what it held in ``.1``.

    Its writer goes on: it appends, so that it writes at the beginning of the file that was emptied.
    What it writes within the few milliseconds between the copy and the emptying is lost.
    """
    if not log.exists() or log.stat().st_size <= LOG_BYTES:
        return
    # A disk that is full keeps the log as it is.
    with suppress(OSError):
        _put_aside(log)


def _put_aside(log: Path) -> None:
    for number in range(LOGS_KEPT - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    shutil.copyfile(log, log.with_name(f"{log.name}.1"))
    os.truncate(log, 0)


def _how(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def end_with_parent() -> None:
    """On Linux a process is asked to end when the one that has started it is gone."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
