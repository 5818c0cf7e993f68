"""The place of an entity in a system that has none for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from reconciliation.frame import empty
from reconciliation.ports import HrSystem
from reconciliation.receipts import all_of
from reconciliation.snapshot import Snapshot


class NotHeld:
    """Implements :class:`reconciliation.ports.Target`: every row is refused as unsupported when the plan is made."""

    batch = 1

    def __init__(self, system: HrSystem) -> None:
        self.name, self._system = system.name, system.capabilities.system

    def population(self, entity: str) -> int:
        """None."""
        return 0

    def read(self, entity: str, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None) -> Snapshot:
        """No rows."""
        return Snapshot(empty(dict(columns)))

    def unfit(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Receipts: all are unsupported."""
        return all_of(changes, "unsupported", f"{self._system} holds no {entity}")

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Never called: no change is fit."""
        return self.unfit(entity, changes)
