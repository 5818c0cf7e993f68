"""``make bench``: runs the contenders, prints a table and writes ``docs/benchmarks.md``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import yaml

from .pages import prepare

ROOT = Path(__file__).resolve().parent.parent
PORT = 8797
URL = f"http://127.0.0.1:{PORT}"


def environment() -> dict[str, str]:
    """The environment that prefect.yaml gives to every flow run."""
    deployment = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"][0]
    return {**os.environ, **deployment["work_pool"]["job_variables"]["env"]}


def contender(
    name: str, url: str, folder: Path, *rest: str, env: dict[str, str] | None = None
) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "benchmarks.contenders",
        name,
        url,
        str(folder),
        *rest,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True, env=env)
    return dict(json.loads(done.stdout.splitlines()[-1])) if done.stdout.strip() else {}


def seconds(found: dict[str, Any]) -> float:
    return float(sum(found["phases"].values()))


def whole_organisation(people: int, folder: Path) -> dict[str, Any]:
    """Both flows against a sandbox of ``people`` people, which is slower than they are."""
    port = PORT + 1
    command = [
        sys.executable,
        "-m",
        "sandbox",
        "--port",
        str(port),
        "--people",
        str(people),
        "--database",
        str(folder / "sandbox.db"),
    ]
    began = time.perf_counter()
    server = subprocess.Popen([*command, "--hourly-limit", "1000000"], cwd=ROOT)
    try:
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{port}/sandbox/health")
                break
            except httpx.HTTPError:
                time.sleep(0.2)
        made = time.perf_counter() - began
        env = environment()
        users = contender(
            "users", f"http://127.0.0.1:{port}/accessplansandbox", folder / "whole", env=env
        )
        awards = contender(
            "hrsync", f"http://127.0.0.1:{port}/accessplansandbox", folder / "whole", env=env
        )
        return {"made": made, "users": users, "awards": awards}
    finally:
        server.terminate()
        server.wait()


def with_a_long_ledger(
    entries: int, rounds: int, records: Path, folder: Path
) -> list[dict[str, dict[str, Any]]]:
    """An incremental run that finds 1,000 changes, on a store with an empty ledger and on one with
    ``entries``."""
    for name, rows in (("empty", 0), ("long", entries)):
        contender("links", "-", folder / name, str(records))
        contender("hrsync", f"{URL}/first", folder / name, env=environment())
        contender("ledger", "-", folder / name, str(rows))
    return [
        {
            name: contender("hrsync", f"{URL}/window-{number}", folder / name, env=environment())
            for name in ("empty", "long")
        }
        for number in range(rounds)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--people", type=int, default=100_000, help="0: leave the whole organisation out"
    )
    parser.add_argument(
        "--ledger", type=int, default=5_000_000, help="entries of the long ledger; 0: leave it out"
    )
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        records = folder / "records.jsonl"
        prepare(chosen.rows // 4, chosen.rows, records)
        server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.pages", str(records), str(PORT)], cwd=ROOT
        )
        time.sleep(4)
        rounds: list[dict[str, dict[str, Any]]] = []
        try:
            for number in range(chosen.rounds):
                place = folder / str(number)
                contender("links", "-", place / "hrsync", str(records))
                rounds.append(
                    {
                        "floor": contender("floor", f"{URL}/first", place / "floor"),
                        "first": contender(
                            "hrsync", f"{URL}/first", place / "hrsync", env=environment()
                        ),
                        "again": contender(
                            "hrsync-full", f"{URL}/second", place / "hrsync", env=environment()
                        ),
                        "dlt": contender("dlt", f"{URL}/first", place / "dlt"),
                    }
                )
            long = (
                with_a_long_ledger(chosen.ledger, chosen.rounds, records, folder)
                if chosen.ledger
                else []
            )
        finally:
            server.terminate()
            server.wait()
        whole = whole_organisation(chosen.people, folder) if chosen.people else None
    text = report(chosen.rows, rounds, whole) + (ledger_report(chosen.ledger, long) if long else "")
    print(text)
    if chosen.write:
        (ROOT / "docs" / "benchmarks.md").write_text(text)


def report(rows: int, rounds: list[dict[str, dict[str, Any]]], whole: dict[str, Any] | None) -> str:
    def median(name: str) -> float:
        return statistics.median(seconds(r[name]) for r in rounds)

    def memory(name: str) -> float:
        return statistics.median(float(r[name]["peak_mb"]) for r in rounds)

    def ratio(name: str, other: str) -> str:
        found = sorted(seconds(r[name]) / seconds(r[other]) for r in rounds)
        return f"{statistics.median(found):.2f} ({found[0]:.2f} to {found[-1]:.2f})"

    names = {
        "floor": "floor: fetch, decode, raw driver insert",
        "first": "hrsync, first load",
        "again": "hrsync, full re-pull, 1 % changed",
        "dlt": "dlt, first load (merge)",
    }
    lines = [
        f"| {text} | {median(n):.2f} | {rows / median(n):,.0f} | {memory(n):.0f} |"
        for n, text in names.items()
    ]
    steps = rounds[0]["first"]["steps"]
    medians = {step: statistics.median(r["first"]["steps"][step] for r in rounds) for step in steps}
    imports = statistics.median(r["first"]["imports"] for r in rounds)
    phases = {
        p: statistics.median(r["floor"]["phases"][p] for r in rounds)
        for p in rounds[0]["floor"]["phases"]
    }
    text = f"""# Benchmarks

