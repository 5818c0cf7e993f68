"""The place of an entity in a system that has none for it."""

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
    """Implements :class:`reconciliation.ports.Target`: every row is refused as unsupported when the
    plan is made."""

    batch = 1

    def __init__(self, system: HrSystem) -> None:
        self.name, self.system = system.name, system

    def population(self, entity: str) -> int:
        """None."""
        return 0

    def read(
        self, entity: str, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None
    ) -> Snapshot:
        """No rows; of an entity that the system does hold, its own, with nothing in columns that it
        has not."""
        holds = self.system.capabilities.entities.get(entity)
        if holds is not None:
            kinds = holds.kinds()
            found = self.system.read(
                entity, {n: k for n, k in columns.items() if n in kinds}, lookups
            )
            lacking = {
                n: frame({n: pa.nulls(len(found.frame), ARROW[k])})[n]
                for n, k in columns.items()
                if n not in kinds
            }
            return replace(found, frame=found.frame.assign(**lacking))
        return Snapshot(empty({next(iter(columns_of(entity))): "text", **columns}))

    def rejections(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Receipts: all are unsupported."""
        return all_of(
            changes, "unsupported", f"{self.system.capabilities.system} holds no {entity}"
        )

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Never called: no change is fit."""
        return self.rejections(entity, changes)
