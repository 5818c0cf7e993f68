"""The setting of one comparison, and its look-ups in the target and the store."""

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
"""If look-ups would return more than this share of the entity's rows, all rows are read instead,
which is cheaper."""
SOME = 5000
"""Number of keys from which all links are read instead of those of the keys."""


@dataclass(frozen=True)
class Comparison:
    """One comparison of a source with a target, and what is known before any record is looked
    at."""

    spec: ProcessSpec
    target: TargetReader
    store: Store
    moment: Moment
    known: Hashes
    """Hashes of the records that have landed, sorted."""
    ended: Ended
    """Records that no longer exist or belong to somebody else, so that their rows must end."""
    whole: bool
    """Whether all of the source is compared with all of the target."""
    population: int
    """Number of rows of the entity."""
    origin: pd.DataFrame
    """``sweep.ORIGIN``; empty unless the comparison is whole or records have ended."""
    closed: Mapping[str, str | date]
    """Column -> value that a closed row has."""

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
        """Builds the comparison. It asks the target for its size and, if needed, the store for the
        origin of its rows."""
        origin = store.origin(spec) if whole or len(ended) else empty(ORIGIN)
        if len(ended.gone) and not spec.match:
            # Without match rules, the key of a record is also the key of its row, so rows that no
            # run has made are found as well.
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
        """Returns an empty frame of the entity's rows."""
        return empty({self.key: "text", **self.columns})

    # -- the target's rows -----------------------------------------------------------------------

    def look_up(
        self, asked: Mapping[str, pd.Series[Any]], columns: Mapping[str, str], rows: int
    ) -> Snapshot:
        """Reads the target's rows that have one of these values (column -> values). Reads all rows
        if the expected number of ``rows`` is a large share of them (:data:`WHOLE`)."""
        if self.population == 0 or (rows == 0 and not self.whole):
            return Snapshot(empty({self.key: "text", **self._with_moment(columns)}))
        if self.whole or rows > WHOLE * self.population:
            return self.read(columns, None)
        return self.read(columns, {name: values(column) for name, column in asked.items()})

    def read(
        self, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None
    ) -> Snapshot:
        """Reads the target's rows, with the moment of their last change if the process uses it.

        Raises:
            Misconfigured: the target does not show a column.
        """
        read = self.target.read(self.spec.entity, self._with_moment(columns), lookups)
        # A column that a single row lacks may simply be empty.
        if read.vanished and len(read.frame) > 1:
            names = ", ".join(f"{self.spec.entity}.{name}" for name in read.vanished)
            raise Misconfigured(
                f"{self.spec.target_side} does not show {names}, which {self.spec.name} needs; "
                "nothing was written",
                "Give the service user the right to see it, or take it out of the mapping.",
            )
        return read

    def rows_with_keys(self, keys: pd.Series[Any]) -> pd.DataFrame:
        """Reads the target's rows with these keys."""
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
        """Returns ``match.LINKS`` of these keys; all links if no keys are given. ``name`` is the
        entity of the links, by default that of the process."""
        ours, theirs = (
            None if keys is None else values(keys) for keys in (source_keys, target_keys)
        )
        return links_of(self.store, self.spec, ours, theirs, name)

    def links_of_people(self, keys: pd.Series[Any]) -> pd.DataFrame:
        """Returns the links of the people with these keys; all links if there are many keys."""
        wanted = values(keys)
        source_keys = wanted if len(wanted) < SOME else None
        return links_of(self.store, self.spec, source_keys, None, "employees")


def values(column: pd.Series[Any]) -> list[str]:
    """Returns the distinct values of a text column, without nulls."""
    return [name for name in strings(column.drop_duplicates()) if name is not None]


def links_of(
    store: Store,
    spec: ProcessSpec,
    source_keys: Sequence[str] | None,
    target_keys: Sequence[str] | None,
    name: str | None = None,
) -> pd.DataFrame:
    """Returns ``match.LINKS`` as the process sees them: ``source_key`` is the key on the side that
    it reads. In the store it is always accessplanit's key."""
    name = name or spec.links
    if spec.direction == "to_hr":
        return store.links(name, source_keys=source_keys, target_keys=target_keys)
    links = store.links(name, source_keys=target_keys, target_keys=source_keys)
    swapped = links.rename(columns={"source_key": "target_key", "target_key": "source_key"})
    return swapped[list(LINKS)]
