"""A whole feed, read in parts that survive an interruption; and what is missing from it."""

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
from .feed import read_one, whole_answer, with_joined_feed
from .reading import Reading

Caller = Callable[..., Any]
"""Calls a step with its arguments: as a Prefect task, or as the function that it is."""


@dataclass(frozen=True)
class Swept:
    """A whole feed."""

    read: Snapshot
    ended: Ended
    began: datetime
    """When the sweep began, in an earlier run if that was interrupted."""
    parts: int
    resumed: int
    """How many of the parts were taken up from an interrupted sweep."""


def sweep(run: Run, reading: Reading, call: Caller) -> Swept:
    """The whole feed. Parts that an interrupted sweep has read are not read again, except for what
    hints name."""
    spec, store = run.spec, run.store
    earlier = None if run.preview else store.sweeping_since(spec, run.now)
    began = earlier or run.now
    reads: list[Snapshot] = []
    resumed = 0
    for part in parts(began.date(), spec.created):
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
    _check_visible(spec, whole, gone, visible)
    ends = ended(run, concat([visible, known_gone]), whole)
    return Swept(whole, ends, began, len(reads), resumed)


def sweep_part(source: Source, spec: ProcessSpec, part: Range | None) -> Snapshot:
    """The records of one part, known ones too and whatever their scope."""
    return read_one(source, spec, Ask(range=part, skip_known=False))


def _with_hinted(run: Run, reading: Reading, whole: Snapshot, updated: str | None) -> Snapshot:
    """``whole``, of which parts were read a while ago, with what hints name read again."""
    spec = run.spec
    asks = with_joined_feed(run.source, spec, hinted(spec, reading.hints))
    fresh = whole_answer(run.source, spec, [read_one(run.source, spec, ask) for ask in asks])
    named = {hint.key for hint in reading.hints if hint.feed == spec.feed and hint.key}
    return renewed(whole, spec.key, named | set(fresh.frame[spec.key]), fresh, updated)


def ended(run: Run, gone: pd.Series[Any], read: Snapshot) -> Ended:
    """What has ended by ``read``. gone: source keys of records that are verified to be gone."""
    return Ended(gone, _moved_away(run.source, run.store, run.target, run.spec, read))


def verify(
    source: Source, store: Store, spec: ProcessSpec, whole: Snapshot
) -> tuple[Snapshot, pd.Series[Any], pd.Series[Any]]:
    """``whole`` with the records that answered when asked for by key; the keys that did not: these
    are gone; and those that an earlier sweep has found gone, which are not asked for again."""
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


def _check_visible(
    spec: ProcessSpec, whole: Snapshot, gone: pd.Series[Any], visible: pd.Series[Any]
) -> None:
    """A source that shows nothing at all is not believed.

    Raises:
        SourceFailed: the feed is empty, and so are the people whose records it had.
    """
    if len(gone) >= FEW and not len(visible) and not whole.read:
        raise SourceFailed(
            f"{spec.source_side} shows no {spec.feed} at all, nor any of the people who had one",
            f"Check what the service user may see in {spec.source_side}, then run again. "
            "Nothing was closed.",
        )


def of_visible_people(
    source: Source, store: Store, target: Target, spec: ProcessSpec, gone: pd.Series[Any]
) -> pd.Series[Any]:
    """Those of ``gone`` whose person the source still shows, or whose row belongs to nobody.

    Somebody who cannot be seen (out of the service user's sight, deleted, unreadable) has not lost
    everything: what is said of them stays as it is until they can be seen.
    """
    if not spec.person or not len(gone):
        return gone
    origin = store.origin(spec)
    rows = origin[origin["source_key"].isin(gone)]
    asked = {spec.entity_key: values(rows["key"])}
    held = target.read(spec.entity, {spec.holder: "text"}, asked).frame
    links = links_of(store, spec, None, values(held[spec.holder]), "employees")
    feed, key = PEOPLE[spec.direction]
    theirs = tuple(values(links["source_key"]))
    if theirs:
        ask = Ask(keys=theirs, skip_known=False)
        seen = source.read(feed, [key], (), ask, NO_HASHES, spec.fingerprint())
        links = links[links["source_key"].isin(seen.frame[key])]
    unseen = held[held[spec.holder].notna() & ~held[spec.holder].isin(links["target_key"])]
    kept = rows[rows["key"].isin(unseen[spec.entity_key])]["source_key"]
    return gone[~gone.isin(kept)]


def _moved_away(
    source: Source, store: Store, target: Target, spec: ProcessSpec, read: Snapshot
) -> pd.Series[Any]:
    """Keys of records that were loaded for somebody and belong now to a person whom the target does
    not have.

    The former holder's row is no longer true. Where the source does not show the former holder
    either, it stays as it is: when two people are merged, their records move first. Where both
    sides may change a record, its holder is theirs to settle.
    """
    if not spec.person or spec.scope.gone != "close" or spec.pair:
        return texts()
    people = read.frame[spec.person]
    few = links_of(store, spec, values(people), None, "employees")["source_key"]
    others = read.frame[people.notna() & ~people.isin(few)]
    if not len(others):
        return texts()
    loaded = others[others[spec.key].isin(store.origin(spec)["source_key"])]
    if not len(loaded):
        return texts()
    known = identifiers(links_of(store, spec, None, None, "employees")["source_key"])
    strangers = loaded[~identifiers(loaded[spec.person]).isin(known)]
    return of_visible_people(source, store, target, spec, strangers[spec.key])


def without_keyless(answer: Snapshot) -> Snapshot:
    """An answer to a question by key, without rejected rows that have no key: they came with the
    whole feed already, and cannot be told from it."""
    keyed = answer.rejected["key"].notna()
    rejected = answer.rejected[keyed].reset_index(drop=True)
    return replace(answer, rejected=rejected, read=answer.read - int((~keyed).sum()))
