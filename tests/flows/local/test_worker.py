"""The worker whose runs start warm: a process each, and what becomes of it. ``test_up.py`` has it
run every flow."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from prefect.exceptions import InfrastructureNotFound
from prefect.workers.base import BaseJobConfiguration

from flows.local.worker import WARM, WarmWorker


def kill(pid: int, grace: int) -> None:
    worker: Any = object.__new__(WarmWorker)
    asyncio.run(WarmWorker.kill_infrastructure(worker, str(pid), BaseJobConfiguration(), grace))


@pytest.mark.parametrize(("code", "signal"), [("import time; time.sleep(60)", 15), ("STUBBORN", 9)])
def test_a_cancelled_run_is_asked_to_end_and_then_killed(code: str, signal: int) -> None:
    code = code.replace(
        "STUBBORN",
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); "
        "time.sleep(60)",
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    if signal == 9:
        assert process.stdout
        process.stdout.readline()
    threading.Thread(target=process.wait, daemon=True).start()
    kill(process.pid, 1)
    assert process.wait(5) == -signal
    with pytest.raises(InfrastructureNotFound):
        kill(process.pid, 1)


def told(file: str) -> None:
    Path(file).write_text(
        f"{os.getpid()} {os.getppid()} {all(name in sys.modules for name in WARM)}"
    )


def test_a_run_has_a_process_of_its_own_that_has_imported_everything(tmp_path: Path) -> None:
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(WARM)
    lines = []
    for number in range(2):
        process = forks.Process(target=told, args=(str(tmp_path / str(number)),))
        began = time.perf_counter()
        process.start()
        process.join(60)
        print(f"{time.perf_counter() - began:.2f} s")
        lines.append((tmp_path / str(number)).read_text().split())
    assert lines[0][0] != lines[1][0]
    assert lines[0][1] == lines[1][1] != str(os.getpid()), (
        "both from the same one, which is not this one"
    )
    assert [line[2] for line in lines] == ["True", "True"]
