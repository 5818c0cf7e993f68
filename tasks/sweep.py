"""Reads a whole feed in parts that survive an interruption, and asks again for what is missing from
it."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from reconciliation.ask import Ask, Range, columns, custom
from reconciliation.errors import SourceFailed
from reconciliation.frame import arrow, pick, strings, true
from reconciliation.guard import FEW
from reconciliation.identifiers import identifiers
from reconciliation.ports import Source, Store, Target
from reconciliation.snapshot import Snapshot, merge
from reconciliation.spec import PEOPLE, ProcessSpec
from reconciliation.sweep import missing, verified

from .extract import NOTHING, with_joined
from .reconcile import links_of
from .steps import step


@step("sweep")
def sweep_part(source: Source, spec: ProcessSpec, part: Range | None) -> Snapshot:
    """The records of one part, known ones too and whatever their scope."""
    read = source.read(
        spec.feed,
        columns(spec),
        custom(spec),
        Ask(range=part, skip_known=False),
        NOTHING,
        spec.fingerprint(),
    )
    return with_joined(source, spec, read)


def believed(spec: ProcessSpec, whole: Snapshot, gone: pa.Array, visible: pa.Array) -> pa.Array:
    """``visible``, the records that are gone although their people are there, unless the source
    shows nothing at all.

    Raises:
        SourceFailed: the feed is empty, and so are the people whose records it had.
    """
    if len(gone) >= FEW and not len(visible) and not whole.read:
        raise SourceFailed(
            f"{spec.source_side} shows no {spec.feed} at all, nor any of the people who had one",
            f"Check what the service user may see in {spec.source_side}, then run again. "
            "Nothing was closed.",
        )
    return visible


def of_visible_people(
    source: Source, store: Store, target: Target, spec: ProcessSpec, gone: pa.Array
) -> pa.Array:
    """Those of ``gone`` whose person the source still shows, or whose row belongs to nobody.

    Somebody who cannot be seen (out of the service user's sight, deleted, unreadable) has not lost
    everything: what is said of them stays as it is until they can be seen.
    """
    if not spec.person or not len(gone):
        return gone
    origin = store.origin(spec)
    rows = origin[origin["source_key"].isin(gone.to_pylist())]
    held = target.read(
        spec.entity, {spec.holder: "text"}, {spec.entity_key: [str(key) for key in rows["key"]]}
    ).frame
    people = [str(key) for key in held[spec.holder].dropna().unique()]
    feed, key = PEOPLE[spec.direction]
    to_hr = spec.direction == "to_hr"
    links = (
        store.links("employees", target_keys=people)
        if to_hr
        else store.links("employees", source_keys=people)
    )
    ours, theirs = ("source_key", "target_key") if to_hr else ("target_key", "source_key")
    asked = tuple(str(name) for name in links[ours])
    seen = (
        source.read(feed, [key], (), Ask(keys=asked, skip_known=False), NOTHING, spec.fingerprint())
        if asked
        else None
    )
    there = links[links[ours].isin(seen.frame[key])][theirs] if seen is not None else links[theirs]
    unseen = held[held[spec.holder].isin(people) & ~held[spec.holder].isin(there)]
    kept = rows[rows["key"].isin(unseen[spec.entity_key])]["source_key"]
    return gone.filter(pa.array(~true(pc.is_in(gone, value_set=arrow(kept)))))


def moved_away(
    source: Source, store: Store, target: Target, spec: ProcessSpec, read: Snapshot
) -> pa.Array:
    """Keys of records that were loaded for somebody and belong now to a person whom the target does
    not have.

    The former holder's row says what is true no more. Where the source does not show the former
    holder either, it stays as it is: when two people are merged, their records move first. Where
    both sides may change a record, its holder is theirs to settle.
    """
    if not spec.person or spec.scope.gone != "close" or spec.pair:
        return pa.array([], pa.string())
    people = read.frame[spec.person]
    others = read.frame[
        people.notna()
        & ~people.isin(
            links_of(store, spec, strings(people.dropna()), None, "employees")["source_key"]
        )
    ]
    loaded = (
        others[others[spec.key].isin(store.origin(spec)["source_key"])] if len(others) else others
    )
    if not len(loaded):
        return pa.array([], pa.string())
    known = identifiers(arrow(links_of(store, spec, None, None, "employees")["source_key"]))
    strangers = ~true(pc.is_in(identifiers(arrow(loaded[spec.person])), value_set=known))
    return of_visible_people(
        source, store, target, spec, arrow(loaded[spec.key]).filter(pa.array(strangers))
    )


@step("verify")
def verify(
    source: Source, store: Store, spec: ProcessSpec, whole: Snapshot
) -> tuple[Snapshot, pa.Array, pa.Array]:
    """``whole`` with the records that answered when asked for by key; the keys that did not: these
    are gone; and those that an earlier sweep has found gone, which are not asked for again."""
    unseen = missing(store.origin(spec), whole, spec.key)
    known = true(pc.is_in(unseen, value_set=pa.array(store.gone(spec.name), pa.string())))
    suspects = unseen.filter(pa.array(~known))
    known_gone = verified(unseen.filter(pa.array(known)), whole, whole, spec.key)
    if not len(suspects):
        return whole, suspects, known_gone
    ask = Ask(keys=tuple(str(key) for key in strings(suspects)), skip_known=False)
    answer = with_joined(
        source,
        spec,
        source.read(spec.feed, columns(spec), custom(spec), ask, NOTHING, spec.fingerprint()),
    )
    gone = verified(suspects, answer, whole, spec.key)
    keyed = answer.rejected["key"].notna().to_numpy(dtype=bool)
    # What has no key came with the whole feed already, and cannot be told from it.
    answer = replace(
        answer, rejected=pick(answer.rejected, keyed), read=answer.read - int((~keyed).sum())
    )
    return (
        merge([whole, answer], spec.key, source.updated_column(spec.feed, spec.updated)),
        gone,
        known_gone,
    )
