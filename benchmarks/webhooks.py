"""``python -m benchmarks.webhooks``: from a change in accessplanit to the row in HR, and a burst,
with what ``hrsync up`` starts.

It starts ``hrsync up`` with its own settings in a folder of its own, changes records through the
sandbox's API and looks into HR's database for them. The share of Prefect (from the event to the
flow's first line) is taken from Prefect's own states.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from connectors.store.sql import SyncStore
from tests.served import free_port

KINDS = ["book", "complete", "target", "assign"]
"""Kinds of change that the guard never stops, however many there are."""


class Site:
    """A running ``hrsync up``."""

    def __init__(self, home: Path, people: int) -> None:
        self.home, ports = home, (free_port(), free_port(), free_port())
        self.sandbox, self.prefect, self.receiver = (f"http://127.0.0.1:{port}" for port in ports)
        options = {
            "--sandbox-port": ports[0],
            "--prefect-port": ports[1],
            "--receiver-port": ports[2],
            "--people": people,
        }
        command = [
            sys.executable,
            "-m",
            "flows.start",
            "up",
            "--tick-seconds",
            "100000",
            *(str(p) for o in options.items() for p in o),
        ]
        env = {k: v for k, v in os.environ.items() if not k.startswith(("HRSYNC_", "PREFECT_"))} | {
            "HRSYNC_HOME": str(home)
        }
        self.process = subprocess.Popen(
            command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout
        said = ""
        for line in self.process.stdout:
            said += line
            if "Ctrl-C stops everything" in line:
                break
        else:
            raise RuntimeError(said)
        threading.Thread(target=self.process.stdout.read, daemon=True).start()
        self.api = f"{self.sandbox}/accessplansandbox/api/v2"
        key = json.loads((home / "up.json").read_text())["HRSYNC_ACCESSPLANIT__API_KEY"]
        self.client = httpx.Client(timeout=60, headers={"Authorization": f"Bearer {key}"})

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def hr(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with sqlite3.connect(
            f"file:{self.home / 'hr.db'}?mode=ro", uri=True, timeout=30
        ) as connection:
            return connection.execute(query, values).fetchall()

    def in_sandbox(self, query: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(
            f"file:{self.home / 'sandbox.db'}?mode=ro", uri=True, timeout=30
        ) as connection:
            return connection.execute(query).fetchall()

    def runs_since(self, moment: datetime) -> list[dict[str, Any]]:
        """Prefect's flow runs that a trigger has created since a moment."""
        wanted = {
            "flow_runs": {"parent_task_run_id": {"is_null_": True}},
            "sort": "EXPECTED_START_TIME_DESC",
            "limit": 200,
        }
        found = self.client.post(f"{self.prefect}/api/flow_runs/filter", json=wanted).json()
        return [
            r
            for r in found
            if r["parameters"].get("run", {}).get("hinted")
            and datetime.fromisoformat(r["created"]) >= moment
        ]

    def waiting(self) -> int:
        store = SyncStore(f"sqlite:///{self.home / 'store.db'}")
        try:
            return sum(w.fresh + w.sent for w in store.waiting_hints().values())
        finally:
            store.close()


@contextmanager
def site(people: int) -> Iterator[Site]:
    with tempfile.TemporaryDirectory() as folder:
        found = Site(Path(folder), people)
        try:
            yield found
        finally:
            found.stop()


