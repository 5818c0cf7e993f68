"""Reads a process's records from a feed, with the columns of a joined feed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from reconciliation.ask import Ask, columns, custom
from reconciliation.frame import empty
from reconciliation.ports import NO_HASHES, Source
from reconciliation.snapshot import Snapshot, merge
from reconciliation.spec import Join, ProcessSpec
from reconciliation.tables import DTYPES


def whole_answer(source: Source, spec: ProcessSpec, reads: Sequence[Snapshot]) -> Snapshot:
    """Merges all answers into one snapshot and adds the columns of the joined feed. A record that
    is in several answers is taken once.

    Appeared and vanished fields are those of the first answer. The other answers hold selected
    records, which may not be typical.
    """
    whole = reads[0]
    if len(reads) > 1:
        whole = merge(reads, spec.key, source.updated_column(spec.feed, spec.updated))
        whole = replace(whole, appeared=reads[0].appeared, vanished=reads[0].vanished)
    return with_joined(source, spec, whole)


def read_one(source: Source, spec: ProcessSpec, ask: Ask) -> Snapshot:
    """Reads one answer, known records included, with the columns of the joined feed."""
    names = columns(spec), custom(spec)
    return with_joined(
        source, spec, source.read(spec.feed, *names, ask, NO_HASHES, spec.fingerprint())
    )


def with_joined_feed(source: Source, spec: ProcessSpec, asks: Sequence[Ask]) -> list[Ask]:
    """Returns ``asks``, and further questions for records whose row in the joined feed has
    changed."""
    join, seed = spec.rule(Join), spec.fingerprint()
    if join is None:
        return list(asks)
    changed = [Ask(range=asks[0].range)] if asks[0].range else []
    changed += [replace(ask, joined=False) for ask in asks if ask.joined]
    further = [more for ask in changed for more in _belonging(source, join, ask, seed)]
    return [*(ask for ask in asks if not ask.joined), *further]


def _belonging(source: Source, join: Join, ask: Ask, seed: str) -> list[Ask]:
    """Reads rows of the joined feed with ``ask``, and builds the question for the records that they
    belong to."""
    ours, theirs = join.on[0]
    moment = [ask.range.column] if ask.range else []
    if moment and source.updated_column(join.feed, moment[0]) is None:
        return []
    changed = source.read(join.feed, ("id", theirs, *moment), (), ask, NO_HASHES, seed)
    people = _keys(changed.frame[theirs])
    return [Ask(keys=people, by=ours, skip_known=False)] if people else []


def with_joined(source: Source, spec: ProcessSpec, read: Snapshot) -> Snapshot:
    """Adds the columns of the joined feed; null where it has no row, or no readable one."""
    join = spec.rule(Join)
    if join is None:
        return read
    ours, theirs = (list(names) for names in zip(*join.on, strict=True))
    wanted = ["id", *theirs, *(column for column, _ in join.columns)]
    people = _keys(read.frame[ours[0]])
    if people:
        ask = Ask(keys=people, by=theirs[0], skip_known=False)
        joined = source.read(join.feed, wanted, (), ask, NO_HASHES, spec.fingerprint()).frame
    else:
        joined = empty({c: k for c, k in source.kinds(join.feed).items() if c in wanted})
    names = dict(join.columns)
    beside = joined[list(names)].rename(columns=names)
    beside = beside.assign(on=_together(joined, theirs)).dropna(subset="on").drop_duplicates("on")
    rows = read.frame.assign(on=_together(read.frame, ours)).drop(
        columns=list(names.values()), errors="ignore"
    )
    return replace(read, frame=rows.merge(beside, on="on", how="left").drop(columns="on"))


def _keys(column: pd.Series[Any]) -> tuple[str, ...]:
    return tuple(str(key) for key in column.dropna().unique())


def _together(data: pd.DataFrame, names: Sequence[str]) -> pd.Series[Any]:
    """Joins several columns into one text; null if one of them is null."""
    first, *others = (data[name].astype(DTYPES["text"]) for name in names)
    for other in others:
        first = first + "\0" + other
    return first
