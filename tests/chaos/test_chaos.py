"""Killed with SIGKILL at any point and run again: HR and store are as if nothing had happened.

Every run of the suite tries some points; ``make chaos`` tries 240.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from flows import users_to_hr
from flows._run import Order, plainly, run_process
from tests.sides import Side
from tests.workers import NOW, Worker

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]
WHOLE = os.environ.get("HRSYNC_CHAOS") == "whole"
POINTS = 40 if WHOLE else 1
SEED = int(os.environ.get("HRSYNC_CHAOS_SEED", "7"))


def query(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as connection:
        return connection.execute(statement).fetchall()


LEDGER = "SELECT i.entity, l.key, l.kind, l.outcome FROM ledger l JOIN intent i ON i.id = l.intent"


def state(folder: Path) -> dict[str, Any]:
    """All that matters of HR and store, without moments and names of runs."""
    hr, store = folder / "hr.db", folder / "store.db"
    columns = {
        t: [r[1] for r in query(hr, f"PRAGMA table_info({t})") if r[1] != "written_at"]
        for t in ("employees", "awards")
    }
    loaded = {row[0] for row in query(store, "SELECT source_key FROM link")} | {
        row[0] for row in query(hr, "SELECT award_record_id FROM awards")
    }
    return {
        **{
            t: sorted(query(hr, f"SELECT {', '.join(names)} FROM {t}"), key=str)
            for t, names in columns.items()
        },
        # Of records that are out of scope it is remembered that they were seen; a first run does
        # not even ask for them.
        "record": sorted(
            row for row in query(store, "SELECT process, key, hash FROM record") if row[1] in loaded
        ),
        "link": sorted(query(store, "SELECT entity, source_key, target_key, origin FROM link")),
        "agreement": sorted(query(store, "SELECT pair, key, field, value FROM agreement")),
        "watermark": sorted(
            query(store, "SELECT process, fingerprint, moment, as_of, waiting FROM watermark"),
            key=str,
        ),
        "quarantine": sorted(
            query(store, "SELECT process, key, stage, reason, attempts, status FROM quarantine"),
            key=str,
        ),
        "ledger": sorted(query(store, LEDGER), key=str),
        "plans": sorted(
            query(
                store,
                "SELECT digest, status FROM plan WHERE status IN ('made', 'waiting', 'applied')",
            )
        ),
        "open": query(store, "SELECT id FROM intent WHERE closed IS NULL"),
        "parts": query(store, "SELECT part FROM sweep_part"),
    }


def copied(before: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(before, to)
    return to


def prepare(side: Side, scenario: str) -> tuple[str, dict[str, Any]]:
    """Brings HR and store to where a scenario begins; returns the process and its order."""
    process, _, what = scenario.partition(" ")
    if process == "awards" or what != "first":
        side.users()
    if what == "first":
        return process, {}
    side.awards()
    side.sandbox.tick(25)
    if what == "later":
        if process == "awards":
            side.users()
        return process, {}
    with side.sandbox.engine.begin() as connection:
        connection.exec_driver_sql(
            'DELETE FROM "UserAward" WHERE "ID" IN (SELECT "ID" FROM "UserAward" ORDER BY "ID" '
            "LIMIT 4)"
        )
    with side.target.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE employees SET job_title = 'typed over' WHERE rowid % 9 = 0"
        )
        connection.exec_driver_sql(
            "UPDATE awards SET award_label = 'typed over' WHERE rowid % 9 = 0"
        )
        connection.exec_driver_sql("DELETE FROM awards WHERE rowid % 23 = 0")
    if what == "sweep":
        return process, {"sweep": True}
    report, _ = run_process(
        users_to_hr.SPEC,
        side.world(now=NOW),
        Order(mode="plan", sweep=True, keep=True),
        call=plainly,
    )
    return process, {"approve": report.digest}


def expire_leases(store: Path) -> None:
    """The lease of a killed run lapses by itself; nobody waits for that here."""
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("DELETE FROM lease")


SCENARIOS = ["users later", "users approved", "awards first"]
if WHOLE:
    SCENARIOS += ["users first", "users sweep", "awards later", "awards sweep"]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_killed_anywhere_and_run_again(
    make_side: Callable[..., Side], worker: Worker, scenario: str, tmp_path: Path
) -> None:
    side = make_side(70)
    if side.dialect.date_updated is None:
        pytest.skip("one dialect is enough here")
    process, order = prepare(side, scenario)
    with side.target.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE audit (entity TEXT, key TEXT)")
        for table, key in (("employees", "employee_id"), ("awards", "award_record_id")):
            for event in ("INSERT", "UPDATE"):
                connection.exec_driver_sql(
                    f"CREATE TRIGGER {table}_{event} AFTER {event} ON {table} BEGIN INSERT INTO "
                    f"audit VALUES ('{table}', new.{key}); END"
                )
    for engine in (side.target.engine, side.store.engine):
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        engine.dispose()
    before = tmp_path / "before"
    before.mkdir()
    for name in ("hr.db", "store.db"):
        shutil.copy(side.folder / name, before / name)

    calm = copied(before, tmp_path / "calm")
    ended = worker.run(side, calm, process, order, None)
    assert (ended["code"], ended["adds_up"]) == (0, True)
    expected, names = state(calm), ended["names"]
    assert (expected["open"], expected["parts"]) == ([], [])
    inside = [i + 1 for i, name in enumerate(names) if name.startswith("hr ") and "execute" in name]
    assert len(names) > 60
    dice = random.Random(f"{SEED} {scenario}")
    anywhere = dice.sample(range(1, len(names) + 1), min(POINTS, len(names)))
    in_batches = dice.sample(inside, min(max(1, POINTS // 4), len(inside)))
    places = sorted({*anywhere, *in_batches})
    for place in places:
        folder = copied(before, tmp_path / "killed")
        assert worker.run(side, folder, process, order, place)["killed"], f"at {place}"
        receipted = {
            row[:2]
            for row in set(query(folder / "store.db", LEDGER))
            - set(query(before / "store.db", LEDGER))
        }
        sent = Counter(query(folder / "hr.db", "SELECT entity, key FROM audit"))
        applied = dict(query(folder / "store.db", "SELECT digest, status FROM plan")).get(
            order.get("approve")
        )
        expire_leases(folder / "store.db")
        where = f"killed at {place} of {len(names)} ({names[place - 1]})"
        if applied != "applied":
            ended = worker.run(side, folder, process, order, None)
            assert ended["code"] == 0, where
        again = Counter(query(folder / "hr.db", "SELECT entity, key FROM audit")) - sent
        assert not receipted & set(again), f"{where}: sent again though its receipt was written"
        found = state(folder)
        for part, content in expected.items():
            assert found[part] == content, f"{where}: {part} differs"
