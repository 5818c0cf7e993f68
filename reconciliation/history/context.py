"""What is known when the two sides are compared as of a day."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Any

import pandas as pd

from ..frame import concat, empty
from ..match import LINKS
from ..run.compare import Sides
from ..spec import ProcessSpec
from ..sweep import ORIGIN
from ..tables import looked_up
from .inquiry import Inquiry

OPEN = {"key": "text", "hash": "hash", "stage": "text", "reason": "text"}
"""Open entries of the quarantine: stage as in ``settle.QUARANTINE``, or ``discarded`` by a
person."""


@dataclass(frozen=True)
class Background:
    """What is known beside the two sides."""

    present: date
    """The tenant's day; of a moment of knowledge, the day of that moment."""
    origin: pd.DataFrame = field(default_factory=lambda: empty(ORIGIN))
    """:data:`reconciliation.sweep.ORIGIN`."""
    open: pd.DataFrame = field(default_factory=lambda: empty(OPEN))
    """:data:`OPEN`."""
    people: pd.DataFrame = field(default_factory=lambda: empty(LINKS))
    """Links of the people, from the source's side."""
    chosen: pd.Series[str] | None = None
    """The people the inquiry is about, as the target names them; ``None``: all."""
    then: pd.DataFrame | None = None
    """Of records that have changed since the day the version that was true on it, by the target's
    key."""


@dataclass(frozen=True)
class Context:
    """One inquiry with all that its answer follows from."""

    spec: ProcessSpec
    inquiry: Inquiry
    matched: Sides
    """Both sides, before anything is decided about them."""
    back: Background
    end: datetime
    """The first moment (UTC) after the day."""

    @property
    def key(self) -> str:
        """The column of the target's key."""
        return self.spec.entity_key

    @property
    def rows(self) -> pd.DataFrame:
        """The target's rows."""
        return self.matched.rows.current.frame

    @property
    def past(self) -> bool:
        """Whether the day has passed. Only then is what came later left out: as of today a run
        loads it, whatever its date."""
        return self.inquiry.as_of < self.back.present

    @cached_property
    def known(self) -> pd.DataFrame:
        """Which row of the target each record is, as far as it is known: ``source_key`` (once) and
        ``key``."""
        data, read = self.matched.records.data[self.spec.key], self.matched.records.read
        found = pd.DataFrame({"source_key": data, "key": self.matched.rows.matched.keys})
        known = [self.back.origin[list(ORIGIN)], found.dropna(subset="key")[list(ORIGIN)]]
        if not self.spec.match:
            # The record's key is the row's.
            every = pd.concat([read.frame[self.spec.key], read.rejected["key"].dropna()])
            known.append(pd.DataFrame({"source_key": every, "key": every}))
        return concat(known).drop_duplicates("source_key", keep="last", ignore_index=True)

    @cached_property
    def _present(self) -> pd.DataFrame:
        """:attr:`known` where the target has the row, readable or not."""
        keys = pd.concat([self.rows[self.key], self.matched.rows.current.rejected["key"]])
        return self.known[self.known["key"].isin(keys.dropna())]

    def rows_of(self, source_keys: pd.Series[Any]) -> pd.Series[Any]:
        """The target's key of records, null where the target does not have the row."""
        return looked_up(source_keys, self._present, "source_key")["key"]
