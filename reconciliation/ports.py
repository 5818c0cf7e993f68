"""What the path needs of the world: a source, a target and a store."""

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
"""How a run ends. stopped: its plan was past the guard, or is no longer right. skipped: there was
nothing for it to do."""
Hashes = np.ndarray[Any, np.dtype[np.int64]]
"""Hashes of records, sorted."""
NO_HASHES: Hashes = np.empty(0, dtype=np.int64)
"""No record is known."""


class Source(Protocol):
    """Reads feeds. Raises CredentialsRefused, SourceFailed, Misconfigured."""

    name: str

    @property
    def requests(self) -> int:
        """Requests made so far, retries among them."""
        ...

    def kinds(self, feed: str) -> Mapping[str, str]:
        """The feed's columns, name -> kind."""

    def updated_column(self, feed: str, column: str | None) -> str | None:
        """``column`` if this tenant's feed has it, else ``None``."""

    def read(
        self,
        feed: str,
        columns: Sequence[str],
        custom: Sequence[str],
        ask: Ask,
        known: Hashes,
        seed: str,
    ) -> Snapshot:
        """One read: ``columns`` (feed names), ``custom`` fields, and ``hash`` seeded with
        ``seed``."""


class TargetReader(Protocol):
    """A target that can be looked at, and not written. Raises TargetFailed."""

    name: str

    def population(self, entity: str) -> int:
        """How many rows the entity has."""

    def read(
        self, entity: str, columns: Mapping[str, str], lookups: Mapping[str, Sequence[str]] | None
    ) -> Snapshot:
        """The rows whose value in any of the ``lookups`` columns is one of its values, whatever the
        case of the letters; ``None``: all.

        A target that gives keys of its own has no row for a provisional key (``new:…``).
        """

    def rejections(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Receipts of the ``changes`` (of a Plan) that are not sent, with the reason: ``failed``
        where they break the target's rules, ``unsupported`` where the target has no place for
        them."""


class Target(TargetReader, Protocol):
    """What is written: an HR system, or accessplanit on the way back. Raises TargetFailed."""

    batch: int
    """Changes that one :meth:`apply` takes: what an interruption leaves in doubt."""

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Carries out ``changes`` (of a Plan); a frame of ``receipts.RECEIPTS``, one row per
        change, in their order.

        A row that the system refuses is a receipt. A fault of the system (credentials, rights, no
        answer, too many requests, 5xx, an answer that is not its own, a locked or full database) is
        no fault of a row: it ends the call.

        Raises:
            Refused: none of them was carried out, because of at least one; they are tried again in
                halves.
            CredentialsRefused, TargetFailed, Misconfigured: the system cannot be written to.
                ``answered`` of the error has the receipts of what was surely answered
                (``receipts.after``). The fate of the others is unknown: their intent stays open,
                and the next run reads what became of them.
        """


@runtime_checkable
class LeavesTraces(Protocol):
    """A target whose reading changes something, such as files that are taken in."""

    def untouched(self) -> AbstractContextManager[HrSystem]:
        """The same as it would be found now, as a copy: whatever is done with it leaves the system
        as it is."""


class HrSystem(Target, Protocol):
    """An HR system, in both directions. ``docs/add-an-hr-system.md`` tells how to make one.

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
        """As :meth:`Target.read`, each row once; of those changed at ``since`` or later, where the
        system can tell.

        A row that cannot be read is in ``rejected``, with its key if that can be; its ``hash`` is
        null.
        """

    def forget(self, person: Person) -> Erased:
        """Erases what the connector itself keeps of a person: files, copies. The rows of the system
        are its own.

        Raises:
            TargetFailed: it cannot be erased now; the same call may be made again.
        """

    def close(self) -> None:
        """Ends what it has opened."""


@dataclass(frozen=True)
class Intent:
    """Changes ``start`` to ``stop`` of a plan that were about to be sent. closed: their receipts
    are written."""

    id: int
    digest: str
    start: int
    stop: int


@dataclass(frozen=True)
class Batch:
    """The receipts of one intent, ``changes`` being the plan's rows that it named."""

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
    """The sync store. Raises StoreFailed."""

    def lease(self, process: str, run: str, patience: float = 0.0) -> AbstractContextManager[bool]:
        """Within it no other run of the process writes; false if another run holds it, and for
        ``patience`` seconds on."""

    def start(
        self, run: str, spec: ProcessSpec, mode: str, now: datetime, flow_run: str | None
    ) -> None:
        """Notes that a run has begun."""

    def finish(self, run: str, outcome: Outcome, reason: str | None, now: datetime) -> None:
        """Notes how a run ended that settled nothing."""

    def covered(self, process: str, fingerprint: str, moment: datetime, sweep: bool) -> bool:
        """Whether a completed run of this process and scope began at or after ``moment``; a sweep,
        if one was wanted."""

    def known(self, process: str) -> Hashes:
        """The hashes of all landed records, sorted."""

    def watermark(self, process: str, fingerprint: str) -> Watermark:
        """How far this process with this scope has come."""

    def links(
        self,
        entity: str,
        source_keys: Sequence[str] | None = None,
        target_keys: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """The links of these keys, or all."""

    def agreed(self, pair: str, keys: Sequence[str]) -> pd.DataFrame:
        """What both sides last agreed on of these accessplanit records (``ownership.AGREED``)."""

    def origin(self, spec: ProcessSpec) -> pd.DataFrame:
        """``sweep.ORIGIN``: which record each row of the target comes from that this process has
        loaded or linked."""

    def gone(self, process: str) -> list[str]:
        """Keys of the records that the source has no more, as an earlier run has found out, and
        whose row the target still has."""

    def hints(self, process: str, taken: datetime | None = None) -> tuple[Hint, ...]:
        """Hints that no run of this process has heard, one for each record.

        taken: when a run begins to read what they name; what is said from then on is a hint of its
        own.
        """

    def retryable(self, process: str, now: datetime) -> list[str]:
        """Keys in quarantine whose next attempt is due, or whose person has arrived."""

    def open_keys(self, process: str, *stages: str) -> list[str]:
        """Keys of the open entries of the quarantine in these stages, due or not."""

    def marks(self, process: str, now: datetime, *, whole: bool = False) -> Marks:
        """Hashes of the records in quarantine that are not to be looked at now.

        ``whole``: the run reads everything, and looks again at records that were refused too often
        to be tried by themselves.
        """

    def known_bad(self, process: str) -> set[int]:
        """Hashes of the rejected records that are open in quarantine."""

    def part(self, spec: ProcessSpec, part: Range) -> Snapshot | None:
        """A part of the sweep that is under way, as it was read; ``None`` if it must be read."""

    def keep_part(
        self,
        spec: ProcessSpec,
        part: Range,
        read: Snapshot,
        began: datetime,
        run: str | None = None,
    ) -> None:
        """Keeps a part of a sweep that was read to its end.

        Args:
            began: when the sweep began (UTC).
            run: the run whose lease is checked.
        """

    def sweeping_since(self, spec: ProcessSpec, now: datetime) -> datetime | None:
        """When the sweep began that is under way and can be taken up; ``None`` if there is none."""

    def versions(self, spec: ProcessSpec, until: datetime | None = None) -> pd.DataFrame:
        """``versions.VERSIONS``: what is known of the rows of a process's target, ``until`` a
        moment, in the order in which it was learnt."""

    def observe(self, spec: ProcessSpec, rows: pd.DataFrame, run: str, now: datetime) -> int:
        """Notes what all rows of the target look like (``key`` and the managed columns); returns
        how many were not known to be so."""

    def open_entries(self, process: str) -> pd.DataFrame:
        """``history.context.OPEN``: what is in quarantine, and what a person has discarded."""

    def salt(self) -> bytes:
        """What is mixed into digests that leave the store: the same for all who use it, and known
        to nobody else."""

    def keep_plan(
        self, plan: Plan, spec: ProcessSpec, now: datetime, run: str | None = None
    ) -> None:
        """Keeps the plan under its digest; one without changes is not kept. run: whose lease is
        checked."""

    def intend(
        self, run: str, spec: ProcessSpec, digest: str, start: int, stop: int, now: datetime
    ) -> Intent:
        """Notes changes that are about to be sent."""

    def receive(
        self, run: str, spec: ProcessSpec, batch: Batch, now: datetime, *, closes: bool = True
    ) -> None:
        """Writes the receipts of an intent to the ledger and closes it, unless some of its changes
        have none yet.

        A change that has a receipt keeps it.
        """

    def open_intents(self, process: str) -> list[tuple[Intent, Plan]]:
        """Intents without receipts, each with the part of the plan that it names; a row of somebody
        who was forgotten is empty."""

    def settle(
        self,
        run: str,
        draft: Draft,
        settled: Settled,
        last: Batch | None,
        now: datetime,
        failure: str | None = None,
    ) -> tuple[str, ...]:
        """Writes everything that a run leaves, in one transaction, with the receipts of its last
        batch.

        ``failure``: the run ends as failed for this reason, and the watermark stays. Returns what
        is new about the feed's fields.
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
        """Keeps a draft to be applied by the digest of its plan. run: whose lease is checked."""

    def waiting(self, process: str, fingerprint: str, now: datetime) -> tuple[str, str] | None:
        """(digest, flow run) of the plan of this process that waits for an approval in Prefect."""

    def draft(self, digest: str) -> Draft:
        """The draft under a digest, to be applied.

        Raises:
            StalePlan: there is none, it has been applied, rejected or redacted, or it does not have
                this digest.
        """

    def begun(self, digest: str) -> bool:
        """Whether a run was ever about to send changes of this plan."""

    def take_plan(self, digest: str, spec: ProcessSpec, run: str) -> None:
        """Notes that a run begins to apply a draft: until it ends, nobody rejects the plan.

        Raises:
            StalePlan: somebody has decided otherwise since the draft was read.
        """

    def close_plan(
        self, digest: str, status: Literal["rejected", "stale"], run: str | None = None
    ) -> bool:
        """Notes that a draft is not to be applied; :meth:`settle` notes that it was. run: the run
        that applies it, if it says so.

        Returns whether it was closed: not if another run is applying it, or if somebody has decided
        on it before.
        """
