"""What the path needs of the world: a source, a target and a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

import numpy as np
import pandas as pd

from .ask import Ask
from .plan import Plan
from .report import RunReport
from .snapshot import Snapshot
from .spec import ProcessSpec
from .watermark import Watermark

Hashes = np.ndarray[Any, np.dtype[np.int64]]
RECEIPTS = {"key": "text", "outcome": "text", "reason": "text"}
"""What became of one change: ``created``, ``updated``, ``closed`` or ``failed`` with its reason."""
QUARANTINE = {"key": "text", "stage": "text", "field": "text", "reason": "text", "waits_for": "text", "raw": "text", "hash": "hash"}
"""A row that did not go through. stage: ``rejected`` (unreadable), ``held`` (readable, not decided) or ``failed``
(refused by HR)."""


class Source(Protocol):
    """Reads feeds. Raises CredentialsRefused, SourceFailed, Misconfigured."""

    name: str

    @property
    def requests(self) -> int:
        """Requests made so far, retries among them."""
        ...

    def updated_column(self, feed: str, column: str) -> str | None:
        """``column`` if this tenant's feed has it, else ``None``."""

    def read(self, feed: str, columns: Sequence[str], custom: Sequence[str], ask: Ask, known: Hashes, seed: str) -> Snapshot:
        """One read: ``columns`` (feed names), ``custom`` fields, and ``hash`` seeded with ``seed``."""


class Target(Protocol):
    """An HR system. Raises TargetFailed."""

    name: str

    def population(self, entity: str) -> int:
        """How many rows the entity has."""

    def read(self, entity: str, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None) -> Snapshot:
        """The rows whose value in any of the ``lookups`` columns is one of its values, case aside; ``None``: all."""

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Carries out ``changes`` (of a Plan); a frame of :data:`RECEIPTS`, one row per change, in their order."""


@dataclass(frozen=True)
class Settlement:
    """What a run leaves in the store, in one transaction.

    landed: ``key`` and ``hash`` of the source rows that need no second look until they change.
    links: source_key and target_key found in this run. quarantine: a frame of :data:`QUARANTINE`.
    looked_again: the run has read all in which earlier ones met records without a key; those that did not come again
    have vanished.
    """

    landed: pd.DataFrame
    links: pd.DataFrame
    quarantine: pd.DataFrame
    watermark: Watermark
    looked_again: bool


class Store(Protocol):
    """The sync store. Raises StoreFailed."""

    def known(self, process: str) -> Hashes:
        """The hashes of all landed records, sorted."""

    def watermark(self, process: str, fingerprint: str) -> Watermark:
        """How far this process with this scope has come."""

    def links(self, entity: str, source_keys: Sequence[str] | None = None, target_keys: Sequence[str] | None = None) -> pd.DataFrame:
        """The links of these keys, or all."""

    def retryable(self, process: str, now: datetime) -> list[str]:
        """Keys in quarantine whose next attempt is due, or whose person has arrived."""

    def known_bad(self, process: str) -> set[int]:
        """Hashes of the rejected records that are open in quarantine."""

    def save_plan(self, plan: Plan, process: str, now: datetime) -> None:
        """Keeps the plan under its digest."""

    def start(self, run: str, process: str, mode: str, now: datetime) -> None:
        """Notes that a run has begun."""

    def settle(self, run: str, spec: ProcessSpec, settlement: Settlement, report: RunReport, now: datetime) -> None:
        """Writes everything that a run leaves, in one transaction."""

    def finish(self, run: str, outcome: Literal["completed", "failed"], reason: str | None, now: datetime) -> None:
        """Notes how a run ended that settled nothing."""
