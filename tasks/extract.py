"""Reads one process's share of a feed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reconciliation.ask import Ask, columns
from reconciliation.ports import Hashes, Source
from reconciliation.snapshot import Snapshot, merge
from reconciliation.spec import ProcessSpec

from .steps import step


@step("extract")
def extract(source: Source, spec: ProcessSpec, asks: Sequence[Ask], known: Hashes) -> Snapshot:
    """All answers as one snapshot. A record that stands in several answers is taken once.

    What the feed's fields are is judged by the first answer: the others hold chosen records, which may be odd.
    """
    seed = spec.fingerprint()
    reads = [source.read(spec.feed, columns(spec), spec.custom, ask, known, seed) for ask in asks]
    if len(reads) == 1:
        return reads[0]
    whole = merge(reads, spec.key, source.updated_column(spec.feed, spec.updated))
    return replace(whole, appeared=reads[0].appeared, vanished=reads[0].vanished)
