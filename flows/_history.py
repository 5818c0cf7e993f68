"""A historical reconciliation from question to findings; it reads, compares and explains, and
writes to neither side.

The source is read in parts, each kept in a folder as soon as it is read: a run that was killed is
taken up where it was.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd
import pyarrow as pa

from connectors.checkpoints import Folder
from reconciliation.ask import Ask
from reconciliation.errors import StoreFailed
from reconciliation.findings import Findings, differences, gathered
from reconciliation.frame import arrow, frame, pick
from reconciliation.inquiry import Inquiry, asks
from reconciliation.ports import HrSystem
from reconciliation.snapshot import Snapshot, merge
from reconciliation.spec import ProcessSpec
from reconciliation.sweep import verified
from reconciliation.versions import DATED, known, shown, true_on
from reconciliation.view import Background, View, view
from tasks.history import (
    Remembered,
    as_known,
    chosen_people,
    classes,
    doubted,
    explained,
    kept,
    last_written,
    partition,
    read_part,
    read_target,
    rows_from,
)
from tasks.reconcile import Sides, sight

from ._run import Caller, World, in_prefect

FRESH = timedelta(hours=24)
"""An interrupted reconciliation that began longer ago is begun anew."""
VERIFIED = "verified"
"""The part with the records that were in no other and were asked for by key."""
Compare = Callable[[str, int], None]
"""Compares the partitions of a folder, by its address and their number."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Answer:
    """findings, the view that they came from, and the people that were asked about, as the target
    names them (``None``: all)."""

    findings: Findings
    view: View
    chosen: pa.Array | None


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
    """What a question finds. folder: where parts are kept until it is answered. rows: of one
    partition.

    Raises:
        HrsyncError: it cannot be answered (now); what was read is kept for a day.
    """
    return _Answering(spec, inquiry, world, hr, folder, call, progress).answer(compare, rows)


