"""``python -m flows.prefect_server``: Prefect's server as it is, but for the thread in which Python collects its garbage.

On SQLite the server now and then stands still for a minute. Collecting garbage, its event loop finalises a cursor; for that it
waits for the cursor's connection, which waits for the database's lock, which a coroutine holds that the loop does not come to run.
In a thread of its own the collector may wait: the loop goes on, and the lock is given back. (Seen with Prefect 3.8.8, aiosqlite
0.22, Python 3.11; on PostgreSQL there is no such lock.)
"""

from __future__ import annotations

import gc
import itertools
import runpy
import sys
import threading
import time

PAUSE = 2.0
"""Seconds between two collections of what is young; everything is looked at each thirtieth time."""


def _collect() -> None:
    for number in itertools.count(1):
        time.sleep(PAUSE)
        gc.collect(2 if number % 30 == 0 else 1)


if __name__ == "__main__":
    gc.disable()
    threading.Thread(target=_collect, daemon=True, name="garbage").start()
    sys.argv = ["prefect", "server", "start", *sys.argv[1:]]
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)
