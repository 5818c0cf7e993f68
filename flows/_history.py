"""A historical reconciliation from question to findings; it reads, compares and explains, and writes to neither side.

The source is read in parts, each kept in a folder as soon as it is read: a run that was killed is taken up where it was.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa

from connectors.checkpoints import Folder
from reconciliation.ask import Ask
from reconciliation.findings import Findings, differences, gathered
from reconciliation.frame import arrow, frame
from reconciliation.inquiry import Inquiry, asks
from reconciliation.ports import HrSystem
from reconciliation.snapshot import Snapshot
from reconciliation.spec import ProcessSpec
from reconciliation.versions import DATED, known, shown, true_on
from reconciliation.view import Background, View, view
from tasks.history import (
    Remembered,
    as_known,
    chosen_people,
    classes,
    doubted,
    explained,
    gone_among,
    kept,
    last_written,
    partition,
    read_part,
    read_target,
    rows_from,
    whole,
)
from tasks.reconcile import Sides, sight

from ._run import Caller, World, in_prefect

FRESH = timedelta(hours=24)
"""An interrupted reconciliation that began longer ago is begun anew."""
Compare = Callable[[str, int], None]
"""Compares the partitions of a folder, by its address and their number."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Answer:
    """findings, and the view that they came from."""

    findings: Findings
    view: View


def answer(
    spec: ProcessSpec,
    inquiry: Inquiry,
    world: World,
    hr: HrSystem,
    folder: Folder,
    compare: Compare,
    *,
    rows: int = 250_000,
    call: Caller = in_prefect,
    progress: Progress = lambda _done, _all: None,
) -> Answer:
    """What a question finds. folder: where parts are kept until it is answered. rows: of one partition.

    Raises:
        HrsyncError: it cannot be answered (now); what was read is kept for a day.
    """
    now = world.clock()
    zone = ZoneInfo(world.zone)
    began = _begun(folder, now)
    today = began.astimezone(zone).date()
    parts = asks(spec, inquiry, today, world.zone, world.source.kinds(spec.feed))
    steps, done, resumed = len(parts) + 4, 0, 0

    def step() -> None:
        nonlocal done
        done += 1
        progress(done, steps)

    reads: list[Snapshot] = []
    for number, ask in enumerate(parts):
        name = f"part-{number:03}"
        resumed += folder.noted(name) is not None
        reads.append(_once(folder, name, lambda ask=ask, name=name: call(read_part, world.source, spec, ask, folder, name)))  # type: ignore[misc]
        step()
    updated = world.source.updated_column(spec.feed, spec.updated) if spec.updated else None
    read = whole(spec, reads, updated)
    current = _once(folder, "target", lambda: call(read_target, world.target, spec, folder, "target"))
    step()
    versions = world.store.versions(spec)
    if inquiry.known_at:
        current = as_known(spec, shown(versions, inquiry.known_at), dict(spec.columns()))
    people, origin = world.store.links("employees"), world.store.origin(spec)
    chosen = chosen_people(spec, inquiry, hr, people)
    read, gone = _verified(spec, inquiry, world, folder, read, updated, (current.frame, origin, chosen), call)
    step()
    remembered = Remembered(world.target, spec.entity, spec.entity_key, current)
    seen = sight(spec, read, Sides(remembered, world.store, inquiry.as_of, inquiry.end(world.zone)))  # type: ignore[arg-type]
    of_knowledge = (inquiry.known_at or began).astimezone(zone).date()
    links = people if spec.direction == "to_hr" else people.rename(columns={"source_key": "target_key", "target_key": "source_key"})
    then = None
    if inquiry.as_of < of_knowledge and spec.entity not in DATED:
        then = true_on(versions, inquiry.end(world.zone), None)
    back = Background(of_knowledge, origin, world.store.open_entries(spec.name), links, chosen, then)
    looked = view(spec, inquiry, seen, back, world.zone)
    number = partition(folder, spec, looked, rows)
    compare(folder.url, number)
    step()
    classified = classes(folder, number)
    written = last_written(known(versions, inquiry.known_at))
    present = None
    if inquiry.known_at:
        present = as_known(spec, shown(versions, None), dict(spec.columns())).frame
    mark = world.store.watermark(spec.name, spec.fingerprint()).moment
    causes = explained(spec, looked, classified, written, present, rows_from(gone, origin, spec), mark)
    found = gathered(spec, looked, classified, causes)
    notes = [folder.noted(name) or {} for name in folder_parts(len(parts))]
    requests = sum(int(note.get("requests", 0)) for note in notes)
    if inquiry.whole and inquiry.as_of == today:
        world.store.observe(spec, _as_seen(spec, current.frame), uuid.uuid4().hex, began)
    step()
    findings = Findings(
        spec,
        inquiry,
        found,
        differences(spec, looked, causes, written),
        world.source.name,
        world.target.name,
        began,
        world.clock(),
        mark,
        len(parts),
        resumed,
        requests,
    )
    return Answer(findings, looked)


def folder_parts(number: int) -> list[str]:
    """The names of the parts of which requests are counted."""
    return [*(f"part-{n:03}" for n in range(number)), "verified"]


def _begun(folder: Folder, now: datetime) -> datetime:
    """When this question was begun to be answered; one that was begun too long ago is begun anew."""
    note = folder.noted("began")
    if note and datetime.fromisoformat(note["at"]) > now - FRESH:
        return datetime.fromisoformat(note["at"])
    folder.remove()
    folder.note("began", {"at": now.astimezone(UTC).isoformat()})
    return now.astimezone(UTC)


def _once(folder: Folder, name: str, read: Callable[[], None]) -> Snapshot:
    found = kept(folder, name)
    if found is None:
        read()
        found = kept(folder, name)
    assert found is not None  # noqa: S101
    return found


def _verified(
    spec: ProcessSpec,
    inquiry: Inquiry,
    world: World,
    folder: Folder,
    read: Snapshot,
    updated: str | None,
    sides: tuple[pd.DataFrame, pd.DataFrame, pa.Array | None],
    call: Caller,
) -> tuple[Snapshot, pa.Array]:
    """``read`` with the records that were not in the parts and answered when they were asked for by key; and those that did not."""
    rows, origin, chosen = sides
    suspects = doubted(spec, inquiry, read, rows, origin, chosen)
    if not suspects:
        return read, pa.array([], pa.string())
    ask = Ask(keys=suspects, skip_known=False)
    again = _once(folder, "verified", lambda: call(read_part, world.source, spec, ask, folder, "verified"))
    keyed = again.rejected["key"].notna().to_numpy(dtype=bool)
    again = Snapshot(again.frame, True, again.rejected[keyed].reset_index(drop=True), again.read - int((~keyed).sum()))
    gone = gone_among(suspects, again, read, spec.key)
    return whole(spec, [read, again], updated), gone


def _as_seen(spec: ProcessSpec, rows: pd.DataFrame) -> pd.DataFrame:
    return frame({"key": arrow(rows[spec.entity_key]), **{name: arrow(rows[name]) for name in spec.columns() if name in rows}})