class _Answering:
    """One question on its way."""

    def __init__(
        self,
        spec: ProcessSpec,
        inquiry: Inquiry,
        world: World,
        hr: HrSystem,
        folder: Folder,
        call: Caller,
        progress: Progress,
    ) -> None:
        self.spec, self.inquiry, self.world, self.hr, self.folder, self.call = (
            spec,
            inquiry,
            world,
            hr,
            folder,
            call,
        )
        self.source, self.store = world.source, world.store
        self.began = _begun(folder, world.clock())
        zone = ZoneInfo(world.zone)
        self.today = self.began.astimezone(zone).date()
        self.known_on = (inquiry.known_at or self.began).astimezone(zone).date()
        self.updated = self.source.updated_column(spec.feed, spec.updated) if spec.updated else None
        self.parts = {
            f"part-{number:03}": ask
            for number, ask in enumerate(
                asks(spec, inquiry, self.today, world.zone, self.source.kinds(spec.feed))
            )
        }
        self.resumed, self._done, self._progress = 0, 0, progress

    def answer(self, compare: Compare, rows: int) -> Answer:
        """All of it, one step after the other."""
        spec, inquiry, store = self.spec, self.inquiry, self.store
        read = self._read()
        there = self._kept(
            "target", lambda: self.call(read_target, self.world.target, spec, self.folder, "target")
        )
        versions, origin = store.versions(spec), store.origin(spec)
        current = as_known(spec, shown(versions, inquiry.known_at)) if inquiry.known_at else there
        people = store.links("employees")
        chosen = chosen_people(spec, inquiry, self.hr, people)
        read, gone = self._verified(read, current.frame, origin, chosen)
        looked = self._viewed(
            read,
            current,
            Background(self.known_on, origin, store.open_entries(spec.name), people, chosen),
            versions,
        )
        number = partition(self.folder, spec, looked, rows)
        compare(self.folder.url, number)
        self._step()
        classified = classes(self.folder, number)
        written = last_written(known(versions, inquiry.known_at))
        # Of another time, what has been put right since is told apart.
        present = as_known(spec, shown(versions, None)).frame if inquiry.known_at else None
        mark = store.watermark(spec.name, spec.fingerprint()).moment
        causes = explained(
            spec,
            looked,
            classified,
            written,
            present,
            rows_from(gone, origin, spec),
            mark,
            self.began,
        )
        # Whatever was asked, all rows of the target were seen.
        store.observe(spec, _as_seen(spec, there.frame), uuid.uuid4().hex, self.began)
        notes = [self.folder.noted(name) or {} for name in (*self.parts, VERIFIED)]
        findings = Findings(
            spec=spec,
            inquiry=inquiry,
            rows=gathered(spec, looked, classified, causes),
            differences=differences(spec, looked, causes, written),
            source=self.source.name,
            target=self.world.target.name,
            began=self.began,
            ended=self.world.clock(),
            mark=mark,
            parts=len(self.parts),
            resumed=self.resumed,
            requests=sum(int(note.get("requests", 0)) for note in notes),
        )
        self._step()
        return Answer(findings, looked, chosen)

    def _read(self) -> Snapshot:
        """The source, part by part; a record that has moved from one part to another between two
        reads is there once."""
        reads = []
        for name, ask in self.parts.items():
            self.resumed += self.folder.noted(name) is not None
            reads.append(self._part(name, ask))
        return merge(reads, self.spec.key, self.updated)

    def _part(self, name: str, ask: Ask) -> Snapshot:
        return self._kept(
            name, lambda: self.call(read_part, self.source, self.spec, ask, self.folder, name)
        )

    def _kept(self, name: str, read: Callable[[], None]) -> Snapshot:
        """A part as it was kept; it is read if it was not."""
        found = kept(self.folder, name)
        if found is None:
            read()
            found = kept(self.folder, name)
        if found is None:
            raise StoreFailed(
                f"The part {name} is not in the folder of reconciliations",
                "Another process has removed it; run again.",
            )
        self._step()
        return found

    def _verified(
        self, read: Snapshot, rows: pd.DataFrame, origin: pd.DataFrame, chosen: pa.Array | None
    ) -> tuple[Snapshot, pa.Array]:
        """``read`` with the records that were in no part and answered when they were asked for by
        key; and those that did not."""
        suspects = doubted(self.spec, self.inquiry, read, rows, origin, chosen)
        if not suspects:
            self._step()
            return read, pa.array([], pa.string())
        answered = self._part(VERIFIED, Ask(keys=suspects, skip_known=False))
        keyed = answered.rejected["key"].notna().to_numpy(dtype=bool)
        # What has no key came with the parts already, and cannot be told from it.
        answered = replace(
            answered,
            rejected=pick(answered.rejected, keyed),
            read=answered.read - int((~keyed).sum()),
        )
        gone = verified(pa.array(suspects, pa.string()), answered, read, self.spec.key)
        return merge([read, answered], self.spec.key, self.updated), gone

    def _viewed(
        self, read: Snapshot, current: Snapshot, back: Background, versions: pd.DataFrame
    ) -> View:
        """Both sides as of the day."""
        spec, inquiry, end = self.spec, self.inquiry, self.inquiry.end(self.world.zone)
        remembered = Remembered(self.world.target, spec.entity, spec.entity_key, current)
        now = end if inquiry.as_of < self.today else self.began
        seen = sight(spec, read, Sides(remembered, self.store, inquiry.as_of, now))  # type: ignore[arg-type]
        if spec.direction == "from_hr":
            back = replace(
                back,
                people=back.people.rename(
                    columns={"source_key": "target_key", "target_key": "source_key"}
                ),
            )
        if inquiry.as_of < self.known_on and spec.entity not in DATED:
            back = replace(back, then=true_on(versions, end, None))
        return view(spec, inquiry, seen, back, self.world.zone)

    def _step(self) -> None:
        self._done += 1
        self._progress(self._done, len(self.parts) + 4)


def _begun(folder: Folder, now: datetime) -> datetime:
    """When this question was begun to be answered; one that was begun too long ago is begun
    anew."""
    note = folder.noted("began")
    if note and datetime.fromisoformat(note["at"]) > now - FRESH:
        return datetime.fromisoformat(note["at"])
    folder.remove()
    folder.note("began", {"at": now.astimezone(UTC).isoformat()})
    return now.astimezone(UTC)


def _as_seen(spec: ProcessSpec, rows: pd.DataFrame) -> pd.DataFrame:
    return frame(
        {
            "key": arrow(rows[spec.entity_key]),
            **{name: arrow(rows[name]) for name in spec.columns() if name in rows},
        }
    )
