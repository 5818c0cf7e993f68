"""A target as it was: as it was read once, or as the ledger knows it from an earlier time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from ..ports import TargetReader
from ..snapshot import Snapshot
from ..spec import ProcessSpec
from ..tables import typed


class Remembered:
    """A target one entity of which is as it was. Nothing can be written."""

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
            found = pd.Series(False, rows.index)
            for name, values in lookups.items():
                found |= rows[name].isin(values)
            data = data[found].reset_index(drop=True)
        return replace(self._rows, frame=data)


def as_known(spec: ProcessSpec, versions: pd.DataFrame) -> Snapshot:
    """Versions, one per key, as rows of the target; a column that the ledger never wrote is
    null."""
    kinds = {spec.entity_key: "text", **spec.columns()}
    return Snapshot(typed(versions.rename(columns={"key": spec.entity_key}), kinds))


def rows_from(gone: pd.Series[str], origin: pd.DataFrame, spec: ProcessSpec) -> pd.Series[str]:
    """Keys of the target's rows that were made from the records ``gone``."""
    known = origin.loc[origin["source_key"].isin(gone), "key"]
    # Without rules a record's key is the row's.
    return known if spec.match else pd.concat([known, gone])


def as_seen(spec: ProcessSpec, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the target as the ledger observes them: ``key`` and the managed columns."""
    columns = [name for name in spec.columns() if name in rows]
    return rows[[spec.entity_key, *columns]].rename(columns={spec.entity_key: "key"})
