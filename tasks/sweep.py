"""Reads a whole feed in parts that survive an interruption, and asks again for what is missing from it."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from reconciliation.ask import Ask, Range, columns, custom
from reconciliation.frame import pick, strings
from reconciliation.ports import Source, Store
from reconciliation.snapshot import Snapshot, merge
from reconciliation.spec import ProcessSpec
from reconciliation.sweep import missing, verified

from .extract import NOTHING, with_joined
from .steps import step


@step("sweep")
def sweep_part(source: Source, spec: ProcessSpec, part: Range | None) -> Snapshot:
    """The records of one part, known ones too and whatever their scope."""
    read = source.read(spec.feed, columns(spec), custom(spec), Ask(range=part, skip_known=False), NOTHING, spec.fingerprint())
    return with_joined(source, spec, read)


@step("verify")
def verify(source: Source, store: Store, spec: ProcessSpec, whole: Snapshot) -> tuple[Snapshot, pa.Array]:
    """``whole`` with the records that answered when asked for by key, and the keys that did not: these are gone."""
    suspects = missing(store.origin(spec), whole, spec.key)
    if not len(suspects):
        return whole, suspects
    ask = Ask(keys=tuple(str(key) for key in strings(suspects)), skip_known=False)
    answer = with_joined(source, spec, source.read(spec.feed, columns(spec), custom(spec), ask, NOTHING, spec.fingerprint()))
    gone = verified(suspects, answer, whole, spec.key)
    keyed = answer.rejected["key"].notna().to_numpy(dtype=bool)
    # What has no key came with the whole feed already, and cannot be told from it.
    answer = replace(answer, rejected=pick(answer.rejected, keyed), read=answer.read - int((~keyed).sum()))
    return merge([whole, answer], spec.key, source.updated_column(spec.feed, spec.updated)), gone
