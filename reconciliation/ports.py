"""The protocols that a run needs: a source, a target and a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from .ask import Ask, Range
from .capabilities import Capabilities
from .draft import Draft
from .hints import Hint
from .person import Erased, Person
from .plan import Plan
from .settle import Settled
from .snapshot import Snapshot
from .spec import ProcessSpec
from .watermark import Watermark

Outcome = Literal["completed", "failed", "stopped", "skipped"]
"""How a run ends. ``stopped``: its plan exceeded the guard or is out of date. ``skipped``: there
was nothing to do."""
Hashes = np.ndarray[Any, np.dtype[np.int64]]
"""Hashes of records, sorted."""
NO_HASHES: Hashes = np.empty(0, dtype=np.int64)
"""No known records."""


class Source(Protocol):
    """A source: reads feeds. Raises CredentialsRefused, SourceFailed, Misconfigured."""

    name: str

    @property
    def requests(self) -> int:
        """Number of requests made so far, retries included."""
        ...

    def kinds(self, feed: str) -> Mapping[str, str]:
        """Returns the feed's columns, name -> kind."""

    def updated_column(self, feed: str, column: str | None) -> str | None:
        """Returns ``column`` if this tenant's feed has it, else ``None``."""

    def read(
        self,
        feed: str,
        columns: Sequence[str],
        custom: Sequence[str],
        ask: Ask,
        known: Hashes,
        seed: str,
    ) -> Snapshot:
        """Reads the records of one question.

        Args:
            feed: the name of the feed.
            columns: the columns to read, by the feed's names.
            custom: the custom fields to read.
            ask: the question.
            known: hashes of known records, sorted; with ``ask.skip_known`` these records are
                skipped.
            seed: hexadecimal seed of the column ``hash``.
        """


