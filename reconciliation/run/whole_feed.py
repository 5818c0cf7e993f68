"""Reads a whole feed in parts that survive an interruption, and finds the records that are
missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pandas as pd

from reconciliation.ask import Ask, Range
from reconciliation.errors import SourceFailed
from reconciliation.frame import concat
from reconciliation.guard import FEW
from reconciliation.hints import asks as hinted
from reconciliation.identifiers import identifiers
from reconciliation.ports import NO_HASHES, Source, Store, Target
from reconciliation.snapshot import Snapshot, merge, renewed
from reconciliation.spec import PEOPLE, ProcessSpec
from reconciliation.sweep import Ended, missing, parts, verified
from reconciliation.tables import texts

from .comparison import links_of, values
from .context import Run
from .feed import merged, read_one, with_changes_of_joined_feed
from .reading import Reading

Caller = Callable[..., Any]
"""Calls a step with its arguments, either as a Prefect task or as a plain function."""


@dataclass(frozen=True)
class Swept:
    """The result of reading a whole feed."""

    read: Snapshot
    ended: Ended
    began: datetime
    """When the sweep began, in an earlier run if that was interrupted."""
    parts: int
    resumed: int
    """Number of parts that an interrupted sweep had already read."""


def sweep(run: Run, reading: Reading, known: int, call: Caller) -> Swept:
    """Reads the whole feed. Parts that an interrupted sweep has read are not read again, except for
    the records that hints name. ``known``: number of the feed's records that the store knows."""
    spec, store = run.spec, run.store
    earlier = None if run.preview else store.sweeping_since(spec, run.now)
    began = earlier or run.now
    reads: list[Snapshot] = []
    resumed = 0
    for part in parts(began.date(), spec.created, known):
        read = store.part(spec, part) if earlier and part else None
        resumed += read is not None
        if read is None:
            read = call(sweep_part, run.source, spec, part)
            if part and not run.preview and read.complete and not read.vanished:
                store.keep_part(spec, part, read, began, run.id)
        reads.append(read)
    updated = run.source.updated_column(spec.feed, spec.updated)
    whole = merge(reads, spec.key, updated)
    if resumed and reading.hints:
        whole = _with_hinted(run, reading, whole, updated)
    whole, gone, known_gone = call(verify, run.source, store, spec, whole)
    visible = of_visible_people(run.source, store, run.target, spec, gone)
    if not whole.read:
        _check_visible(run, gone, visible)
    ends = ended(run, concat([visible, known_gone]), whole)
    return Swept(whole, ends, began, len(reads), resumed)


def sweep_part(source: Source, spec: ProcessSpec, part: Range | None) -> Snapshot:
    """Reads all records of one part, known ones and those out of scope included."""
    return read_one(source, spec, Ask(range=part, skip_known=False))


def _with_hinted(run: Run, reading: Reading, whole: Snapshot, updated: str | None) -> Snapshot:
    """Reads again the records that hints name, because parts of ``whole`` were read a while ago."""
    spec = run.spec
    questions = with_changes_of_joined_feed(run.source, spec, hinted(spec, reading.hints))
    reads = [read_one(run.source, spec, ask) for ask in questions.asks]
    fresh = merged(run.source, spec, reads, complete=questions.complete)
    named = {hint.key for hint in reading.hints if hint.feed == spec.feed and hint.key}
    return renewed(whole, spec.key, named | set(fresh.frame[spec.key]), fresh, updated)


def ended(run: Run, gone: pd.Series[Any], read: Snapshot) -> Ended:
    """Builds :class:`Ended` from the source keys of records that are verified to be ``gone`` and
    the records in ``read`` that have moved to somebody else."""
    return Ended(gone, _moved_away(run.source, run.store, run.target, run.spec, read))


