"""A historical reconciliation from question to findings. It reads, compares and explains; it writes
to neither side.

The source is read in parts, and each part is saved in a folder. A run that was killed goes on after
the last saved part.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd

from connectors.checkpoints import Folder
from reconciliation.ask import Ask, Moment
from reconciliation.errors import StoreFailed
from reconciliation.history.causes import Evidence, explain
from reconciliation.history.comparison import Comparison, arrived_since, comparison
from reconciliation.history.context import Background
from reconciliation.history.findings import Findings, differences, gathered
from reconciliation.history.inquiry import Inquiry, asks
from reconciliation.history.remembered import Remembered, as_known, as_seen, rows_from
from reconciliation.history.selection import chosen_people, missing_from_read
from reconciliation.history.versions import DATED, known, last_written, shown, true_on
from reconciliation.ports import HrSystem
from reconciliation.run.compare import whole_sides
from reconciliation.run.whole_feed import without_keyless
from reconciliation.snapshot import Snapshot, merge
from reconciliation.spec import ProcessSpec
from reconciliation.sweep import verified
from reconciliation.tables import texts
from tasks.history import load_classes, load_read, read_part, read_target, write_partitions

from ._run import Caller, World, in_prefect

FRESH = timedelta(hours=24)
"""An interrupted reconciliation that began longer ago starts again from the beginning."""
VERIFIED = "verified"
"""Name of the part with the records that no other part had and that were then read by key."""
Compare = Callable[[str, int], None]
"""Compares the partitions of a folder. Arguments: its address, and the number of partitions."""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Answer:
    """The findings, and the data behind them."""

    findings: Findings
    compared: Comparison
    chosen: pd.Series[str] | None
    """Target keys of the people that the question is about; ``None``: all people."""


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
    """Answers a question.

    Args:
        spec: the process that the question is about.
        inquiry: the question.
        world: the two sides and the store.
        hr: the HR system.
        folder: holds the saved reads until the question is answered.
        compare: compares the partitions, on threads or on Dask.
        rows: number of rows in a partition.
        call: calls a step.
        progress: is called with the number of finished parts and of all parts.

    Raises:
        HrsyncError: the question cannot be answered now. The saved reads are kept for a day.
    """
    return _Answering(spec, inquiry, world, hr, folder, call, progress).answer(compare, rows)


class _Answering:
    """One question while it is being answered."""

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
        self.spec, self.inquiry = spec, inquiry
        self.world, self.hr = world, hr
        self.folder, self.call = folder, call
        self.source, self.store = world.source, world.store
        self.began, records = _start_of_work(
            folder, world.clock(), len(world.store.known(spec.name))
        )
        zone = ZoneInfo(world.zone)
        self.today = self.began.astimezone(zone).date()
        self.known_on = (inquiry.known_at or self.began).astimezone(zone).date()
        self.updated = self.source.updated_column(spec.feed, spec.updated) if spec.updated else None
        self.parts = {
            f"part-{number:03}": ask
            for number, ask in enumerate(
                asks(spec, inquiry, self.today, world.zone, self.source.kinds(spec.feed), records)
            )
        }
        self.resumed, self._done, self._progress = 0, 0, progress

    def answer(self, compare: Compare, rows: int) -> Answer:
        """Answers the question, one step after the other."""
        spec, inquiry, store = self.spec, self.inquiry, self.store
        read, present = self._read(), self._present()
        versions, origin = store.versions(spec), store.origin(spec)
        people = store.links("employees")
        rows_then = shown(versions, inquiry.known_at)
        current = as_known(spec, rows_then) if inquiry.known_at else present
        chosen = chosen_people(spec, inquiry, self.hr, people)
        read, deleted = self._verified(read, current.frame, origin, chosen)
        entries = store.open_entries(spec.name)
        background = Background(self.known_on, origin, entries, people, chosen)
        compared = self._compared(read, current, background, versions)
        number = write_partitions(self.folder, spec, compared, rows)
        compare(self.folder.url, number)
        self._step()
        evidence = self._evidence(compared, versions, rows_from(deleted, origin, spec))
        findings = self._findings(compared, load_classes(self.folder, number), evidence)
        # The question may be about few rows, but all rows of the target were read.
        store.observe(spec, as_seen(spec, present.frame), uuid.uuid4().hex, self.began)
        self._step()
        return Answer(findings, compared, chosen)

    def _present(self) -> Snapshot:
        """The target in its present state."""
        name = "target"
        return self._saved(
            name, lambda: self.call(read_target, self.world.target, self.spec, self.folder, name)
        )

    def _evidence(
        self, compared: Comparison, versions: pd.DataFrame, deleted: pd.Series[str]
    ) -> Evidence:
        """The evidence for the causes of faults.

        ``deleted``: keys of target rows whose source record no longer exists.
        """
        spec, known_at = self.spec, self.inquiry.known_at
        evidence = Evidence(
            mark=self.store.watermark(spec.name, spec.fingerprint()).moment,
            updated=compared.expected[["source_key", "moment"]],
            written=last_written(known(versions, known_at)),
            began=self.began,
            gone=deleted,
            theirs=compared.theirs,
        )
        if known_at is None:
            return evidence
        # For an earlier time, say which faults have been put right since.
        now = as_known(spec, shown(versions, None)).frame
        return replace(evidence, later=arrived_since(spec, compared, now))

    def _findings(
        self, compared: Comparison, classified: pd.DataFrame, evidence: Evidence
    ) -> Findings:
        spec, key = self.spec, self.spec.entity_key
        expected, actual = compared.expected, compared.actual
        causes = explain(classified, expected, actual, key, spec.compared(), evidence)
        notes = [self.folder.read_note(name) or {} for name in (*self.parts, VERIFIED)]
        return Findings(
            spec=spec,
            inquiry=self.inquiry,
            rows=gathered(spec, compared, classified, causes),
            differences=differences(spec, compared, causes, evidence.written),
            source=self.source.name,
            target=self.world.target.name,
            began=self.began,
            ended=self.world.clock(),
            mark=evidence.mark,
            parts=len(self.parts),
            resumed=self.resumed,
            requests=sum(int(note.get("requests", 0)) for note in notes),
        )

    def _read(self) -> Snapshot:
        """Reads the source part by part. A record that moved from one part to another between two
        reads occurs once in the result."""
        reads = []
        for name, ask in self.parts.items():
            self.resumed += self.folder.read_note(name) is not None
            reads.append(self._part(name, ask))
        return merge(reads, self.spec.key, self.updated)

    def _part(self, name: str, ask: Ask) -> Snapshot:
        return self._saved(
            name, lambda: self.call(read_part, self.source, self.spec, ask, self.folder, name)
        )

    def _saved(self, name: str, read: Callable[[], None]) -> Snapshot:
        """Returns a saved part. ``read`` reads and saves it if it is not there yet."""
        part = load_read(self.folder, name)
        if part is None:
            read()
            part = load_read(self.folder, name)
        if part is None:
            raise StoreFailed(
                f"The part {name} is not in the folder for reconciliations",
                "Another process has removed it. Run the reconciliation again.",
            )
        self._step()
        return part

    def _verified(
        self,
        read: Snapshot,
        rows: pd.DataFrame,
        origin: pd.DataFrame,
        chosen: pd.Series[str] | None,
    ) -> tuple[Snapshot, pd.Series[str]]:
        """Reads by key the records that no part had.

        Returns ``read`` with the records that exist, and the source keys of the other ones.
        """
        suspects = missing_from_read(self.spec, self.inquiry, read, rows, origin, chosen)
        if not suspects:
            self._step()
            return read, texts()
        answered = self._part(VERIFIED, Ask(keys=suspects, skip_known=False))
        deleted = verified(texts(suspects), answered, read, self.spec.key)
        return merge([read, without_keyless(answered)], self.spec.key, self.updated), deleted

    def _compared(
        self, read: Snapshot, current: Snapshot, background: Background, versions: pd.DataFrame
    ) -> Comparison:
        """Compares both sides as of the day."""
        spec, inquiry, end = self.spec, self.inquiry, self.inquiry.end(self.world.zone)
        remembered = Remembered(self.world.target, spec.entity, spec.entity_key, current)
        now = end if inquiry.as_of < self.today else self.began
        moment = Moment(inquiry.as_of, now)
        matched = whole_sides(spec, read, remembered, self.store, moment)
        if spec.direction == "from_hr":
            sides = {"source_key": "target_key", "target_key": "source_key"}
            background = replace(background, people=background.people.rename(columns=sides))
        if inquiry.as_of < self.known_on and spec.entity not in DATED:
            background = replace(background, then=true_on(versions, end, None))
        return comparison(spec, inquiry, matched, background, self.world.zone)

    def _step(self) -> None:
        self._done += 1
        self._progress(self._done, len(self.parts) + 4)


def _start_of_work(folder: Folder, now: datetime, records: int) -> tuple[datetime, int]:
    """Returns when the work on this question began (UTC), and how many of the feed's records the
    store knew then. Both decide how the reading is split.

    Work that began too long ago is removed and starts again now.
    """
    note = folder.read_note("began")
    if note and datetime.fromisoformat(note["at"]) > now - FRESH:
        return datetime.fromisoformat(note["at"]), note.get("records", 0)
    began = now.astimezone(UTC)
    folder.remove()
    folder.note("began", {"at": began.isoformat(), "records": records})
    return began, records
