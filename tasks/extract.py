"""Reads one process's share of a feed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reconciliation.ask import Ask, columns, custom
from reconciliation.frame import arrow, empty, frame
from reconciliation.ports import Hashes, Source
from reconciliation.snapshot import Snapshot, merge
from reconciliation.spec import Join, ProcessSpec

from .steps import step

NOTHING = np.empty(0, dtype=np.int64)


@step("extract")
def extract(source: Source, spec: ProcessSpec, asks: Sequence[Ask], known: Hashes) -> Snapshot:
    """All answers as one snapshot. A record that stands in several answers is taken once.

    What the feed's fields are is judged by the first answer: the others hold chosen records, which
    may be odd. Where another feed belongs to it, records are looked at again for which that one has
    changed.
    """
    seed = spec.fingerprint()
    if spec.join:
        asked = [Ask(range=asks[0].range)] if asks[0].range else []
        asked += [replace(ask, joined=False) for ask in asks if ask.joined]
        asks = [
            *(ask for ask in asks if not ask.joined),
            *(a for ask in asked for a in _belonging(source, spec.join, ask, seed)),
        ]
    reads = [source.read(spec.feed, columns(spec), custom(spec), ask, known, seed) for ask in asks]
    if len(reads) > 1:
        whole = merge(reads, spec.key, source.updated_column(spec.feed, spec.updated))
        reads = [replace(whole, appeared=reads[0].appeared, vanished=reads[0].vanished)]
    return with_joined(source, spec, reads[0])


def _belonging(source: Source, join: Join, ask: Ask, seed: str) -> list[Ask]:
    """What to ask about the records that rows of the joined feed belong to: the rows that ``ask``
    brings."""
    ours, theirs = join.on[0]
    moment = [ask.range.column] if ask.range else []
    if moment and source.updated_column(join.feed, moment[0]) is None:
        return []
    changed = source.read(join.feed, ("id", theirs, *moment), (), ask, NOTHING, seed)
    people = tuple(
        str(key) for key in pc.unique(arrow(changed.frame[theirs])).drop_null().to_pylist()
    )
    return [Ask(keys=people, by=ours, skip_known=False)] if people else []


def with_joined(source: Source, spec: ProcessSpec, read: Snapshot) -> Snapshot:
    """``read`` with the columns of the joined feed, null where that has no row, or none that could
    be read."""
    join = spec.join
    if join is None:
        return read
    ours, theirs = zip(*join.on, strict=True)
    wanted = ["id", *theirs, *(column for column, _ in join.columns)]
    people = tuple(
        str(key) for key in pc.unique(arrow(read.frame[ours[0]])).drop_null().to_pylist()
    )
    if people:
        found = source.read(
            join.feed,
            wanted,
            (),
            Ask(keys=people, by=theirs[0], skip_known=False),
            NOTHING,
            spec.fingerprint(),
        ).frame
    else:
        kinds = {c: k for c, k in source.kinds(join.feed).items() if c in wanted}
        found = empty(kinds)
    place = pc.index_in(_together(read.frame, ours), value_set=_together(found, theirs))
    columns_ = {name: arrow(found[column]).take(place) for column, name in join.columns}
    return replace(
        read,
        frame=read.frame.assign(
            **{name: frame({name: column})[name] for name, column in columns_.items()}
        ),
    )


def _together(data: pd.DataFrame, names: Sequence[str]) -> pa.Array:
    return pc.binary_join_element_wise(
        *(arrow(data[name]).cast(pa.string()) for name in names), "\0"
    )
