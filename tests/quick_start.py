"""``hrsync up`` as the child of a test: started, asked, interrupted, and killed with all that it
has started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from .served import free_port


@dataclass
class QuickStart:
    """One home folder and the ports of its parts. It can be started many times."""

    home: Path
    people: int = 150
    tick_seconds: float = 5.0
    prefect: int = field(default_factory=free_port)
    sandbox: int = field(default_factory=free_port)
    receiver: int = field(default_factory=free_port)
    told: str = ""
    """What it has said since it was started last."""

    def start(self, **settings: str) -> None:
        """Starts it; nothing is waited for."""
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HRSYNC_", "PREFECT_"))
        }
        options: dict[str, object] = {
            "--people": self.people,
            "--tick-seconds": self.tick_seconds,
            "--prefect-port": self.prefect,
            "--sandbox-port": self.sandbox,
            "--receiver-port": self.receiver,
        }
        self.told = ""
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "flows.start",
                "up",
                *(str(part) for option in options.items() for part in option),
            ],
            env={**env, **settings, "HRSYNC_HOME": str(self.home), "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        threading.Thread(target=self._listen, args=(self.process,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        for line in process.stdout:
            self.told += line

    def until(self, text: str, seconds: float = 300) -> str:
        """What it has said up to ``text``; an error if it ends without it, or does not say it in
        time."""
        deadline = time.monotonic() + seconds
        while text not in self.told:
            ended = self.process.poll() is not None
            time.sleep(0.1)
            assert not ended or text in self.told, f"ended without saying {text!r}:\n{self.told}"
            assert time.monotonic() < deadline, (
                f"did not say {text!r} within {seconds} s:\n{self.told}"
            )
        return self.told

    def up(self, seconds: float = 300) -> str:
        """Waits until everything is up and every first run has ended."""
        return self.until("Ctrl-C stops everything", seconds)

    def interrupt(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Asks it to stop; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def kill(self) -> None:
        """SIGKILL for it and for all that it has started, as when the machine loses its power."""
        found = [self.process.pid]
        while found:
            for number in found:
                with suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
            # A process that was being forked meanwhile.
            found = [number for number, _ in mentioning(str(self.home))]
        self.process.wait()

    # -- its Prefect server -----------------------------------------------------------------------

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.prefect}/api"

    @property
    def login(self) -> str:
        return (self.home / "prefect-login").read_text().strip()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """An answer of Prefect's API. A server that is busy answers 503: it is asked again."""
        name, _, password = self.login.partition(":")
        for _ in range(20):
            answer = httpx.request(
                method, f"{self.api}{path}", json=body, auth=(name, password), timeout=60
            )
            if answer.status_code != 503:
                break
            time.sleep(0.5)
        answer.raise_for_status()
        return answer.json()


def mentioning(text: str) -> list[tuple[int, str]]:
    """Processes that live and in whose command line or environment ``text`` stands, with the
    beginning of that."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parts = [(folder / name).read_bytes() for name in ("cmdline", "environ")]
            except OSError:
                continue
            line = b" ".join(parts).replace(b"\0", b" ").decode(errors="replace")
            if text in line and int(folder.name) != os.getpid():
                found.append((int(folder.name), line[:200]))
    return found