def changes(running: Site, count: int, pause: float) -> list[float]:
    """Seconds from the API's answer to the row in HR, of ``count`` changes at random moments,
    ``pause`` seconds apart on average."""
    dice = random.Random(7)
    # Only people whose records went through: others wait for a person, whatever is sent of them.
    people = [
        r[0]
        for r in running.hr(
            "SELECT accessplanit_id FROM employees WHERE status = 'Enabled' AND "
            "accessplanit_id IS NOT NULL"
        )
    ]
    dice.shuffle(people)
    awards = [r[0] for r in running.in_sandbox('SELECT "ID" FROM "Award"')]
    bookings = running.hr("SELECT registration_id FROM registrations WHERE status = 'Booked'")
    dice.shuffle(bookings)
    open_: dict[str, tuple[float, str, tuple[object, ...]]] = {}
    lags: list[float] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.05):
            for key, (began, query, values) in list(open_.items()):
                if running.hr(query, *values):
                    lags.append(time.monotonic() - began)
                    del open_[key]

    watcher = threading.Thread(target=look)
    watcher.start()
    for number in range(count):
        kind = dice.choice(("user", "user", "award", "booking"))
        if kind == "user":
            key, value = people[number], f"Changed-{number}"
            answer = running.client.put(f"{running.api}/User/{key}", json={"Surname": value})
            seen = ("SELECT 1 FROM employees WHERE surname = ?", (value,))
        elif kind == "award":
            body = {
                "UserID": people[number],
                "AwardID": dice.choice(awards),
                "Status": "Completed",
                "Passed": "2026-11-01T00:00:00",
            }
            answer = running.client.post(f"{running.api}/UserAward", json=body)
            key = answer.json().get("ID", "")
            seen = ("SELECT 1 FROM awards WHERE award_record_id = ?", (key,))
        else:
            (key,) = bookings[number]
            answer = running.client.put(
                f"{running.api}/UserCourseDate/{key}", json={"Status": "Cancelled"}
            )
            seen = (
                "SELECT 1 FROM registrations WHERE registration_id = ? AND status = 'Cancelled'",
                (key,),
            )
        answer.raise_for_status()
        open_[f"{kind} {key}"] = (time.monotonic(), *seen)
        time.sleep(dice.expovariate(1 / pause))
    deadline = time.monotonic() + 120
    while open_ and time.monotonic() < deadline:
        time.sleep(0.1)
    ended.set()
    watcher.join()
    if open_:
        print("never seen:", sorted(open_))
    return sorted(lags)


def starts(runs: list[dict[str, Any]]) -> list[float]:
    """Seconds from the creation of a run, when the event came, to its first line of ours."""
    times = [
        (datetime.fromisoformat(r["start_time"]), datetime.fromisoformat(r["created"]))
        for r in runs
        if r["start_time"]
    ]
    return sorted((started - created).total_seconds() for started, created in times)


def burst(running: Site, records: int) -> tuple[float, int, int]:
    """(seconds in which the deliveries arrived, deliveries that were sent and not taken, hints that
    were never heard)."""
    began = time.monotonic()
    before = running.client.get(f"{running.sandbox}/sandbox/webhooks").json()["done"]
    sent = 0
    while sent < records:
        running.client.post(f"{running.sandbox}/sandbox/tick", json={"events": 500, "kinds": KINDS})
        sent = sum(
            running.client.get(f"{running.sandbox}/sandbox/webhooks").json()["instances"].values()
        ) - sum(before.values())
    while (
        running.client.get(f"{running.sandbox}/sandbox/webhooks").json()["instances"].get("Pending")
    ):
        time.sleep(0.2)
    took = time.monotonic() - began
    done = running.client.get(f"{running.sandbox}/sandbox/webhooks").json()["done"]
    deadline = time.monotonic() + 300
    while running.waiting() and time.monotonic() < deadline:
        time.sleep(1)
    print(
        f"{sent:,} deliveries, taken {done.get('sent', 0) - before.get('sent', 0):,}, failed "
        f"{done.get('failed', 0)}"
    )
    return took, done.get("failed", 0), running.waiting()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.webhooks", description=__doc__)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument(
        "--pause", type=float, default=2.0, help="seconds between two changes, on average"
    )
    parser.add_argument("--burst", type=int, default=10_000)
    parser.add_argument("--people", type=int, default=2000)
    chosen = parser.parse_args()
    with site(chosen.people) as running:
        if chosen.changes:
            began = datetime.now(UTC)
            lags = changes(running, chosen.changes, chosen.pause)
            runs = running.runs_since(began)
            share = starts(runs)
            print(
                f"{len(lags)} of {chosen.changes} changes, one in {chosen.pause} s: median "
                f"{median(lags):.1f} s,"
                f" 95 % within {lags[ceil(len(lags) * 0.95) - 1]:.1f} s, longest {lags[-1]:.1f} s; "
                f"{len(runs)} runs;"
                f" of that Prefect's start of a run: median {median(share):.1f} s, 95 % within "
                f"{share[ceil(len(share) * 0.95) - 1]:.1f} s"
            )
        if chosen.burst:
            began = datetime.now(UTC)
            took, failed, unheard = burst(running, chosen.burst)
            runs = running.runs_since(began)
            print(
                f"burst of {chosen.burst:,}: arrived in {took:.0f} s, {failed} lost, {unheard} "
                f"never heard, {len(runs)} runs"
            )


if __name__ == "__main__":
    main()
