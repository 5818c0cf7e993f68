"""A target in an earlier state, from a saved read or from the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from ..ports import TargetReader
from ..snapshot import Snapshot
from ..spec import ProcessSpec
from ..tables import typed


class Remembered:
    """A read-only target that serves one entity from saved rows, and the others as they are now."""

    def __init__(self, target: TargetReader, entity: str, key: str, rows: Snapshot) -> None:
        self._target, self._entity, self._key, self._rows = target, entity, key, rows
        self.name, self.rejections = target.name, target.rejections

    def population(self, entity: str) -> int:
        """As :meth:`reconciliation.ports.TargetReader.population`."""
        return len(self._rows.frame) if entity == self._entity else self._target.population(entity)

    def read(
        self, entity: str, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None
    ) -> Snapshot:
        """As :meth:`reconciliation.ports.TargetReader.read`."""
        if entity != self._entity:
            return self._target.read(entity, columns, lookups)
        rows = self._rows.frame
        data = typed(rows, {self._key: "text", **columns})
        if lookups is not None:
            mask = pd.Series(False, rows.index)
            for name, values in lookups.items():
                mask |= rows[name].isin(values)
            data = data[mask].reset_index(drop=True)
        return replace(self._rows, frame=data)


def as_known(spec: ProcessSpec, versions: pd.DataFrame) -> Snapshot:
    """Turns versions of the ledger (one per key) into rows of the target. A column that the ledger
    does not have is null."""
    kinds = {spec.entity_key: "text", **spec.columns()}
    return Snapshot(typed(versions.rename(columns={"key": spec.entity_key}), kinds))


def rows_from(gone: pd.Series[str], origin: pd.DataFrame, spec: ProcessSpec) -> pd.Series[str]:
    """Returns the keys of the target's rows that come from the records ``gone`` (source keys)."""
    row_keys = origin.loc[origin["source_key"].isin(gone), "key"]
    # Without match rules, the key of a record is also the key of its row.
    return row_keys if spec.match else pd.concat([row_keys, gone])


def as_seen(spec: ProcessSpec, rows: pd.DataFrame) -> pd.DataFrame:
    """Renames the target's rows as the ledger expects them: ``key`` and the managed columns."""
    columns = [name for name in spec.columns() if name in rows]
    return rows[[spec.entity_key, *columns]].rename(columns={spec.entity_key: "key"})