class TargetReader(Protocol):
    """A target that can be read but not written. Raises TargetFailed."""

    name: str

    def population(self, entity: str) -> int:
        """Returns the number of rows of the entity."""

    def read(
        self, entity: str, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None
    ) -> Snapshot:
        """Reads the rows that match any of the ``lookups`` (column -> values), ignoring case;
        ``None``: all rows.

        A target that gives keys of its own has no row for a provisional key (``new:…``).
        """

    def rejections(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Returns receipts, with the reason, of those ``changes`` (of a Plan) that must not be
        sent: ``failed`` if they break the target's rules, ``unsupported`` if it cannot hold
        them."""


class Target(TargetReader, Protocol):
    """A target that can be written: an HR system, or accessplanit in the direction from HR. Raises
    TargetFailed."""

    batch: int
    """Number of changes in one call of :meth:`apply`. After an interruption, the fate of so many
    changes may be unknown."""

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Carries out ``changes`` (of a Plan). Returns ``receipts.RECEIPTS``: one row per change,
        in their order.

        If the system refuses a row, its receipt says so. A fault of the system (credentials,
        rights, no answer, too many requests, 5xx, an answer from something else, a locked or full
        database) is not the fault of a row: it ends the call with an error.

        Raises:
            Refused: none of the changes was carried out because of at least one of them. They are
                tried again in halves.
            CredentialsRefused, TargetFailed, Misconfigured: the system cannot be written to.
                ``answered`` of the error has the receipts of the changes that were certainly
                answered (``receipts.after``). The fate of the others is unknown: their intent stays
                open, and the next run finds out.
        """


@runtime_checkable
class LeavesTraces(Protocol):
    """A target that changes when it is read, for example because it takes files in."""

    def untouched(self) -> AbstractContextManager[HrSystem]:
        """Returns a copy of the system in its present state. Nothing that is done with the copy
        changes the system."""


class HrSystem(Target, Protocol):
    """An HR system, in both directions. ``docs/add-an-hr-system.md`` shows how to write one.

    Raises CredentialsRefused, TargetFailed, Misconfigured.
    """

    capabilities: Capabilities

    def read(
        self,
        entity: str,
        columns: Mapping[str, str],
        lookups: Mapping[str, Sequence[str]] | None = None,
        since: datetime | None = None,
    ) -> Snapshot:
        """Reads rows as :meth:`Target.read` does, each row once. With ``since``, only rows changed
        at or after that moment, if the system can tell.

        A row that cannot be read is in ``rejected``, with its key if that is readable; its ``hash``
        is null.
        """

    def forget(self, person: Person) -> Erased:
        """Erases the data about a person that the connector itself keeps, such as files and copies.
        The rows of the HR system are left alone.

        Raises:
            TargetFailed: it cannot be erased now; the call may be repeated.
        """

    def close(self) -> None:
        """Closes connections and files."""


@dataclass(frozen=True)
class Intent:
    """Changes of a plan that were about to be sent: positions ``start`` to ``stop`` (exclusive). An
    intent is closed when their receipts are written."""

    id: int
    digest: str
    start: int
    stop: int


@dataclass(frozen=True)
class Batch:
    """The receipts of one intent, with the plan's ``changes`` that it names."""

    intent: Intent
    changes: pd.DataFrame
    receipts: pd.DataFrame


@dataclass(frozen=True)
class Marks:
    """Sorted hashes of records in quarantine that this run leaves alone."""

    held: Hashes
    """Held records whose next attempt is not due."""
    resting: Hashes
    """Other records whose next attempt is not due."""
    discarded: Hashes
    """Records that a person has discarded."""


class Store(Protocol):
    """The sync store: everything that hrsync remembers between runs. Raises StoreFailed."""

    def lease(self, process: str, run: str, patience: float = 0.0) -> AbstractContextManager[bool]:
        """Context manager within which no other run of the process writes. It yields false if
        another run holds the lease and keeps it for ``patience`` seconds."""

    def start(
        self, run: str, spec: ProcessSpec, mode: str, now: datetime, flow_run: str | None
    ) -> None:
        """Notes that a run has begun."""

    def finish(self, run: str, outcome: Outcome, reason: str | None, now: datetime) -> None:
        """Notes how a run ended that has not settled its results."""

    def covered(self, process: str, fingerprint: str, moment: datetime, sweep: bool) -> bool:
        """Whether a completed run of this process and scope began at or after ``moment``. With
        ``sweep``, only a sweep counts."""

    def known(self, process: str) -> Hashes:
        """Returns the sorted hashes of all records that have landed."""

    def watermark(self, process: str, fingerprint: str) -> Watermark:
        """Returns the watermark of this process with this scope."""

    def links(
        self,
        entity: str,
        source_keys: Sequence[str] | None = None,
        target_keys: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Returns the links of these keys, or all links."""

    def agreed(self, pair: str, keys: Sequence[str]) -> pd.DataFrame:
        """Returns the last agreements about these accessplanit records (``ownership.AGREED``)."""

    def origin(self, spec: ProcessSpec) -> pd.DataFrame:
        """Returns ``sweep.ORIGIN``: the record behind each row of the target that this process has
        loaded or linked."""

    def gone(self, process: str) -> list[str]:
        """Returns the keys of records that an earlier run found gone from the source, and whose row
        the target still has."""

    def hints(self, process: str, taken: datetime | None = None) -> tuple[Hint, ...]:
        """Returns the hints that no run of this process has processed yet, one for each record.

        ``taken`` is the moment at which a run begins to read the records that they name; it is
        noted with them. Later notifications become new hints.
        """

    def retryable(self, process: str, now: datetime) -> list[str]:
        """Returns the keys in quarantine whose next attempt is due, or whose person has arrived."""

    def open_keys(self, process: str, *stages: str) -> list[str]:
        """Returns the keys of open quarantine entries in these stages, whether due or not."""

    def marks(self, process: str, now: datetime, *, whole: bool = False) -> Marks:
        """Returns the hashes of records in quarantine that this run leaves alone.

        With ``whole`` the run reads everything. It then also retries records that were refused too
        often to be retried automatically.
        """

    def known_bad(self, process: str) -> set[int]:
        """Returns the hashes of rejected records with an open quarantine entry."""

    def part(self, spec: ProcessSpec, part: Range) -> Snapshot | None:
        """Returns a saved part of the sweep in progress; ``None`` if it must be read."""

    def keep_part(
        self,
        spec: ProcessSpec,
        part: Range,
        read: Snapshot,
        began: datetime,
        run: str | None = None,
    ) -> None:
        """Saves a part of a sweep that was read completely.

        Args:
            began: when the sweep began (UTC).
            run: the run whose lease is checked.
        """

    def sweeping_since(self, spec: ProcessSpec, now: datetime) -> datetime | None:
        """Returns when the interrupted sweep began that can be continued; ``None`` if there is
        none."""

    def versions(self, spec: ProcessSpec, until: datetime | None = None) -> pd.DataFrame:
        """Returns ``versions.VERSIONS`` of the rows of the process's target, in the order in which
        they were learnt; with ``until``, only those known until that moment."""

    def observe(self, spec: ProcessSpec, rows: pd.DataFrame, run: str, now: datetime) -> int:
        """Compares all rows of the target (``key`` and the managed columns) with the ledger and
        stores new versions. Returns the number of new versions."""

    def open_entries(self, process: str) -> pd.DataFrame:
        """Returns ``history.context.OPEN``: open quarantine entries and discarded records."""

    def salt(self) -> bytes:
        """Returns the secret that is mixed into digests. It is the same for all users of the
        store."""

    def keep_plan(
        self, plan: Plan, spec: ProcessSpec, now: datetime, run: str | None = None
    ) -> None:
        """Stores the plan under its digest, unless it has no changes. If ``run`` is given, its
        lease is checked."""

    def intend(
        self, run: str, spec: ProcessSpec, digest: str, start: int, stop: int, now: datetime
    ) -> Intent:
        """Notes that the changes ``start`` to ``stop`` of a plan are about to be sent."""

    def receive(
        self, run: str, spec: ProcessSpec, batch: Batch, now: datetime, *, closes: bool = True
    ) -> None:
        """Writes the receipts of an intent to the ledger, and closes the intent.

        With ``closes`` false the intent stays open, because some of its changes have no receipt
        yet. A change that already has a receipt keeps it.
        """

    def open_intents(self, process: str) -> list[tuple[Intent, Plan]]:
        """Returns the open intents, each with the part of the plan that it names. The row of a
        forgotten person is empty."""

    def settle(
        self,
        run: str,
        draft: Draft,
        settled: Settled,
        last: Batch | None,
        now: datetime,
        failure: str | None = None,
    ) -> tuple[str, ...]:
        """Writes all results of a run in one transaction, with the receipts of its last batch.

        With ``failure`` the run ends as failed for this reason, and the watermark does not move.
        Returns the changes in the feed's fields that are new.
        """

    def keep_draft(
        self,
        draft: Draft,
        status: Literal["made", "waiting"],
        now: datetime,
        flow_run: str | None,
        until: datetime,
        run: str | None = None,
    ) -> None:
        """Stores a draft, to be applied by the digest of its plan. If ``run`` is given, its lease
        is checked."""

    def waiting(self, process: str, fingerprint: str, now: datetime) -> tuple[str, str] | None:
        """Returns (digest, flow run) of the plan of this process that waits for an approval in
        Prefect."""

    def draft(self, digest: str) -> Draft:
        """Returns the draft with a digest, to be applied.

        Raises:
            StalePlan: there is none; it was applied, rejected or redacted; or its content does not
                match the digest.
        """

    def begun(self, digest: str) -> bool:
        """Whether any run has begun to send changes of this plan."""

    def take_plan(self, digest: str, spec: ProcessSpec, run: str) -> None:
        """Notes that a run begins to apply a draft. Until it ends, the plan cannot be rejected.

        Raises:
            StalePlan: somebody has decided otherwise since the draft was read.
        """

    def close_plan(
        self, digest: str, status: Literal["rejected", "stale"], run: str | None = None
    ) -> bool:
        """Notes that a draft will not be applied (:meth:`settle` notes that it was). ``run`` is
        given if the run that applies the draft closes it.

        Returns false if another run is applying it, or somebody has already decided on it.
        """
