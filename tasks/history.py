"""The steps of a historical reconciliation.

Each read is saved, so that an interrupted reconciliation goes on after the last one. Both sides are
saved in partitions; a worker gets the path of the folder and the number of a partition, not the
data.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

from connectors.checkpoints import Folder
from reconciliation.ask import Ask
from reconciliation.errors import Misconfigured, SourceFailed, TargetFailed
from reconciliation.frame import concat
from reconciliation.history.classes import classify
from reconciliation.history.comparison import Comparison
from reconciliation.ports import Source, Store, Target
from reconciliation.run.feed import read_one
from reconciliation.snapshot import Snapshot
from reconciliation.spec import ProcessSpec
from reconciliation.translate import alike_of

from .steps import step

AGAIN = "Run it again. Parts that were read are kept and are not read again."


@step("read part", "read {name}")
def read_part(source: Source, spec: ProcessSpec, ask: Ask, folder: Folder, name: str) -> None:
    """Reads one part of the source and saves it.

    Raises:
        SourceFailed: the read was incomplete. Missing records would look deleted.
    """
    requests = source.requests
    read = read_one(source, spec, ask)
    if not read.complete:
        raise SourceFailed(f"A part of {spec.feed} could not be read in full", AGAIN)
    save(folder, name, read, source.requests - requests)


@step("read target", "read {name}")
def read_target(target: Target, spec: ProcessSpec, folder: Folder, name: str) -> None:
    """Reads all rows of the target and saves them.

    Raises:
        TargetFailed: they could not be read in full.
    """
    columns = spec.columns()
    if spec.target_updated:
        columns = {**columns, spec.target_updated: "moment"}
    read = target.read(spec.entity, columns, None)
    if not read.complete:
        raise TargetFailed(f"{spec.target_side} could not be read in full", AGAIN)
    save(folder, name, read, 0)


def save(folder: Folder, name: str, read: Snapshot, requests: int) -> None:
    """Saves a complete read. The note is written last and marks the read as complete."""
    folder.keep(f"{name}.rows", read.frame)
    folder.keep(f"{name}.rejected", read.rejected)
    folder.note(name, {"read": read.read, "duplicates": read.duplicates, "requests": requests})


def load_saved(folder: Folder, name: str) -> Snapshot | None:
    """A saved read, or ``None`` if there is none."""
    note = folder.read_note(name)
    if note is None:
        return None
    return Snapshot(
        frame=folder.frame(f"{name}.rows"),
        complete=True,
        rejected=folder.frame(f"{name}.rejected"),
        read=note["read"],
        skipped=0,
        duplicates=note["duplicates"],
    )


# -- partitions ----------------------------------------------------------------------------------


def write_partitions(folder: Folder, spec: ProcessSpec, compared: Comparison, rows: int) -> int:
    """Saves both sides in partitions of about ``rows`` rows. Both sides of a key go to the same
    partition. Returns the number of partitions."""
    expected, actual = compared.expected, compared.actual
    partitions = max(1, math.ceil(max(len(expected), len(actual)) / rows))
    folder.note("spec", {"spec": spec.model_dump_json()})
    keys = pd.concat([expected[spec.entity_key], actual[spec.entity_key]], ignore_index=True)
    # Equal keys have equal codes, and so the same partition.
    codes, _ = pd.factorize(keys)
    partition_of = codes % partitions
    _write_side(folder, "expected", expected, partition_of[: len(expected)], partitions)
    _write_side(folder, "actual", actual, partition_of[len(expected) :], partitions)
    return partitions


def _write_side(
    folder: Folder,
    name: str,
    side: pd.DataFrame,
    partition_of: np.ndarray[Any, np.dtype[np.intp]],
    partitions: int,
) -> None:
    for part in range(partitions):
        folder.keep(f"{name}-{part}", side[partition_of == part].reset_index(drop=True))


@step("compare", "compare partition {part}")
def compare_partition(url: str, part: int) -> int:
    """Compares one partition of the folder at ``url`` and saves the classes of its rows. Needs
    nothing but the folder. Returns the number of rows."""
    folder = Folder(url)
    note = folder.read_note("spec")
    if note is None:
        raise Misconfigured(
            f"There is no partition at {url}",
            "Use the same folder of reconciliations on all workers.",
        )
    spec = ProcessSpec.model_validate_json(note["spec"])
    expected, actual = folder.frame(f"expected-{part}"), folder.frame(f"actual-{part}")
    found = classify(expected, actual, spec.entity_key, spec.compared(), alike_of(spec))
    folder.keep(f"classes-{part}", found)
    return len(found)


def classes(folder: Folder, parts: int) -> pd.DataFrame:
    """``classes.CLASSIFIED`` of all partitions."""
    return concat([folder.frame(f"classes-{part}") for part in range(parts)])


def origin_of(store: Store, spec: ProcessSpec) -> dict[str, str]:
    """The target's key -> the key of the source record behind it."""
    origin = store.origin(spec)
    return dict(zip(origin["key"], origin["source_key"], strict=True))
