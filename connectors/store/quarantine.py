"""Keeps the quarantine: records that could not be loaded, with the reason, until a retry succeeds
or a person discards them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa

from reconciliation.frame import arrow, of, strings
from reconciliation.history.context import OPEN
from reconciliation.ownership import CONFLICT
from reconciliation.ports import Marks
from reconciliation.settle import QUARANTINE
from reconciliation.spec import ProcessSpec

from . import schema as t
from .base import IN, Part, failing, naive

RETRIES_AT_ONCE = 2000
"""Maximum number of quarantined records that one run retries. Those that have waited longest come
first."""
EAGER_ATTEMPTS = 3
"""Number of attempts without a pause. Then the pause is 2 hours and doubles, up to 256 hours."""
BY_HAND = "by hand"
"""Value of ``run`` for an entry that was not made by a run."""
REFUSALS = 8
"""Number of refusals after which a record is retried only when it changes, when a person asks for
it, or in a sweep or full run."""


class Quarantine(Part):
    """The quarantine."""

    def retryable(self, process: str, now: datetime) -> list[str]:
        """Returns the keys whose next attempt is due, or whose awaited person is now linked."""
        q = t.quarantine.c
        query = sa.select(q.key).where(
            q.process == process, q.status == "open", q.key.is_not(None), _due(now)
        )
        with failing(), self.engine.connect() as connection:
            keys = connection.execute(
                query.order_by(q.last_seen, q.key).limit(RETRIES_AT_ONCE)
            ).scalars()
            return list(dict.fromkeys(str(key) for key in keys))

    def open_keys(self, process: str, *stages: str) -> list[str]:
        """Returns the keys of the open entries in these stages, due or not."""
        q = t.quarantine.c
        query = sa.select(q.key).where(
            q.process == process, q.status == "open", q.stage.in_(stages), q.key.is_not(None)
        )
        with failing(), self.engine.connect() as connection:
            return [
                str(key) for key in connection.execute(query.distinct().order_by(q.key)).scalars()
            ]

    def marks(self, process: str, now: datetime, *, whole: bool = False) -> Marks:
        """Returns the hashes of quarantined records that this run skips because they are not due.

        With ``whole`` (a run that reads everything) records that were refused :data:`REFUSALS`
        times are not skipped.
        """
        q = t.quarantine.c
        entries = sa.select(q.hash).where(q.process == process, q.hash.is_not(None))
        with failing(), self.engine.connect() as connection:
            # A record without a key cannot be requested by key, so it is never skipped.
            not_due = entries.where(q.status == "open", q.key.is_not(None), sa.not_(_due(now)))
            if whole:
                not_due = not_due.where(sa.or_(q.stage != "failed", q.next_attempt.is_not(None)))
            queries = (
                not_due.where(q.stage == "held"),
                not_due.where(q.stage != "held"),
                entries.where(q.status == "discarded"),
            )
            return Marks(
                *(
                    np.unique(np.fromiter(connection.execute(query).scalars(), np.int64))
                    for query in queries
                )
            )

    def known_bad(self, process: str) -> set[int]:
        """Returns the hashes of the rejected records with an open entry."""
        q = t.quarantine.c
        query = sa.select(q.hash).where(
            q.process == process, q.status == "open", q.stage == "rejected"
        )
        with failing(), self.engine.connect() as connection:
            return set(connection.execute(query).scalars())

    def quarantine(
        self,
        connection: sa.Connection,
        run: str,
        spec: ProcessSpec,
        rows: pd.DataFrame,
        landed: Sequence[str | None],
        now: datetime,
    ) -> None:
        """Adds or updates entries for ``rows`` (``settle.QUARANTINE``), and closes the entries of
        keys that have ``landed``."""
        q = t.quarantine.c
        moment = naive(now)
        # An entry made by hand keeps the scope that its record was read with.
        scope = {} if run == BY_HAND else {"fingerprint": spec.fingerprint()}
        self._leave(connection, spec.name, landed, "replayed", moment)
        keys = [str(key) for key in strings(rows["key"]) if key is not None]
        known = sa.select(q.id, q.key, q.hash, q.attempts, q.stage, q.status).where(
            q.process == spec.name
        )
        without_key = known.where(q.status == "open", q.key.is_(None))
        # If a person has discarded an entry of stage "gone", the next sweep must not add it again.
        with_key = known.where(
            (q.status == "open") | ((q.status == "discarded") & (q.stage == "gone"))
        )
        existing = list(connection.execute(without_key)) if len(rows) else []
        for i in range(0, len(keys), IN):
            existing += connection.execute(with_key.where(q.key.in_(keys[i : i + IN])))
        # Records without a key are identified by their hash: equal ones share an entry.
        by_identity = {(row.key, row.hash if row.key is None else None): row for row in existing}
        fresh: dict[object, dict[str, Any]] = {}
        again: list[dict[str, Any]] = []
        for row in zip(*(arrow(rows[name]).to_pylist() for name in QUARANTINE), strict=True):
            values: dict[str, Any] = dict(zip(QUARANTINE, row, strict=True))
            identity = (values["key"], values["hash"] if values["key"] is None else None)
            before = by_identity.get(identity)
            if before is not None and before.status == "discarded":
                continue
            attempts = before.attempts + 1 if before else 1
            values |= {
                "attempts": attempts,
                "last_seen": moment,
                "next_attempt": _next(values["stage"], attempts, moment),
                "run": run,
                **scope,
            }
            if before is not None:
                again.append({**values, "row": before.id})
            else:
                fresh[identity] = {
                    **values,
                    "process": spec.name,
                    "feed": spec.feed,
                    "first_seen": moment,
                    "status": "open",
                }
        if fresh:
            connection.execute(t.quarantine.insert(), list(fresh.values()))
        if again:
            changed: dict[str, Any] = {
                name: sa.bindparam(name) for name in again[0] if name not in ("row", "key")
            }
            connection.execute(
                t.quarantine.update().where(q.id == sa.bindparam("row")).values(changed), again
            )

    def release(
        self,
        connection: sa.Connection,
        run: str,
        process: str,
        gone: Sequence[str],
        now: datetime,
        *,
        looked_again: bool,
        whole: bool,
    ) -> None:
        """Closes entries of records that the source no longer has.

        Args:
            connection: the transaction.
            run: the run's ID.
            process: the process's name.
            gone: keys that were requested and that the source did not return.
            now: the current time (UTC).
            looked_again: also close the entries without a key that this run has not updated.
            whole: the run was a sweep. Records of stage "gone" that it did not find gone are back,
                so their entries are closed.
        """
        q, moment = t.quarantine.c, naive(now)
        untouched = (q.process == process) & (q.status == "open") & (q.run != run)
        self._leave(connection, process, gone, "vanished", moment)
        if looked_again:
            connection.execute(
                t.quarantine.update()
                .where(untouched, q.key.is_(None))
                .values(status="vanished", last_seen=moment)
            )
        if whole:
            connection.execute(
                t.quarantine.update()
                .where(untouched, q.stage == "gone")
                .values(status="replayed", last_seen=moment)
            )

    def _leave(
        self,
        connection: sa.Connection,
        process: str,
        keys: Sequence[str | None],
        status: str,
        moment: datetime,
    ) -> None:
        """Closes the open entries of these keys with a status."""
        q = t.quarantine.c
        entries = (q.process == process) & (q.status == "open")
        if not keys or connection.execute(sa.select(q.id).where(entries).limit(1)).first() is None:
            return
        for i in range(0, len(keys), IN):
            connection.execute(
                t.quarantine.update()
                .where(entries, q.key.in_(keys[i : i + IN]))
                .values(status=status, last_seen=moment)
            )

    # -- for the console --------------------------------------------------------------------------

    def retry_now(self, process: str, keys: Sequence[str] | None) -> int:
        """Makes open entries due for the next run: those with these keys, or all of the process.
        Returns how many."""
        q = t.quarantine.c
        query = t.quarantine.update().where(
            q.process == process, q.status == "open", q.key.is_not(None), q.stage != "gone"
        )
        if keys is not None:
            query = query.where(q.key.in_(keys))
        with failing(), self.engine.begin() as connection:
            return int(
                connection.execute(query.values(next_attempt=q.first_seen, waits_for=None)).rowcount
            )

    def to_replay(self, process: str, keys: Sequence[str] | None) -> dict[str | None, list[str]]:
        """Maps the fingerprint of each scope to the keys of the open entries read with it. ``keys``
        limits the entries; ``None`` means all of the process."""
        q = t.quarantine.c
        query = sa.select(q.fingerprint, q.key).where(
            q.process == process, q.status == "open", q.key.is_not(None), q.stage != "gone"
        )
        query = query if keys is None else query.where(q.key.in_(keys))
        by_scope: dict[str | None, list[str]] = {}
        with failing(), self.engine.connect() as connection:
            for fingerprint, key in connection.execute(query.order_by(q.first_seen, q.id)).tuples():
                by_scope.setdefault(fingerprint, []).append(key)
        return by_scope

    def discard(self, entry: int, reason: str) -> bool:
        """Stores a person's decision not to load a record in its current state. Returns false if
        the entry is not open.

        When the record changes, runs read it again.
        """
        q = t.quarantine.c
        query = t.quarantine.update().where(q.id == entry, q.status == "open")
        with failing(), self.engine.begin() as connection:
            return bool(connection.execute(query.values(status="discarded", note=reason)).rowcount)

    def quarantined(
        self,
        process: str | None = None,
        limit: int = 200,
        stage: str | None = None,
        reason: str | None = None,
    ) -> list[dict[str, Any]]:
        """Returns open entries, oldest first."""
        q = t.quarantine.c
        query = sa.select(t.quarantine).where(q.status == "open")
        query = query.where(q.process == process) if process else query
        query = query.where(q.stage == stage) if stage else query
        query = query.where(q.reason == reason) if reason else query
        with failing(), self.engine.connect() as connection:
            return [
                dict(row)
                for row in connection.execute(
                    query.order_by(q.first_seen, q.id).limit(limit)
                ).mappings()
            ]

    def unlinked(self, processes: Sequence[str], limit: int) -> list[dict[str, Any]]:
        """Returns open entries of records that these processes could not match with exactly one
        row, oldest first."""
        q = t.quarantine.c
        query = sa.select(t.quarantine).where(
            q.status == "open",
            q.stage == "held",
            q.process.in_(processes),
            q.waits_for.is_(None),
            q.field != "(link)",
            q.reason != CONFLICT,
        )
        with failing(), self.engine.connect() as connection:
            rows = connection.execute(query.order_by(q.first_seen, q.id).limit(limit)).mappings()
            return [dict(row) for row in rows]

    def entries_of(self, key: str) -> list[dict[str, Any]]:
        """Returns all entries of a key and those that wait for it, in any status."""
        q = t.quarantine.c
        with failing(), self.engine.connect() as connection:
            rows = connection.execute(
                sa.select(t.quarantine).where((q.key == key) | (q.waits_for == key)).order_by(q.id)
            ).mappings()
            return [dict(row) for row in rows]

    def open_entries(self, process: str) -> pd.DataFrame:
        """Returns the open entries and those that a person has discarded (with stage ``discarded``)
        as a frame ``context.OPEN``, with the hash of each record."""
        q = t.quarantine.c
        stage = sa.case((q.status == "discarded", "discarded"), else_=q.stage)
        query = sa.select(q.key, q.hash, stage, q.reason)
        query = query.where(
            q.process == process, q.key.is_not(None), q.status.in_(("open", "discarded"))
        )
        with failing(), self.engine.connect() as connection:
            return of(OPEN, [tuple(row) for row in connection.execute(query.order_by(q.id))])

    def quarantine_entry(self, entry: int) -> dict[str, Any] | None:
        """Returns one entry in any status, or ``None``."""
        with failing(), self.engine.connect() as connection:
            row = (
                connection.execute(sa.select(t.quarantine).where(t.quarantine.c.id == entry))
                .mappings()
                .first()
            )
            return dict(row) if row else None

    def quarantine_counts(self) -> dict[tuple[str, str], int]:
        """Maps (process, stage) to the number of open entries."""
        q = t.quarantine.c
        query = (
            sa.select(q.process, q.stage, sa.func.count())
            .where(q.status == "open")
            .group_by(q.process, q.stage)
        )
        with failing(), self.engine.connect() as connection:
            return {(row[0], row[1]): int(row[2]) for row in connection.execute(query)}


def _due(now: datetime) -> sa.ColumnElement[bool]:
    """Condition for an entry to be due: its time has come or, if it waits for a person, the person
    is linked."""
    q, link = t.quarantine.c, t.link.alias()
    # ``waits_for`` may be a key of either side. A record that is retried too early just waits on.
    arrived = sa.exists().where(
        (link.c.source_key == q.waits_for) | (link.c.target_key == q.waits_for),
        link.c.entity == "employees",
    )
    timely = q.next_attempt.is_not(None) & (q.next_attempt <= naive(now))
    return sa.case((q.waits_for.is_(None), timely), else_=arrived)


def _next(stage: str, attempts: int, moment: datetime) -> datetime | None:
    """Returns the time of the next attempt. ``None`` means: only when the record changes, when a
    person asks for it, or when everything is read."""
    if stage == "gone" or (stage == "failed" and attempts >= REFUSALS):
        return None
    return moment + (
        timedelta(hours=2.0 ** min(attempts - EAGER_ATTEMPTS, 8))
        if attempts > EAGER_ATTEMPTS
        else timedelta(0)
    )
