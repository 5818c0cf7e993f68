"""Stands in for the target of an entity that an HR system does not hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
import pyarrow as pa

from reconciliation.frame import ARROW, empty, frame
from reconciliation.ports import HrSystem
from reconciliation.receipts import all_of
from reconciliation.snapshot import Snapshot

from .schema import columns_of


class NotHeld:
    """Implements :class:`reconciliation.ports.Target`. When a plan is made, every row is refused as
    unsupported."""

    batch = 1

    def __init__(self, system: HrSystem) -> None:
        self.name, self.system = system.name, system

    def population(self, entity: str) -> int:
        """Returns 0."""
        return 0

    def read(
        self, entity: str, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None
    ) -> Snapshot:
        """Returns no rows or, for an entity that the system does hold, the system's rows. Columns
        that the system lacks are null."""
        holds = self.system.capabilities.entities.get(entity)
        if holds is not None:
            kinds = holds.kinds()
            read = self.system.read(
                entity, {n: k for n, k in columns.items() if n in kinds}, lookups
            )
            lacking = {
                n: frame({n: pa.nulls(len(read.frame), ARROW[k])})[n]
                for n, k in columns.items()
                if n not in kinds
            }
            return replace(read, frame=read.frame.assign(**lacking))
        return Snapshot(empty({next(iter(columns_of(entity))): "text", **columns}))

    def rejections(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Returns an unsupported receipt for every change."""
        return all_of(
            changes, "unsupported", f"{self.system.capabilities.system} holds no {entity}"
        )

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Never called, since every change is refused before."""
        return self.rejections(entity, changes)