def verify(
    source: Source, store: Store, spec: ProcessSpec, whole: Snapshot
) -> tuple[Snapshot, pd.Series[Any], pd.Series[Any]]:
    """Asks by key for the records that are missing from ``whole``.

    Returns:
        ``whole`` with the records that came after all; the source keys that did not come, which are
        gone; and the source keys that an earlier sweep has found gone, which are not asked for
        again.
    """
    unseen = missing(store.origin(spec), whole, spec.key)
    known = unseen.isin(store.gone(spec.name))
    known_gone = verified(unseen[known], whole, whole, spec.key)
    suspects = unseen[~known]
    if not len(suspects):
        return whole, suspects, known_gone
    ask = Ask(keys=tuple(str(key) for key in suspects), skip_known=False)
    answer = read_one(source, spec, ask)
    gone = verified(suspects, answer, whole, spec.key)
    updated = source.updated_column(spec.feed, spec.updated)
    return merge([whole, without_keyless(answer)], spec.key, updated), gone, known_gone


def _check_visible(run: Run, gone: pd.Series[Any], visible: pd.Series[Any]) -> None:
    """Stops the run if the feed is empty and the source shows none of its people either, because
    that is probably a missing right. Records without a row in the target do not count: the person
    behind them is not known.

    Raises:
        SourceFailed: the source shows none of the people whose records it had.
    """
    spec = run.spec
    if len(gone) < FEW or len(visible) == len(gone):
        return
    origin = run.store.origin(spec)
    keys = origin.loc[origin["source_key"].isin(visible), "key"]
    if not len(run.target.read(spec.entity, {}, {spec.entity_key: values(keys)}).frame):
        raise SourceFailed(
            f"{spec.source_side} shows no {spec.feed} at all, nor any of the people who had one",
            f"Check what the service user may see in {spec.source_side}, then run again. "
            "Nothing was closed.",
        )


def of_visible_people(
    source: Source, store: Store, target: Target, spec: ProcessSpec, gone: pd.Series[Any]
) -> pd.Series[Any]:
    """Returns those of ``gone`` whose person the source still shows, or whose row has no person.

    If the source does not show a person (no right to see them, deleted, unreadable), nothing is
    concluded about their records: the rows stay as they are until the person can be seen.
    """
    if not spec.person or not len(gone):
        return gone
    origin = store.origin(spec)
    rows = origin[origin["source_key"].isin(gone)]
    asked = {spec.entity_key: values(rows["key"])}
    holders = target.read(spec.entity, {spec.holder: "text"}, asked).frame
    links = links_of(store, spec, None, values(holders[spec.holder]), "employees")
    feed, key = PEOPLE[spec.direction]
    source_keys = tuple(values(links["source_key"]))
    if source_keys:
        ask = Ask(keys=source_keys, skip_known=False)
        seen = source.read(feed, [key], (), ask, NO_HASHES, spec.fingerprint())
        links = links[links["source_key"].isin(seen.frame[key])]
    unseen = holders[holders[spec.holder].notna() & ~holders[spec.holder].isin(links["target_key"])]
    kept = rows[rows["key"].isin(unseen[spec.entity_key])]["source_key"]
    return gone[~gone.isin(kept)]


def _moved_away(
    source: Source, store: Store, target: Target, spec: ProcessSpec, read: Snapshot
) -> pd.Series[Any]:
    """Returns the source keys of loaded records that now belong to a person whom the target does
    not have.

    The row of the former holder is no longer true. It stays, however, if the source does not show
    the former holder either: when two people are merged, their records move first. Processes of a
    pair are left out, because there both sides may change the holder.
    """
    if not spec.person or spec.scope.gone != "close" or spec.pair:
        return texts()
    people = read.frame[spec.person]
    linked = links_of(store, spec, values(people), None, "employees")["source_key"]
    others = read.frame[people.notna() & ~people.isin(linked)]
    if not len(others):
        return texts()
    loaded = others[others[spec.key].isin(store.origin(spec)["source_key"])]
    if not len(loaded):
        return texts()
    known = identifiers(links_of(store, spec, None, None, "employees")["source_key"])
    strangers = loaded[~identifiers(loaded[spec.person]).isin(known)]
    return of_visible_people(source, store, target, spec, strangers[spec.key])


def without_keyless(answer: Snapshot) -> Snapshot:
    """Removes rejected rows without a key from an answer to a question by key. They came with the
    whole feed already and cannot be told apart from the rows there."""
    keyed = answer.rejected["key"].notna()
    rejected = answer.rejected[keyed].reset_index(drop=True)
    return replace(answer, rejected=rejected, read=answer.read - int((~keyed).sum()))
