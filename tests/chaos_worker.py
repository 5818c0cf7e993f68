"""Runs processes that may be killed: reads orders from its input, one JSON object a line, and forks
for each.

The fork spares each trial the seconds of importing. A child counts the points it passes: every call
to a side or the store, every SQL statement and every transaction of HR and store, every answer of
accessplanit. At the point that its order names it sends itself SIGKILL: nothing of it is run after
that, no ``finally``, no ``atexit``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from connectors.accessplanit.client import AccessplanitSource
from connectors.accessplanit.dialect import Dialect
from connectors.checkpoints import Folder
from connectors.hr.sql import SqlHr
from connectors.settings import AccessplanitSettings
from connectors.store.sql import SyncStore
from flows import awards_to_hr, users_to_hr
from flows._history import answer
from flows._run import Order, World, plainly, run_process
from reconciliation import sweep
from reconciliation.capabilities import narrowed
from reconciliation.history.inquiry import Inquiry
from tasks.history import compare_partition

from .worlds import Mortal

SPECS = {"users": users_to_hr.SPEC, "awards": awards_to_hr.SPEC}
BATCH = 25


class Points:
    """Counts points, and ends the process at one of them."""

    def __init__(self, last: int | None) -> None:
        self.last, self.steps = last, 0
        self.names: list[str] = []

    def step(self, name: str, *_: Any, **__: Any) -> None:
        # How often a lease is renewed depends on the clock: a point must be the same in every run.
        if threading.current_thread().name.startswith("lease"):
            return
        self.steps += 1
        self.names.append(name)
        if self.steps == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def watch(engine: sa.Engine, name: str, points: Points) -> None:
    for event in ("before_cursor_execute", "after_cursor_execute"):
        sa.event.listen(engine, event, lambda *_, event=event: points.step(f"{name} {event}"))
    for event in ("begin", "commit"):
        sa.event.listen(engine, event, lambda _, event=event: points.step(f"{name} {event}"))


def child(order: dict[str, Any]) -> None:
    folder = Path(order["folder"])
    points = Points(order["kill"])
    hr = SqlHr(f"sqlite:///{folder / 'hr.db'}", BATCH)
    store = SyncStore(f"sqlite:///{folder / 'store.db'}")
    settings = AccessplanitSettings(base_url=order["url"], api_key="sandbox-key", concurrency=2)  # type: ignore[call-arg,arg-type]
    source = AccessplanitSource(
        settings, Dialect.model_validate(order["dialect"]), store.budget(10**6, 3600.0)
    )
    watch(hr.engine, "hr", points)
    watch(store.engine, "store", points)
    source.http.event_hooks["response"].append(lambda _: points.step("answer"))
    now = datetime.fromisoformat(order["now"])
    world = World(
        Mortal(source, points),
        Mortal(hr, points),
        Mortal(store, points),
        "Europe/London",
        lambda: now,
    )  # type: ignore[arg-type]
    if "inquiry" in order:
        look_back(order, world, hr, points)
        return
    report, _ = run_process(SPECS[order["process"]], world, Order(**order["order"]), call=plainly)
    Path(order["result"]).write_text(
        json.dumps({"names": points.names, "settled": report.settled, "adds_up": report.adds_up()})
    )


def look_back(order: dict[str, Any], world: World, hr: SqlHr, points: Points) -> None:
    """A historical reconciliation; its parts are written as points are passed."""
    inquiry = Inquiry.model_validate(order["inquiry"])
    folder = Mortal(Folder(order["work"]), points)

    def compare(url: str, number: int) -> None:
        for part in range(number):
            points.step("compare")
            compare_partition.fn(url, part)

    spec = narrowed(SPECS[order["process"]], hr.capabilities)
    found = answer(spec, inquiry, world, hr, folder, compare, call=plainly).findings  # type: ignore[arg-type]
    told = {
        "names": points.names,
        "parts": found.parts,
        "resumed": found.resumed,
        "rows": found.rows.to_csv(index=False),
    }
    Path(order["result"]).write_text(json.dumps(told))


def main() -> None:
    # As for a large feed: there are points between the parts of a sweep.
    sweep.FEW_RECORDS = 0
    for line in sys.stdin:
        order = json.loads(line)
        process = os.fork()
        if process == 0:
            try:
                child(order)
                code = 0
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
                code = 1
            os._exit(code)
        _, status = os.waitpid(process, 0)
        print(
            json.dumps(
                {"killed": os.WIFSIGNALED(status), "code": os.waitstatus_to_exitcode(status)}
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
