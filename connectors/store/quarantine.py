"""Records that did not go through: kept with their reason, tried again, discarded by a person."""

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
"""Quarantined records that one run looks at again, the longest waiting first."""
EAGER_ATTEMPTS = 3
"""Number of runs that look at a quarantined record again at once; then the pause doubles, from an
hour."""
BY_HAND = "by hand"
"""Instead of a run, where a person has entered a record."""
REFUSALS = 8
"""Refusals after which a record waits until it changes, somebody asks for it, or a sweep or a full
run comes by."""


class Quarantine(Part):
    """The quarantine."""

    def retryable(self, process: str, now: datetime) -> list[str]:
        """Keys in quarantine whose next attempt is due, or whose person has arrived."""
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
        """Keys of the open entries of these stages, due or not."""
        q = t.quarantine.c
        query = sa.select(q.key).where(
            q.process == process, q.status == "open", q.stage.in_(stages), q.key.is_not(None)
        )
        with failing(), self.engine.connect() as connection:
            return [
                str(key) for key in connection.execute(query.distinct().order_by(q.key)).scalars()
            ]

    def marks(self, process: str, now: datetime, *, whole: bool = False) -> Marks:
        """Hashes of the records in quarantine that are not to be looked at now.

        ``whole``: the run reads everything, and looks again at records that were refused
        :data:`REFUSALS` times.
        """
        q = t.quarantine.c
        mine = sa.select(q.hash).where(q.process == process, q.hash.is_not(None))
        with failing(), self.engine.connect() as connection:
            # A record without a key cannot be asked for; it is looked at whenever it comes by.
            rests = mine.where(q.status == "open", q.key.is_not(None), sa.not_(_due(now)))
            rests = (
                rests.where(sa.or_(q.stage != "failed", q.next_attempt.is_not(None)))
                if whole
                else rests
            )
            queries = (
                rests.where(q.stage == "held"),
                rests.where(q.stage != "held"),
                mine.where(q.status == "discarded"),
            )
            return Marks(
                *(
                    np.unique(np.fromiter(connection.execute(query).scalars(), np.int64))
                    for query in queries
                )
            )

    def known_bad(self, process: str) -> set[int]:
        """Hashes of the rejected records that are open in quarantine."""
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
        """Enters ``rows`` (``settle.QUARANTINE``) and releases the keys that have ``landed``."""
        q = t.quarantine.c
        moment = naive(now)
        # A record that was entered by hand has no scope of its own.
        scope = {} if run == BY_HAND else {"fingerprint": spec.fingerprint()}
        mine = (q.process == spec.name) & (q.status == "open")
        self._leave(connection, spec.name, landed, "replayed", moment)
        came = [str(key) for key in strings(rows["key"]) if key is not None]
        known = sa.select(q.id, q.key, q.hash, q.attempts, q.stage, q.status).where(
            q.process == spec.name
        )
        # What somebody has discarded as gone is not entered again by the next sweep.
        kept = known.where((q.status == "open") | ((q.status == "discarded") & (q.stage == "gone")))
        found = list(connection.execute(known.where(mine, q.key.is_(None)))) if len(rows) else []
        for i in range(0, len(came), IN):
            found += connection.execute(kept.where(q.key.in_(came[i : i + IN])))
        # A record without a key is known by its bytes: several that are alike are one entry.
        seen = {(row.key, row.hash if row.key is None else None): row for row in found}
        fresh: dict[object, dict[str, Any]] = {}
        again: list[dict[str, Any]] = []
        for row in zip(*(arrow(rows[name]).to_pylist() for name in QUARANTINE), strict=True):
            values: dict[str, Any] = dict(zip(QUARANTINE, row, strict=True))
            identity = (values["key"], values["hash"] if values["key"] is None else None)
            before = seen.get(identity)
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
            gone: keys that were asked for and did not answer.
            now: the moment (UTC).
            looked_again: records without a key that did not come again are closed too.
            whole: the run was a sweep: records that it did not find gone have come back.
        """
        q, moment = t.quarantine.c, naive(now)
        mine = (q.process == process) & (q.status == "open") & (q.run != run)
        self._leave(connection, process, gone, "vanished", moment)
        if looked_again:
            connection.execute(
                t.quarantine.update()
                .where(mine, q.key.is_(None))
                .values(status="vanished", last_seen=moment)
            )
        if whole:
            connection.execute(
                t.quarantine.update()
                .where(mine, q.stage == "gone")
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
        q = t.quarantine.c
        mine = (q.process == process) & (q.status == "open")
        if not keys or connection.execute(sa.select(q.id).where(mine).limit(1)).first() is None:
            return
        for i in range(0, len(keys), IN):
            connection.execute(
                t.quarantine.update()
                .where(mine, q.key.in_(keys[i : i + IN]))
                .values(status=status, last_seen=moment)
            )

    # -- what people ask and do -------------------------------------------------------------------

    def retry_now(self, process: str, keys: Sequence[str] | None) -> int:
        """Lets the next run look at these open entries again (all of the process if none are
        named); returns how many."""
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
        """Fingerprint -> keys of the open entries, all or those named, that it was read with."""
        q = t.quarantine.c
        query = sa.select(q.fingerprint, q.key).where(
            q.process == process, q.status == "open", q.key.is_not(None), q.stage != "gone"
        )
        query = query if keys is None else query.where(q.key.in_(keys))
        found: dict[str | None, list[str]] = {}
        with failing(), self.engine.connect() as connection:
            for fingerprint, key in connection.execute(query.order_by(q.first_seen, q.id)).tuples():
                found.setdefault(fingerprint, []).append(key)
        return found

    def discard(self, entry: int, reason: str) -> bool:
        """A person decides not to load this record as it is now; false if the entry is not open.

        When the record changes it is looked at again.
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
        """Open entries of the quarantine, oldest first."""
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
        """Open entries of records that these processes could not match with one row, oldest
        first."""
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
        """All entries of a key, or that wait for it, whatever their status."""
        q = t.quarantine.c
        with failing(), self.engine.connect() as connection:
            rows = connection.execute(
                sa.select(t.quarantine).where((q.key == key) | (q.waits_for == key)).order_by(q.id)
            ).mappings()
            return [dict(row) for row in rows]

    def open_entries(self, process: str) -> pd.DataFrame:
        """``context.OPEN``: what is in quarantine, and what a person has discarded (stage
        ``discarded``), with the hash it had."""
        q = t.quarantine.c
        stage = sa.case((q.status == "discarded", "discarded"), else_=q.stage)
        query = sa.select(q.key, q.hash, stage, q.reason)
        query = query.where(
            q.process == process, q.key.is_not(None), q.status.in_(("open", "discarded"))
        )
        with failing(), self.engine.connect() as connection:
            return of(OPEN, [tuple(row) for row in connection.execute(query.order_by(q.id))])

    def quarantine_entry(self, entry: int) -> dict[str, Any] | None:
        """One entry, whatever its status."""
        with failing(), self.engine.connect() as connection:
            row = (
                connection.execute(sa.select(t.quarantine).where(t.quarantine.c.id == entry))
                .mappings()
                .first()
            )
            return dict(row) if row else None

    def quarantine_counts(self) -> dict[tuple[str, str], int]:
        """(process, stage) -> open entries."""
        q = t.quarantine.c
        query = (
            sa.select(q.process, q.stage, sa.func.count())
            .where(q.status == "open")
            .group_by(q.process, q.stage)
        )
        with failing(), self.engine.connect() as connection:
            return {(row[0], row[1]): int(row[2]) for row in connection.execute(query)}


def _due(now: datetime) -> sa.ColumnElement[bool]:
    q, one = t.quarantine.c, t.link.alias()
    # Whichever side the person is known on: one that is looked at too early waits on.
    arrived = sa.exists().where(
        (one.c.source_key == q.waits_for) | (one.c.target_key == q.waits_for),
        one.c.entity == "employees",
    )
    timely = q.next_attempt.is_not(None) & (q.next_attempt <= naive(now))
    return sa.case((q.waits_for.is_(None), timely), else_=arrived)


def _next(stage: str, attempts: int, moment: datetime) -> datetime | None:
    """When a record is tried again; ``None``: not before it changes, somebody asks for it or
    everything is read."""
    if stage == "gone" or (stage == "failed" and attempts >= REFUSALS):
        return None
    return moment + (
        timedelta(hours=2.0 ** min(attempts - EAGER_ATTEMPTS, 8))
        if attempts > EAGER_ATTEMPTS
        else timedelta(0)
    )
