"""The steps of a historical reconciliation.

Each read is saved, so that an interrupted reconciliation continues after the last saved read. Then
the expected rows and the target's actual rows are saved in partitions. A worker that compares a
partition gets only its number and the address of the folder, no data.
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

RUN_AGAIN = "Run it again. Parts that were read are kept and are not read again."


@step("read part", "read {name}")
def read_part(source: Source, spec: ProcessSpec, ask: Ask, folder: Folder, name: str) -> None:
    """Reads one part of the source and saves it.

    Raises:
        SourceFailed: the read was incomplete. It cannot be used, because the missing records would
            look deleted.
    """
    requests = source.requests
    read = read_one(source, spec, ask)
    if not read.complete:
        raise SourceFailed(f"A part of {spec.feed} could not be read in full", RUN_AGAIN)
    save_read(folder, name, read, source.requests - requests)


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
        raise TargetFailed(f"{spec.target_side} could not be read in full", RUN_AGAIN)
    save_read(folder, name, read, 0)


def save_read(folder: Folder, name: str, read: Snapshot, requests: int) -> None:
    """Saves a complete read: its rows, and last a note with its figures. The note shows that the
    read was saved completely."""
    folder.keep(f"{name}.rows", read.frame)
    folder.keep(f"{name}.rejected", read.rejected)
    folder.note(name, {"read": read.read, "duplicates": read.duplicates, "requests": requests})


def load_read(folder: Folder, name: str) -> Snapshot | None:
    """Returns a saved read; ``None`` if there is none or it was not saved completely."""
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


def write_partitions(
    folder: Folder, spec: ProcessSpec, comparison: Comparison, rows_per_partition: int
) -> int:
    """Saves the expected and the actual rows in partitions of about ``rows_per_partition`` rows.
    Rows with the same key are in the same partition. Returns the number of partitions."""
    expected, actual = comparison.expected, comparison.actual
    partitions = max(1, math.ceil(max(len(expected), len(actual)) / rows_per_partition))
    # This note may come first, because nothing reads the partitions before this function returns.
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
    for number in range(partitions):
        folder.keep(f"{name}-{number}", side[partition_of == number].reset_index(drop=True))


@step("compare", "compare partition {number}")
def compare_partition(url: str, number: int) -> int:
    """Compares partition ``number`` of the folder at ``url`` and saves the classes of its rows.
    Needs nothing but the folder. Returns the number of rows."""
    folder = Folder(url)
    note = folder.read_note("spec")
    if note is None:
        raise Misconfigured(
            f"This worker found no saved reconciliation at {url}",
            "Give all workers access to the same folder (HRSYNC_HISTORY__FOLDER).",
        )
    spec = ProcessSpec.model_validate_json(note["spec"])
    expected, actual = folder.frame(f"expected-{number}"), folder.frame(f"actual-{number}")
    classified = classify(expected, actual, spec.entity_key, spec.compared(), alike_of(spec))
    folder.keep(f"classes-{number}", classified)
    return len(classified)


def load_classes(folder: Folder, partitions: int) -> pd.DataFrame:
    """Returns the classified rows of all partitions (columns ``classes.CLASSIFIED``)."""
    return concat([folder.frame(f"classes-{number}") for number in range(partitions)])


def origin_of(store: Store, spec: ProcessSpec) -> dict[str, str]:
    """Returns the key of the source's record for the key of each of the target's rows."""
    origin = store.origin(spec)
    return dict(zip(origin["key"], origin["source_key"], strict=True))
