"""The data that a historical reconciliation works with: the inquiry, both sides, and background
from the store."""

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
"""Open entries of the quarantine. ``stage`` is as in ``settle.QUARANTINE``, or ``discarded`` (by a
person)."""


@dataclass(frozen=True)
class Background:
    """Data from the store, in addition to the two sides."""

    present: date
    """Today in the tenant's zone, or the day of ``Inquiry.known_at`` if that is set."""
    origin: pd.DataFrame = field(default_factory=lambda: empty(ORIGIN))
    """:data:`reconciliation.sweep.ORIGIN`: the record behind each row of the target."""
    open: pd.DataFrame = field(default_factory=lambda: empty(OPEN))
    """:data:`OPEN`."""
    people: pd.DataFrame = field(default_factory=lambda: empty(LINKS))
    """Links of people; ``source_key`` is the key on the source's side."""
    chosen: pd.Series[str] | None = None
    """The target's keys of the people that the inquiry is about; ``None``: all."""
    then: pd.DataFrame | None = None
    """The versions that were true on the day (``versions.true_on``), one per key of the target;
    ``None``: the present values are used."""


@dataclass(frozen=True)
class Context:
    """One inquiry with all the data that its answer depends on."""

    spec: ProcessSpec
    inquiry: Inquiry
    matched: Sides
    """Both sides with their records matched to rows; nothing is classified yet."""
    back: Background
    end: datetime
    """The first moment (UTC) after the day."""

    @property
    def key(self) -> str:
        """The column with the target's key."""
        return self.spec.entity_key

    @property
    def rows(self) -> pd.DataFrame:
        """The target's rows."""
        return self.matched.rows.current.frame

    @property
    def past(self) -> bool:
        """Whether the day is in the past. Only then are later records left out: as of today they
        count, because a run would load them whatever their date."""
        return self.inquiry.as_of < self.back.present

    @cached_property
    def known(self) -> pd.DataFrame:
        """The row of the target behind each record, where known: ``source_key`` (unique) and
        ``key``. A match of this comparison replaces what the store says."""
        data, read = self.matched.records.data[self.spec.key], self.matched.records.fresh.read
        matches = pd.DataFrame({"source_key": data, "key": self.matched.rows.matched.keys})
        known = [self.back.origin[list(ORIGIN)], matches.dropna(subset="key")[list(ORIGIN)]]
        if not self.spec.match:
            # Without match rules, the key of a record is also the key of its row.
            every = pd.concat([read.frame[self.spec.key], read.rejected["key"].dropna()])
            known.append(pd.DataFrame({"source_key": every, "key": every}))
        return concat(known).drop_duplicates("source_key", keep="last", ignore_index=True)

    @cached_property
    def _present(self) -> pd.DataFrame:
        """The part of :attr:`known` whose rows the target has, readable or not."""
        keys = pd.concat([self.rows[self.key], self.matched.rows.current.rejected["key"]])
        return self.known[self.known["key"].isin(keys.dropna())]

    def rows_of(self, source_keys: pd.Series[Any]) -> pd.Series[Any]:
        """Returns the target's key of each record; null where the target does not have its row."""
        return looked_up(source_keys, self._present, "source_key")["key"]
