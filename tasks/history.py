"""The steps of a historical reconciliation: reads with checkpoints, both sides by path, one
comparison per partition."""

from __future__ import annotations

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

AGAIN = "Run it again: the parts that were read are kept, and are not read again."


@step("read part", "read {name}")
def read_part(source: Source, spec: ProcessSpec, ask: Ask, folder: Folder, name: str) -> None:
    """Reads one part of the source and keeps it.

    Raises:
        SourceFailed: it could not be read to its end; what is missing from it would look gone.
    """
    requests = source.requests
    read = read_one(source, spec, ask)
    if not read.complete:
        raise SourceFailed(f"A part of {spec.feed} could not be read in full", AGAIN)
    keep(folder, name, read, source.requests - requests)


@step("read target", "read {name}")
def read_target(target: Target, spec: ProcessSpec, folder: Folder, name: str) -> None:
    """Reads all rows of the target and keeps them.

    Raises:
        TargetFailed: they could not be read in full.
    """
    moment = {spec.target_updated: "moment"} if spec.target_updated else {}
    read = target.read(spec.entity, {**spec.columns(), **moment}, None)
    if not read.complete:
        raise TargetFailed(f"{spec.target_side} could not be read in full", AGAIN)
    keep(folder, name, read, 0)


def keep(folder: Folder, name: str, read: Snapshot, requests: int) -> None:
    """Keeps a complete read; its note comes last, and says that it is there."""
    folder.keep(f"{name}.rows", read.frame)
    folder.keep(f"{name}.rejected", read.rejected)
    folder.note(name, {"read": read.read, "duplicates": read.duplicates, "requests": requests})


def kept(folder: Folder, name: str) -> Snapshot | None:
    """A read that was kept; ``None`` if there is none."""
    note = folder.read_note(name)
    if note is None:
        return None
    return Snapshot(
        folder.frame(f"{name}.rows"),
        True,
        folder.frame(f"{name}.rejected"),
        note["read"],
        0,
        note["duplicates"],
    )


# -- partitions ----------------------------------------------------------------------------------


def partition(folder: Folder, spec: ProcessSpec, compared: Comparison, rows: int) -> int:
    """Keeps both sides in partitions of about ``rows`` rows, each key with both its sides in one of
    them; returns how many."""
    sides = {"expected": compared.expected, "actual": compared.actual}
    number = max(1, -(-max(map(len, sides.values())) // rows))
    folder.note("spec", {"spec": spec.model_dump_json()})
    keys = pd.concat([side[spec.entity_key] for side in sides.values()], ignore_index=True)
    places = np.split(pd.factorize(keys)[0] % number, [len(compared.expected)])
    for (name, side), place in zip(sides.items(), places, strict=True):
        for part in range(number):
            folder.keep(f"{name}-{part}", side[place == part].reset_index(drop=True))
    return number


@step("compare", "compare partition {part}")
def compare_partition(url: str, part: int) -> int:
    """Compares one partition, by path, and keeps its classes; returns its rows. Needs nothing but
    the folder."""
    folder = Folder(url)
    note = folder.read_note("spec")
    if note is None:
        raise Misconfigured(
            f"There is no partition at {url}",
            "Give all workers the same folder of reconciliations.",
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
    """The target's key -> the record that it comes from."""
    origin = store.origin(spec)
    return dict(zip(origin["key"], origin["source_key"], strict=True))
