"""The first step of a run: reads the source."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from reconciliation.ask import Ask, columns, custom, questions
from reconciliation.errors import Misconfigured
from reconciliation.hints import asks as hinted
from reconciliation.hints import suspects
from reconciliation.ports import Hashes, Marks
from reconciliation.snapshot import Snapshot
from reconciliation.spec import CourseDecisions, ProcessSpec
from reconciliation.sweep import Ended, verified
from reconciliation.tables import texts
from reconciliation.watermark import Watermark, Window, window

from .context import Run
from .feed import Questions, merged, with_changes_of_joined_feed
from .reading import Reading
from .whole_feed import Caller, ended, of_visible_people, sweep


@dataclass(frozen=True)
class Extracted:
    """The records that a run has read, and what the store knew before."""

    snapshot: Snapshot
    ended: Ended
    """Records that no longer exist or belong to somebody else."""
    window: Window
    mark: Watermark
    """The watermark before the run."""
    known: Hashes
    """Hashes of the records that have landed, sorted."""
    marks: Marks
    """Hashes of records in quarantine that this run leaves alone."""
    asked_again: tuple[str, ...]
    """Keys of records in quarantine that the run asked for."""
    began: datetime
    requests: int
    parts: int = 0
    """Number of parts of a sweep."""
    resumed: int = 0
    """Number of parts that an interrupted sweep had already read."""


def extract(run: Run, reading: Reading, call: Caller) -> Extracted:
    """Reads the records that the run works on.

    Raises:
        SourceFailed, CredentialsRefused: the source cannot be read.
        Misconfigured: a field that the process needs is missing from every record.
    """
    spec, store, requests_before = run.spec, run.store, run.source.requests
    mark = store.watermark(spec.name, spec.fingerprint())
    asked = Window(None)
    if not reading.whole:
        asked = window(mark, spec.overlap, since=reading.since, full=reading.full)
    known = store.known(spec.name)
    retried = _due_again(run, reading)
    if reading.whole:
        swept = sweep(run, reading, len(known), call)
        read, ends, began = swept.read, swept.ended, swept.began
        parts, resumed = swept.parts, swept.resumed
    else:
        names, seed = (columns(spec), custom(spec)), spec.fingerprint()
        to_ask = _questions(run, reading, asked, mark, retried, known)
        reads = [run.source.read(spec.feed, *names, ask, known, seed) for ask in to_ask.asks]
        read = merged(run.source, spec, reads, complete=to_ask.complete)
        ends, began, parts, resumed = _ended(run, reading, read), run.now, 0, 0
    if reading.chosen:
        # A few chosen records say nothing about the fields of the feed.
        read = replace(read, appeared=(), vanished=())
    _check_fields(spec, read)
    return Extracted(
        snapshot=read,
        ended=ends,
        window=asked,
        mark=mark,
        known=known,
        marks=_marks(run, reading),
        asked_again=retried,
        began=began,
        requests=run.source.requests - requests_before,
        parts=parts,
        resumed=resumed,
    )


def _due_again(run: Run, reading: Reading) -> tuple[str, ...]:
    """Returns the keys in quarantine that the run asks for. Held decisions on course requests are
    due in every run, so that a free place goes to the earliest one."""
    spec, store = run.spec, run.store
    if reading.whole:
        return ()
    due = [] if reading.chosen else store.retryable(spec.name, run.now)
    waiting = store.open_keys(spec.name, "held") if spec.rule(CourseDecisions) else []
    return tuple(dict.fromkeys([*due, *waiting]))


def _marks(run: Run, reading: Reading) -> Marks:
    marks = run.store.marks(run.spec.name, run.now, whole=reading.looks_at_all)
    return replace(marks, held=marks.held[:0]) if run.spec.rule(CourseDecisions) else marks


def _questions(
    run: Run,
    reading: Reading,
    asked: Window,
    mark: Watermark,
    again: tuple[str, ...],
    known: Hashes,
) -> Questions:
    """Builds the questions to the feed."""
    spec, updated = run.spec, updated_column(run)
    asks = []
    if not reading.chosen:
        asks += questions(spec, asked, mark, run.moment, again, updated, first=not len(known))
    elif again:
        asks.append(Ask(keys=again, skip_known=False))
    if reading.hints:
        asks += hinted(spec, reading.hints)
    if reading.named is not None:
        asks.append(Ask(keys=reading.named, skip_known=False))
    return with_changes_of_joined_feed(run.source, spec, asks)


def updated_column(run: Run) -> str | None:
    """Returns the feed's column with the moment of the last change, if this tenant has it."""
    return run.source.updated_column(run.spec.feed, run.spec.updated)


def _ended(run: Run, reading: Reading, read: Snapshot) -> Ended:
    """Returns the records that are gone: named by a repair or by deletion hints, and not returned
    when asked for by key; and the records that have moved to somebody else."""
    named = reading.named if reading.named is not None else suspects(run.spec, reading.hints)
    gone = verified(texts(named), read, read, run.spec.key)
    return ended(run, of_visible_people(run.source, run.store, run.target, run.spec, gone), read)


def _check_fields(spec: ProcessSpec, read: Snapshot) -> None:
    """Stops the run if several records came and none has a certain field. The field is missing
    then, not empty, and the target would lose its values.

    Raises:
        Misconfigured: it names the missing fields.
    """
    if not read.vanished or read.read <= 1:
        return
    names = ", ".join(f"{spec.feed}.{name}" for name in read.vanished)
    sparse = " If this tenant leaves out fields without a value, set HRSYNC_DIALECT__SPARSE=true."
    raise Misconfigured(
        f"{spec.source_side} sends no field {names}, which {spec.name} needs; nothing was written",
        "Look for a new name (hrsync doctor) or a missing right of the service user, or take the "
        f"field out of the mapping.{sparse if spec.direction == 'to_hr' else ''}",
    )