`make bench ARGS=--write` measures and writes this page. Measured on {date.today().isoformat()}, {os.cpu_count()} cores,
Python {platform.python_version()}, {len(rounds)} rounds in which the contenders take turns; medians. Every contender is a
process of its own and reads the same prepared pages of 1,000 records over HTTP on loopback. The machine is shared:
the seconds of one contender vary by a quarter from round to round, so read the ratios.

## {rows:,} user awards into SQLite

| | seconds | rows/s | peak MB above the imported libraries |
|---|---:|---:|---:|
{chr(10).join(lines)}

| ratio | median (lowest to highest of the rounds) | aim |
|---|---|---|
| first load / floor | {ratio("first", "floor")} | at most 2 |
| re-pull / first load | {ratio("again", "first")} | at most 0.35 |
| dlt / first load | {ratio("dlt", "first")} | at least 5 |
| dlt / re-pull | {ratio("dlt", "again")} | |

The floor does nothing but fetch ({phases["fetch"]:.2f} s), decode and insert ({phases["decode and insert"]:.2f} s) into the
same table: no validation, no people, no award states, no comparison, no ledger. hrsync's first load spends
{", ".join(f"{seconds_:.2f} s on {step}" for step, seconds_ in medians.items())}. dlt loads the records as they are.

Prefect's own share comes on top and is the same for any number of rows: importing it and the flows takes
{imports:.1f} s in a new process, and a flow run with its four tasks about a second.
"""
    if whole:
        users, awards = whole["users"], whole["awards"]
        text += f"""
## A whole organisation

A sandbox of 100,000 people is made and served in {whole["made"]:.0f} s. Both flows against it, first load; the sandbox, which
filters, counts and pages with SQLite in Python, is most of the time.

| | rows read | seconds | of these fetching | rows/s | rows/s without fetching | peak MB |
|---|---:|---:|---:|---:|---:|---:|
{_whole("users_to_hr", users)}
{_whole("awards_to_hr", awards)}
"""
    return text


def ledger_report(entries: int, rounds: list[dict[str, dict[str, Any]]]) -> str:
    ratios = sorted(seconds(r["long"]) / seconds(r["empty"]) for r in rounds)
    empty, long = (
        statistics.median(seconds(r[name]) for r in rounds) for name in ("empty", "long")
    )
    changed = rounds[0]["long"]["outcomes"]
    return f"""
## An incremental run on a long ledger

The run reads a window of {rounds[0]["long"]["rows"]:,} records, all of them changed ({changed}), against 100,000 awards in HR. With an
empty ledger it takes {empty:.2f} s, with {entries:,} entries {long:.2f} s: a ratio of {statistics.median(ratios):.2f} ({ratios[0]:.2f} to
{ratios[-1]:.2f} in {len(rounds)} rounds; at most 1.2 is the aim).
"""


def _whole(name: str, found: dict[str, Any]) -> str:
    rows, total, fetching = found["rows"], seconds(found), found["steps"]["extract"]
    cells = [
        f"{rows:,}",
        f"{total:.1f}",
        f"{fetching:.1f}",
        f"{rows / total:,.0f}",
        f"{rows / (total - fetching):,.0f}",
        f"{found['peak_mb']:.0f}",
    ]
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
