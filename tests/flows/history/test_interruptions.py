"""Killed, read in part, or while runs are at work: nothing is taken for absent."""

from __future__ import annotations

import json
import random
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from connectors.accessplanit.client import AccessplanitSource
from connectors.checkpoints import Folder
from flows._history import answer
from flows._run import plainly
from reconciliation.errors import SourceFailed
from reconciliation.history.inquiry import Inquiry, asks
from reconciliation.snapshot import Snapshot
from sandbox.faults import Faults
from tests.sides import Side
from tests.to_hr import both, hr_sql
from tests.workers import Worker

from .plants import PLAIN, TODAY, WHOLE, Plants, ask, in_process, spec_of, verdicts


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_killed_at_random_points_it_is_taken_up_and_reads_nothing_twice(
    make_side: Callable[..., Side], worker: Worker, dialect_name: str
) -> None:
    side = make_side(hourly_limit=10**6)
    both(side)
    inquiry = {"process": "awards_to_hr", "as_of": str(TODAY), "first": f"{TODAY.year - 2}-01-01"}

    def run(work: str, kill: int | None) -> dict[str, Any]:
        return worker.run(
            side, side.folder, "awards", {}, kill, inquiry=inquiry, work=str(side.folder / work)
        )

    side.sandbox.requests.clear()
    calm = run("calm", None)
    undisturbed = sum(side.sandbox.requests.values())
    points = len(calm["names"])
    dice = random.Random(5)
    for number in range(10 if WHOLE else 1):
        side.sandbox.requests.clear()
        work = f"killed{number}"
        at = dice.randrange(3, points)
        assert run(work, at)["killed"]
        parts = len(list((side.folder / work).glob("part-*.json")))
        ended = run(work, None)
        assert ended["rows"] == calm["rows"], at
        assert ended["resumed"] == parts
        # The part that was being read is read again; a finished one is not.
        of_one_part = max(
            json.loads(f.read_text())["requests"]
            for f in (side.folder / "calm").glob("part-*.json")
        )
        assert undisturbed <= sum(side.sandbox.requests.values()) <= undisturbed + of_one_part, at


@pytest.mark.loaded
def test_a_part_that_cannot_be_read_is_no_absence(side: Side) -> None:
    side.sandbox.faults = Faults(rate=1.0, kinds=("503",))
    spec = spec_of(side, "awards_to_hr")
    folder = Folder(str(side.folder / "work"))
    inquiry = Inquiry(process=spec.name, as_of=TODAY)
    with pytest.raises(SourceFailed):
        answer(
            spec,
            inquiry,
            side.world(spec, attempts=1),
            side.target,
            folder,
            in_process,
            call=plainly,
        )
    side.sandbox.faults = Faults()
    found = answer(spec, inquiry, side.world(spec), side.target, folder, in_process, call=plainly)
    assert verdicts(found) == {}


@PLAIN
@pytest.mark.usefixtures("many_parts")
@pytest.mark.loaded
def test_what_a_run_writes_while_it_is_read_is_on_its_way(side: Side) -> None:
    """accessplanit was read before, HR after it: neither is wrong."""
    spec = spec_of(side, "awards_to_hr")
    plants = Plants(side, seed=4)
    world = side.world(spec)
    parts = len(asks(spec, Inquiry(process=spec.name, as_of=TODAY), TODAY, world.zone, {}, 0))

    def meanwhile(done: int, _all: int) -> None:
        if done == parts:
            plants.changed()
            plants.new()
            side.awards()

    folder = Folder(str(side.folder / "work"))
    inquiry = Inquiry(process=spec.name, as_of=TODAY)
    found = answer(
        spec, inquiry, world, side.target, folder, in_process, call=plainly, progress=meanwhile
    )
    assert {cause for _, cause in verdicts(found).values()} == {"late by watermark"}
    assert found.findings.needs()["repair"] == 0


@PLAIN
@pytest.mark.loaded
def test_a_part_that_was_read_in_part_is_not_kept(
    side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A feed that moves while it is read, or counts more than it gives: what is missing is not
    gone."""
    read = AccessplanitSource.read

    def short(self: AccessplanitSource, *args: Any) -> Snapshot:
        return replace(read(self, *args), complete=False)

    with monkeypatch.context() as patch:
        patch.setattr(AccessplanitSource, "read", short)
        with pytest.raises(SourceFailed, match="could not be read in full"):
            ask(side)
    assert not list((side.folder / "work").rglob("part-*"))
    assert verdicts(ask(side)) == {}


@pytest.mark.loaded
def test_it_moves_no_watermark_and_writes_nothing_but_what_it_has_seen(side: Side) -> None:
    with sqlite3.connect(side.folder / "store.db") as store:
        tables = [
            r[0]
            for r in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            if r[0] not in ("budget", "segment")
        ]
        before = {name: store.execute(f"SELECT * FROM {name}").fetchall() for name in tables}
    hr = side.dump()
    hr_sql(
        side,
        "UPDATE awards SET award_label = 'x' WHERE award_record_id = (SELECT "
        "max(award_record_id) FROM awards)",
    )
    ask(side)
    with sqlite3.connect(side.folder / "store.db") as store:
        assert {
            name: store.execute(f"SELECT * FROM {name}").fetchall() for name in tables
        } == before
        assert store.execute("SELECT sum(rows) FROM segment").fetchone() == (1,)
    assert side.dump()["employees"] == hr["employees"]
