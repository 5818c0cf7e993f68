"""Reads one process's share of a feed."""

from __future__ import annotations

from collections.abc import Sequence

from reconciliation.ask import Ask, columns
from reconciliation.ports import Hashes, Source
from reconciliation.snapshot import Snapshot, merge
from reconciliation.spec import ProcessSpec

from .steps import step


@step("extract")
def extract(source: Source, spec: ProcessSpec, asks: Sequence[Ask], known: Hashes) -> Snapshot:
    """All answers as one snapshot. A record that stands in several answers is taken once."""
    seed = spec.fingerprint()
    reads = [source.read(spec.feed, columns(spec), spec.custom, ask, known, seed) for ask in asks]
    return reads[0] if len(reads) == 1 else merge(reads, spec.key, source.updated_column(spec.feed, spec.updated))
