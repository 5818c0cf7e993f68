"""Reads a process's records from a feed, with the columns of a joined feed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from reconciliation.ask import Ask, columns, custom
from reconciliation.frame import empty
from reconciliation.ports import NO_HASHES, Source
from reconciliation.snapshot import Snapshot, merge
from reconciliation.spec import Join, ProcessSpec
from reconciliation.tables import DTYPES

JOIN_KEY = "(join key)"
"""A temporary column. No feed has a field with this name."""


def merged(
    source: Source, spec: ProcessSpec, reads: Sequence[Snapshot], *, complete: bool
) -> Snapshot:
    """Merges the answers to several questions into one snapshot and adds the columns of the joined
    feed. A record that is in several answers is taken once.

    Only the first answer tells which fields appeared or vanished, because the other answers hold
    selected records. ``complete`` is ``Questions.complete``.
    """
    whole = reads[0]
    if len(reads) > 1:
        whole = merge(reads, spec.key, source.updated_column(spec.feed, spec.updated))
        whole = replace(whole, appeared=reads[0].appeared, vanished=reads[0].vanished)
    return _with_joined_columns(source, spec, replace(whole, complete=whole.complete and complete))


def read_one(source: Source, spec: ProcessSpec, ask: Ask) -> Snapshot:
    """Reads the answer to one question, with the columns of the joined feed. Records that have not
    changed since they were loaded are included."""
    names = columns(spec), custom(spec)
    return _with_joined_columns(
        source, spec, source.read(spec.feed, *names, ask, NO_HASHES, spec.fingerprint())
    )


@dataclass(frozen=True)
class Questions:
    """The questions that a run asks about the feed of its process."""

    asks: list[Ask]
    complete: bool
    """False if the joined feed could not be read in full. Then questions may be missing."""


def with_changes_of_joined_feed(
    source: Source, spec: ProcessSpec, asks: Sequence[Ask]
) -> Questions:
    """Adds questions for the records whose row in the joined feed has changed.

    To find these rows, the joined feed is asked for its changes in the range of the first question,
    and for the rows that webhooks have named (``Ask.joined``). If the joined feed has no moment of
    the last change, only the next sweep finds its changes.
    """
    join = spec.rule(Join)
    own = [ask for ask in asks if not ask.joined]
    if join is None:
        return Questions(own, complete=True)
    to_joined = [replace(ask, joined=False) for ask in asks if ask.joined]
    window = asks[0].range
    if window and source.updated_column(join.feed, window.column) is not None:
        to_joined.append(Ask(range=window))
    record_column, joined_column = join.on[0]
    complete = True
    for ask in to_joined:
        moment = [ask.range.column] if ask.range else []
        names = ("id", joined_column, *moment)
        changed = source.read(join.feed, names, (), ask, NO_HASHES, spec.fingerprint())
        complete = complete and changed.complete
        if keys := _keys(changed.frame[joined_column]):
            own.append(Ask(keys=keys, by=record_column, skip_known=False))
    return Questions(own, complete)


def _with_joined_columns(source: Source, spec: ProcessSpec, read: Snapshot) -> Snapshot:
    """Adds the columns of the joined feed. They are null for a record without a readable row there.
    The result is complete only if both feeds could be read in full."""
    join = spec.rule(Join)
    if join is None:
        return read
    record_columns, joined_columns = ([pair[n] for pair in join.on] for n in (0, 1))
    wanted = ["id", *joined_columns, *(column for column, _ in join.columns)]
    keys = _keys(read.frame[record_columns[0]])
    joined = Snapshot(empty({c: k for c, k in source.kinds(join.feed).items() if c in wanted}))
    if keys:
        ask = Ask(keys=keys, by=joined_columns[0], skip_known=False)
        joined = source.read(join.feed, wanted, (), ask, NO_HASHES, spec.fingerprint())
    names = dict(join.columns)
    added = joined.frame[list(names)].rename(columns=names)
    added[JOIN_KEY] = _together(joined.frame, joined_columns)
    added = added.dropna(subset=JOIN_KEY).drop_duplicates(JOIN_KEY)
    rows = read.frame.drop(columns=list(names.values()), errors="ignore")
    rows[JOIN_KEY] = _together(read.frame, record_columns)
    rows = rows.merge(added, on=JOIN_KEY, how="left").drop(columns=JOIN_KEY)
    return replace(read, frame=rows, complete=read.complete and joined.complete)


def _keys(column: pd.Series[Any]) -> tuple[str, ...]:
    return tuple(str(key) for key in column.dropna().unique())


def _together(data: pd.DataFrame, names: Sequence[str]) -> pd.Series[Any]:
    """Joins several columns into one text; null if one of them is null."""
    first, *others = (data[name].astype(DTYPES["text"]) for name in names)
    for other in others:
        first = first + "\0" + other
    return first
