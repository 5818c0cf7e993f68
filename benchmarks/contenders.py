"""The same work done by different means, each in a process of its own: ``python -m
benchmarks.contenders NAME …``.

Prints one JSON object: seconds of the imports, seconds of each phase, and memory in MB above the
imported libraries.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BEGAN = time.perf_counter()
PAGE = 1000
COLUMNS = (
    "ID UserID UserFullname AwardID AwardLabel Status TargetDate Passed Expires Renewed "
    "DateCreated DateUpdated"
).split()
INSERT = (
    "INSERT INTO awards (award_record_id, accessplanit_user_id, employee_name, award_id, "
    "award_label, status, target_date,"
    " completed_on, expires_on, renewed, source_created_at, source_updated_at, employee_id)"
    f" VALUES ({', '.join('?' * 13)})"
)


def resident() -> float:
    """MB now resident."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


class Clock:
    """Seconds and memory of the work, the imports apart."""

    def __init__(self) -> None:
        self.imports = time.perf_counter() - BEGAN
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        self.base = resident()
        self.result: dict[str, Any] = {"imports": self.imports, "phases": {}}

    def phase(self, name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        found = work()
        self.result["phases"][name] = time.perf_counter() - began
        return found

    def end(self) -> None:
        status = Path("/proc/self/status").read_text()
        peak = (
            int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
            / 1e3
        )
        self.result["peak_mb"] = peak - self.base
        self.result["max_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
        print(json.dumps(self.result))


def floor(url: str, folder: Path) -> None:
    """Fetch one page after the other, decode, insert through the driver: no validation, no
    comparison, no memory of it."""
    import httpx
    import msgspec

    from connectors.hr.sql import SqlHr

    SqlHr(f"sqlite:///{folder / 'hr.db'}").close()
    clock = Clock()
    decode = msgspec.json.Decoder().decode
    bodies: list[bytes] = []
    count = [0]

    def fetch() -> None:
        with httpx.Client(headers={"Accept": "application/json"}) as client:
            skip = 0
            while True:
                body = client.get(
                    f"{url}/api/v2/UserAward", params={"$top": PAGE, "$skip": skip}
                ).content
                bodies.append(body)
                skip += PAGE
                if len(body) < 100:
                    return

    def decode_and_insert() -> None:
        with sqlite3.connect(folder / "hr.db") as connection:
            connection.execute("PRAGMA synchronous=NORMAL")
            for body in bodies:
                rows = decode(body)["results"]
                connection.executemany(
                    INSERT, [(*(row[name] for name in COLUMNS), row["UserID"]) for row in rows]
                )
                count[0] += len(rows)

    clock.phase("fetch", fetch)
    clock.phase("decode and insert", decode_and_insert)
    clock.result["rows"] = count[0]
    clock.end()


def hrsync(url: str, folder: Path, process: str, full: bool) -> None:
    """A process as its flow runs it, without Prefect around it."""
    from connectors.accessplanit.client import AccessplanitSource
    from connectors.accessplanit.dialect import Dialect
    from connectors.hr.sql import SqlHr
    from connectors.settings import AccessplanitSettings
    from connectors.store.sql import SyncStore
    from flows import awards_to_hr, users_to_hr
    from flows._run import Order, World, plainly, run_process

    store, target = (
        SyncStore(f"sqlite:///{folder / 'store.db'}"),
        SqlHr(f"sqlite:///{folder / 'hr.db'}"),
    )
    settings = AccessplanitSettings(base_url=url, api_key="sandbox-key", requests_per_hour=10**6)  # type: ignore[call-arg,arg-type]
    source = AccessplanitSource(settings, Dialect(), store.budget(10**6, 3600.0))
    world = World(source, target, store, "Europe/London")
    spec = users_to_hr.SPEC if process == "users" else awards_to_hr.SPEC
    clock = Clock()
    report, _ = clock.phase("run", lambda: run_process(spec, world, Order(full=full), call=plainly))
    clock.result |= {
        "rows": report.read,
        "outcomes": {k: v for k, v in report.outcomes.items() if v},
        "steps": report.seconds,
    }
    if not report.adds_up():
        raise AssertionError(report)
    clock.end()


def links(folder: Path, records: Path) -> None:
    """Every user of the records is an employee already: what awards_to_hr finds after
    users_to_hr."""
    from connectors.hr.sql import SqlHr
    from connectors.store.sql import SyncStore

    SyncStore(f"sqlite:///{folder / 'store.db'}").close()
    SqlHr(f"sqlite:///{folder / 'hr.db'}").close()
    users = sorted({json.loads(line)["UserID"] for line in records.read_bytes().splitlines()})
    with sqlite3.connect(folder / "store.db") as connection:
        connection.executemany(
            "INSERT INTO link VALUES ('employees', ?, ?, '2026-01-01 00:00:00', 'matched')",
            [(u, f"E-{u}") for u in users],
        )


def ledger(folder: Path, rows: int) -> None:
    """A store that has kept the ledger of years: ``rows`` entries of random keys beside what it
    holds."""
    entry = (
        "1, 0, 'UA' || abs(random()), 'user' || abs(random() % 100000), 'update', "
        "'award_label', 'changed in accessplanit', 'updated'"
    )
    with sqlite3.connect(folder / "store.db") as connection:
        connection.execute("DELETE FROM ledger")
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
            " INSERT INTO ledger (intent, place, key, person, kind, fields, reason, outcome) "
            f"SELECT {entry} FROM n WHERE ? > 0",
            (rows, rows),
        )


def dlt(url: str, folder: Path) -> None:
    """The same feed merged into SQLite by dlt's REST source."""
    os.environ |= {
        "DLT_DATA_DIR": str(folder / "dlt"),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
        "RUNTIME__LOG_LEVEL": "CRITICAL",
    }
    import dlt as library
    from dlt.sources.rest_api import rest_api_source

    config: Any = {
        "client": {
            "base_url": f"{url}/api/v2/",
            "paginator": {
                "type": "offset",
                "limit": PAGE,
                "limit_param": "$top",
                "offset_param": "$skip",
                "total_path": "count",
            },
        },
        "resources": [
            {
                "name": "awards",
                "primary_key": "ID",
                "write_disposition": "merge",
                "endpoint": {"path": "UserAward", "data_selector": "results"},
            }
        ],
    }
    destination = library.destinations.sqlalchemy(f"sqlite:///{folder / 'dlt.db'}")
    pipeline = library.pipeline(
        "bench",
        destination=destination,
        dataset_name="main",
        pipelines_dir=str(folder / "pipelines"),
    )
    clock = Clock()
    clock.phase("run", lambda: pipeline.run(rest_api_source(config)))
    with sqlite3.connect(folder / "dlt.db") as connection:
        tables = [
            t
            for (t,) in connection.execute(
                "SELECT name FROM sqlite_master WHERE name LIKE '%awards%'"
            )
        ]
    clock.result["tables"] = tables
    clock.end()


def main() -> None:
    name, url, folder, *rest = sys.argv[1:]
    if name == "floor":
        floor(url, Path(folder))
    elif name == "links":
        links(Path(folder), Path(rest[0]))
    elif name == "ledger":
        ledger(Path(folder), int(rest[0]))
    elif name == "dlt":
        dlt(url, Path(folder))
    else:
        hrsync(
            url, Path(folder), "users" if name == "users" else "awards", full=name == "hrsync-full"
        )


if __name__ == "__main__":
    main()
