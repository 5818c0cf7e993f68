"""Processes that are started together: what becomes of the others, and of themselves, when one
ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.home import at_work, locked, make_private
from flows.local import children as module
from flows.local.children import Children, NotStarted
from flows.local.ports import check_free, is_somebody_elses
from reconciliation.errors import Misconfigured

SLEEP = "import time; time.sleep(600)"
SLEEPER = (
    f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEP!r}, "
    f"sys.argv[1]]); {SLEEP}"
)


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Children]:
    monkeypatch.setattr(module, "PAUSES", (0.05, 0.2))
    monkeypatch.setattr(module, "RETRY_AFTER", 0.2)
    made = Children(tmp_path / "logs", tmp_path)
    yield made
    made.stop()


def alive(text: str) -> list[int]:
    """Processes with ``text`` in their command line."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if (
                    text.encode() in (folder / "cmdline").read_bytes()
                    and "Z" not in (folder / "stat").read_text().rpartition(")")[2][:3]
                ):
                    found.append(int(folder.name))
            except OSError:
                continue
    return found


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_has_ended_starts_again_after_a_pause_that_grows_and_with_what_must_be_done_before(
    family: Children,
) -> None:
    first = family.start("worker", [sys.executable, "-c", SLEEPER, "mark-one"], dict(os.environ))
    family.start("server", [sys.executable, "-c", SLEEPER, "mark-two"], dict(os.environ))
    until(lambda: len(alive("mark-one")) == 2)
    done: list[str] = []
    told: list[str] = []

    def tend() -> list[str]:
        told.extend(family.tend({"worker": lambda: done.append("cleared")}))
        return told

    assert tend() == []
    first.kill()
    until(lambda: len(tend()) == 2)
    assert "the worker has ended (killed by SIGKILL) and starts again in 0 s" in told[0]
    assert "worker.log" in told[0]
    assert told[1] == "the worker has started again"
    assert done == ["cleared"]
    # What the first one had started is gone with it.
    until(lambda: len(alive("mark-one")) == 2)
    again = family.started[0].process
    assert again.pid != first.pid
    again.kill()
    until(lambda: len(tend()) == 4)
    assert family.started[0].ends == 2
    family.stop()
    assert alive("mark-one") == alive("mark-two") == []


def test_what_needs_another_part_waits_for_it(family: Children) -> None:
    process = family.start("worker", [sys.executable, "-c", SLEEPER, "mark-four"], dict(os.environ))
    process.kill()
    answers = iter([ConnectionError(), ConnectionError(), None])

    def clear() -> None:
        if error := next(answers):
            raise error

    told: list[str] = []
    until(
        lambda: (
            told.extend(family.tend({"worker": clear})) or "the worker has started again" in told
        )
    )
    assert sum("cannot start yet (ConnectionError)" in line for line in told) == 2


def test_while_they_come_up_one_that_ends_is_an_error(family: Children) -> None:
    family.start("server", [sys.executable, "-c", "raise SystemExit(3)"], dict(os.environ))
    with pytest.raises(
        NotStarted, match=r"The server has ended \(exit code 3\)\. Its log is .*server\.log"
    ):
        until(family.check)


@pytest.mark.skipif(
    not sys.platform.startswith("linux"),
    reason="only Linux tells a process that its parent is gone",
)
def test_whoever_is_killed_leaves_no_process_behind(tmp_path: Path) -> None:
    script = f"""
import os, sys, time
from pathlib import Path
from flows.local.children import Children
folder = Path({str(tmp_path)!r})
command = [sys.executable, "-c", {SLEEP!r}, "mark-three"]
Children(folder, folder).start("s", command, dict(os.environ))
print("up", flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    assert parent.stdout.readline() == "up\n"
    until(lambda: [pid for pid in alive("mark-three") if pid != parent.pid])
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    until(lambda: alive("mark-three") == [])


def test_a_home_is_held_by_one_and_by_nobody_who_is_gone(tmp_path: Path) -> None:
    assert not at_work(tmp_path)
    script = f"""
import time
from pathlib import Path
from connectors.home import locked
with locked(Path({str(tmp_path)!r})):
    print("held", flush=True)
    time.sleep(600)
"""
    other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert other.stdout
    assert other.stdout.readline() == "held\n"
    assert at_work(tmp_path)
    with (
        pytest.raises(Misconfigured, match=rf"up uses {tmp_path} \(process {other.pid}\)"),
        locked(tmp_path),
    ):
        pass
    other.kill()
    other.wait()
    assert not at_work(tmp_path), "its note alone says nothing"
    with locked(tmp_path):
        assert at_work(tmp_path)


def test_a_home_is_its_owners_alone(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    assert not make_private(home)
    assert home.stat().st_mode & 0o777 == 0o700
    home.chmod(0o755)
    assert make_private(home), "it was open to others"
    assert home.stat().st_mode & 0o777 == 0o700
    with pytest.raises(Misconfigured, match="HRSYNC_HOME"):
        make_private(Path("/proc/nowhere/home"))


def test_a_large_log_is_put_aside_while_its_writer_goes_on(
    family: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOG_BYTES", 20_000)
    writer = (
        "import itertools, time\nfor n in itertools.count():\n    print(f'{n:08}', "
        "flush=True)\n    time.sleep(0.0002)"
    )
    family.start("writer", [sys.executable, "-c", writer], dict(os.environ))
    logs = [family.logs / f"writer.log{end}" for end in ("", ".1", ".2", ".3", ".4")]
    until(lambda: list(family.tend({})) or logs[3].exists())
    for _ in range(20):
        list(family.tend({}))
        time.sleep(0.02)
    assert [log.exists() for log in logs] == [True, True, True, True, False]
    assert max(log.stat().st_size for log in logs[:4]) < 60_000
    numbers = [int(line) for line in logs[1].read_text().split() + logs[0].read_text().split()]
    assert numbers == sorted(numbers)
    assert len(numbers) > 100


def test_a_log_stays_as_it_is_while_it_cannot_be_put_aside(
    family: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOG_BYTES", 10)
    family.logs.mkdir()
    (family.logs / "full.log").write_text("more than ten bytes")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    module.rotate_if_large(family.logs / "full.log")
    assert (family.logs / "full.log").read_text() == "more than ten bytes"


LISTENS = """
import os, socket, sys, time
if sys.argv[1] == "nobody":
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen()
print(s.getsockname()[1], flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another account")
@pytest.mark.parametrize(("account", "expected"), [("nobody", True), ("me", False)])
def test_a_port_that_another_account_has_taken_is_noticed(account: str, expected: bool) -> None:
    """Whoever is quick has it between the look whether it is free and the start of what needs
    it."""
    with subprocess.Popen(
        [sys.executable, "-c", LISTENS, account], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        assert is_somebody_elses(port) == expected
        with pytest.raises(Misconfigured, match="in use"):
            check_free("Prefect", port)
        process.kill()


def test_a_look_whether_it_is_at_work_keeps_nobody_from_starting(tmp_path: Path) -> None:
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            at_work(tmp_path)

    threads = [threading.Thread(target=look) for _ in range(2)]
    (tmp_path / "up.lock").touch()
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            with locked(tmp_path):
                pass
    finally:
        stop.set()
        for thread in threads:
            thread.join()
