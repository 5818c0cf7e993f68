"""What a comparison knows before it looks at a record, and how it asks the target and the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from reconciliation.aligned import Alike
from reconciliation.ask import Moment
from reconciliation.errors import Misconfigured
from reconciliation.frame import concat, empty, strings
from reconciliation.match import LINKS
from reconciliation.ports import Hashes, Store, TargetReader
from reconciliation.snapshot import Snapshot
from reconciliation.spec import ProcessSpec
from reconciliation.sweep import ORIGIN, Ended
from reconciliation.translate import alike_of

WHOLE = 0.2
"""Share of the entity's rows from which it is read whole: cheaper than that many look-ups."""
SOME = 5000
"""Number of keys from which all links are read."""


@dataclass(frozen=True)
class Comparison:
    """One comparison: of which process, with what, and when."""

    spec: ProcessSpec
    target: TargetReader
    store: Store
    moment: Moment
    known: Hashes
    """Hashes of the records that have landed, sorted."""
    ended: Ended
    """Records whose rows have ended."""
    whole: bool
    """Whether all of the source is compared with all of the target."""
    population: int
    """Rows of the entity."""
    origin: pd.DataFrame
    """``sweep.ORIGIN``, if the comparison is whole or records have ended."""
    closed: Mapping[str, str | date]
    """What closing a row means: column -> value."""

    @classmethod
    def of(
        cls,
        spec: ProcessSpec,
        target: TargetReader,
        store: Store,
        moment: Moment,
        known: Hashes,
        ended: Ended,
        *,
        whole: bool,
    ) -> Comparison:
        """Asks the target for its size and, where records have ended, the store for their rows."""
        origin = store.origin(spec) if whole or len(ended) else empty(ORIGIN)
        if len(ended.gone) and not spec.match:
            # Where the record's key is the row's, a row that no run has made is known by it too.
            own = pd.DataFrame({"source_key": ended.gone, "key": ended.gone})
            origin = concat([origin, own]).drop_duplicates(ignore_index=True)
        closed = {n: moment.day if v == "today" else v for n, v in spec.scope.closed}
        population = target.population(spec.entity)
        return cls(spec, target, store, moment, known, ended, whole, population, origin, closed)

    @property
    def key(self) -> str:
        """The column that identifies a row of the entity."""
        return self.spec.entity_key

    @property
    def columns(self) -> dict[str, str]:
        """The managed columns, name -> kind."""
        return self.spec.columns()

    @property
    def alike(self) -> Alike:
        """Column -> function that brings its values into the form in which they are compared."""
        return alike_of(self.spec)

    def nothing(self) -> pd.DataFrame:
        """No row of the entity."""
        return empty({self.key: "text", **self.columns})

    # -- the target's rows -----------------------------------------------------------------------

    def look_up(
        self, asked: Mapping[str, pd.Series[Any]], columns: Mapping[str, str], rows: int
    ) -> Snapshot:
        """The target's rows with one of these values; all of them where about ``rows`` of them are
        wanted and that is most."""
        if self.population == 0 or (rows == 0 and not self.whole):
            return Snapshot(empty({self.key: "text", **self._with_moment(columns)}))
        if self.whole or rows > WHOLE * self.population:
            return self.read(columns, None)
        return self.read(columns, {name: values(column) for name, column in asked.items()})

    def read(
        self, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None
    ) -> Snapshot:
        """The target's rows, with the moment of their last change.

        Raises:
            Misconfigured: the target does not show a column.
        """
        found = self.target.read(self.spec.entity, self._with_moment(columns), lookups)
        if found.vanished and len(found.frame) > 1:
            names = ", ".join(f"{self.spec.entity}.{name}" for name in found.vanished)
            raise Misconfigured(
                f"{self.spec.target_side} does not show {names}, which {self.spec.name} needs; "
                "nothing was written",
                "Give the service user the right to see it, or take it out of the mapping.",
            )
        return found

    def rows_with_keys(self, keys: pd.Series[Any]) -> pd.DataFrame:
        """The target's rows with these keys."""
        return self.target.read(self.spec.entity, self.columns, {self.key: values(keys)}).frame

    def _with_moment(self, columns: Mapping[str, str]) -> dict[str, str]:
        updated = self.spec.target_updated
        return {**columns, updated: "moment"} if updated and columns else dict(columns)

    # -- the store's links -----------------------------------------------------------------------

    def links(
        self,
        source_keys: pd.Series[Any] | None = None,
        target_keys: pd.Series[Any] | None = None,
        name: str | None = None,
    ) -> pd.DataFrame:
        """``match.LINKS`` of these keys; all of them if none are given."""
        ours, theirs = (
            None if keys is None else values(keys) for keys in (source_keys, target_keys)
        )
        return links_of(self.store, self.spec, ours, theirs, name)

    def links_of_people(self, keys: pd.Series[Any]) -> pd.DataFrame:
        """At least the links of the people with these keys."""
        few = values(keys)
        return links_of(self.store, self.spec, few if len(few) < SOME else None, None, "employees")


def values(column: pd.Series[Any]) -> list[str]:
    """The values of a text column, each once."""
    return [name for name in strings(column.drop_duplicates()) if name is not None]


def links_of(
    store: Store,
    spec: ProcessSpec,
    source_keys: Sequence[str] | None,
    target_keys: Sequence[str] | None,
    name: str | None = None,
) -> pd.DataFrame:
    """``match.LINKS`` from the source's side of a process."""
    name = name or spec.links
    if spec.direction == "to_hr":
        return store.links(name, source_keys=source_keys, target_keys=target_keys)
    found = store.links(name, source_keys=target_keys, target_keys=source_keys)
    turned = found.rename(columns={"source_key": "target_key", "target_key": "source_key"})
    return turned[list(LINKS)]
