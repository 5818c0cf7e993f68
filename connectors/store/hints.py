"""Stores acknowledged webhook deliveries and their hints: notices to processes that records have
changed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
import sqlalchemy as sa

from reconciliation.frame import strings
from reconciliation.hints import Hint, Waiting
from reconciliation.spec import PEOPLE, ProcessSpec

from ..webhooks import Arrival
from . import schema as t
from .base import IN, Part, aware, failing, naive


@dataclass(frozen=True)
class Figures:
    """Figures of webhook deliveries."""

    received: Mapping[str, tuple[int, int]]
    """Subscription -> (deliveries, duplicates)."""
    refused: Mapping[str, int]
    """Reason -> number of refused deliveries. They are counted for whole days."""
    waiting: Mapping[str, int]
    """Process -> number of hints that no run has processed."""
    lags: Sequence[float]
    """Seconds from each delivery to its load, ascending."""


class Hints(Part):
    """Deliveries and hints."""

    def accept(
        self,
        arrivals: Sequence[Arrival],
        concerned: Mapping[tuple[str, str], Sequence[str]],
        now: datetime,
    ) -> list[bool]:
        """Stores deliveries in one transaction, with a hint for each record and each process that
        reads its feed.

        Args:
            arrivals: the contents of the deliveries.
            concerned: (subscription, feed) -> processes.
            now: the time of receipt (UTC).

        Returns:
            Whether each delivery is new; the others are duplicates.
        """
        d, moment, answers = t.delivery.c, naive(now), []
        with failing(), self.engine.begin() as connection:
            known = self._known(connection, arrivals)
            fresh: dict[str, Arrival] = {}
            repeated: list[dict[str, Any]] = []
            repeats_of_fresh: Counter[str] = Counter()
            for arrival in arrivals:
                new = arrival.identity not in known and arrival.identity not in fresh
                answers.append(new)
                if new:
                    fresh[arrival.identity] = arrival
                elif arrival.identity in known:
                    repeated.append({"which": known[arrival.identity]})
                else:
                    repeats_of_fresh[arrival.identity] += 1
            if repeated:
                counting = (
                    t.delivery.update()
                    .where(d.id == sa.bindparam("which"))
                    .values(repeats=d.repeats + 1)
                )
                connection.execute(counting, repeated)
            rows = [
                {
                    "subscription": a.subscription,
                    "method": a.method,
                    "identity": a.identity,
                    "received": moment,
                    "records": len(a.records),
                    "repeats": repeats_of_fresh[a.identity],
                }
                for a in fresh.values()
            ]
            if rows:
                numbers = (
                    connection.execute(
                        t.delivery.insert().returning(d.id, sort_by_parameter_order=True), rows
                    )
                    .scalars()
                    .all()
                )
                hints = [
                    _row(process, feed, key, moment, delivery=number, deleted=arrival.deleted)
                    for number, arrival in zip(numbers, fresh.values(), strict=True)
                    for feed, key in arrival.records
                    for process in concerned.get((arrival.subscription, feed), ())
                ]
                if hints:
                    connection.execute(t.hint.insert(), hints)
        return answers

    def _known(self, connection: sa.Connection, arrivals: Sequence[Arrival]) -> dict[str, int]:
        """Maps the identity of each repeated delivery to the ID of the stored one."""
        d, h = t.delivery.c, t.hint.c
        # For deliveries without a unique identity: once a run has begun to read the record, an
        # equal delivery may be about another change.
        not_taken = sa.exists().where(h.delivery == d.id, h.heard.is_(None), h.taken.is_(None))
        known: dict[str, int] = {}
        for once in (True, False):
            identities = list({a.identity for a in arrivals if a.once is once})
            for i in range(0, len(identities), IN):
                query = sa.select(d.identity, d.id).where(d.identity.in_(identities[i : i + IN]))
                known |= dict(
                    connection.execute(query if once else query.where(not_taken)).tuples().all()
                )
        return known

    def arrive(
        self,
        connection: sa.Connection,
        spec: ProcessSpec,
        links: pd.DataFrame,
        relinked: pd.DataFrame,
        now: datetime,
    ) -> None:
        """Adds hints after people were linked: for quarantined records that waited for them, and
        for all records of people whose link has changed.

        Args:
            connection: the transaction.
            spec: the process. Only processes that link employees have an effect.
            links: the new links.
            relinked: those that replace another link (``match.LINKS``, with accessplanit as the
                source side).
            now: the current time (UTC).
        """
        if spec.links != "employees" or not len(links):
            return
        q, moment = t.quarantine.c, naive(now)
        people = [
            str(key)
            for name in ("source_key", "target_key")
            for key in strings(links[name])
            if key is not None
        ]
        hints: list[dict[str, Any]] = []
        for i in range(0, len(people), IN):
            waiting = sa.select(q.process, q.feed, q.key).where(
                q.status == "open", q.key.is_not(None), q.waits_for.in_(people[i : i + IN])
            )
            hints += [
                _row(process, feed, key, moment)
                for process, feed, key in connection.execute(waiting).tuples()
            ]
        if len(relinked):
            keys = {
                "to_hr": strings(relinked["source_key"]),
                "from_hr": strings(relinked["target_key"]),
            }
            specs = {
                process: json.loads(text)
                for process, text in connection.execute(
                    sa.select(t.scope.c.process, t.scope.c.spec)
                )
            }
            # Processes whose records belong to people.
            directions = {
                process: spec_["direction"] for process, spec_ in specs.items() if spec_["person"]
            }
            hints += [
                _row(process, PEOPLE[direction][0], key, moment)
                for process, direction in directions.items()
                for key in keys[direction]
            ]
        if hints:
            connection.execute(t.hint.insert(), hints)

    def hint(self, process: str, feed: str, keys: Sequence[str], now: datetime) -> None:
        """Adds hints, so that the next run of the process reads these records again."""
        hints = [_row(process, feed, key, naive(now)) for key in keys]
        if hints:
            with failing(), self.engine.begin() as connection:
                connection.execute(t.hint.insert(), hints)

    def hints(self, process: str, taken: datetime | None = None) -> tuple[Hint, ...]:
        """Returns the unprocessed hints of a process, one for each record.

        ``taken`` is the time at which a run begins to read their records. It is stored, so that a
        later delivery about the same record counts as a new hint.
        """
        h = t.hint.c
        deleted = sa.func.max(sa.cast(h.deleted, sa.Integer))
        query = sa.select(h.feed, h.key, deleted, sa.func.max(h.seq)).where(
            h.heard.is_(None), h.process == process
        )
        with failing(), self.engine.begin() as connection:
            rows = connection.execute(
                query.group_by(h.feed, h.key).order_by(sa.func.min(h.seq))
            ).tuples()
            hints = tuple(Hint(feed, key, bool(gone), int(last)) for feed, key, gone, last in rows)
            if taken is not None and hints:
                returned = (
                    h.heard.is_(None)
                    & (h.process == process)
                    & (h.seq <= max(hint.last for hint in hints))
                )
                connection.execute(t.hint.update().where(returned).values(taken=naive(taken)))
            return hints

    def hear(
        self,
        connection: sa.Connection,
        run: str,
        process: str,
        hints: Sequence[Hint],
        now: datetime,
    ) -> None:
        """Marks hints as processed by a run. Later hints of the same records still wait."""
        h = t.hint.c
        marking = (
            t.hint.update()
            .where(h.heard.is_(None), h.process == process)
            .values(heard=naive(now), run=run)
        )
        with_key = marking.where(
            h.key == sa.bindparam("k"), h.feed == sa.bindparam("f"), h.seq <= sa.bindparam("s")
        )
        rows = [
            {"k": hint.key, "f": hint.feed, "s": hint.last}
            for hint in hints
            if hint.key is not None
        ]
        if rows:
            connection.execute(with_key, rows)
        for hint in hints:
            if hint.key is None:
                connection.execute(
                    marking.where(h.key.is_(None), h.feed == hint.feed, h.seq <= hint.last)
                )

    def waiting_hints(self) -> dict[str, Waiting]:
        """Maps each process to the figures of its unprocessed hints."""
        h = t.hint.c
        fresh = h.announced.is_(None)
        columns = (
            h.process,
            sa.func.count().filter(fresh),
            sa.func.count().filter(sa.not_(fresh)),
            sa.func.min(h.received).filter(fresh),
            sa.func.max(h.received).filter(fresh),
            sa.func.max(h.announced),
            sa.func.max(h.times),
        )
        with failing(), self.engine.connect() as connection:
            rows = connection.execute(
                sa.select(*columns).where(h.heard.is_(None)).group_by(h.process)
            ).tuples()
            return {
                process: Waiting(
                    count, sent, _aware(oldest), _aware(newest), _aware(announced), times
                )
                for process, count, sent, oldest, newest, announced, times in rows
            }

    def announce(self, processes: Sequence[str], now: datetime) -> None:
        """Stores that Prefect was notified of all unprocessed hints of these processes."""
        h = t.hint.c
        with failing(), self.engine.begin() as connection:
            unprocessed = t.hint.update().where(h.heard.is_(None), h.process.in_(processes))
            connection.execute(unprocessed.values(announced=naive(now), times=h.times + 1))

    def refuse(self, reasons: Mapping[str, int], now: datetime) -> None:
        """Adds to the day's counts of refused deliveries."""
        day, table = naive(now).date(), t.refusal
        with failing(), self.engine.begin() as connection:
            for reason, number in reasons.items():
                row = (table.c.day == day) & (table.c.reason == reason)
                if not connection.execute(
                    table.update().where(row).values(number=table.c.number + number)
                ).rowcount:
                    connection.execute(table.insert().values(day=day, reason=reason, number=number))

    # -- for the console --------------------------------------------------------------------------

    def lags(self, after: datetime) -> list[tuple[str, datetime, datetime]]:
        """Returns (process, received, processed) of the hints of deliveries that were processed
        after a time, sorted by the last column. Times are UTC."""
        h = t.hint.c
        query = (
            sa.select(h.process, h.received, h.heard)
            .where(h.heard > naive(after), h.delivery.is_not(None))
            .order_by(h.heard)
        )
        with failing(), self.engine.connect() as connection:
            return [
                (process, aware(received), aware(heard))
                for process, received, heard in connection.execute(query).tuples()
            ]

    def figures(self, since: datetime) -> Figures:
        """Returns the figures of the deliveries since a time."""
        d, f = t.delivery.c, t.refusal.c
        edge = naive(since)
        with failing(), self.engine.connect() as connection:
            deliveries = (
                sa.select(d.subscription, sa.func.count(), sa.func.sum(d.repeats))
                .where(d.received >= edge)
                .group_by(d.subscription)
            )
            received = {
                name: (int(new), int(repeats))
                for name, new, repeats in connection.execute(deliveries).tuples()
            }
            refusals = (
                sa.select(f.reason, sa.func.sum(f.number))
                .where(f.day >= edge.date())
                .group_by(f.reason)
            )
            refused = {
                reason: int(number) for reason, number in connection.execute(refusals).tuples()
            }
        lags = [(heard - arrived).total_seconds() for _, arrived, heard in self.lags(since)]
        return Figures(
            received,
            refused,
            {name: w.fresh + w.sent for name, w in self.waiting_hints().items()},
            sorted(lags),
        )

    def deliveries(self, limit: int, *, waiting: bool = False) -> list[dict[str, Any]]:
        """Returns the latest deliveries, newest first.

        They have their columns, ``waiting`` (number of unprocessed hints) and ``heard`` (time at
        which the last hint was processed). With ``waiting=True`` only deliveries with unprocessed
        hints are returned.
        """
        d, h = t.delivery.c, t.hint.c
        open_ = (
            sa.select(sa.func.count())
            .where(h.delivery == d.id, h.heard.is_(None))
            .scalar_subquery()
        )
        last = sa.select(sa.func.max(h.heard)).where(h.delivery == d.id).scalar_subquery()
        query = (
            sa.select(t.delivery, open_.label("waiting"), last.label("heard"))
            .order_by(d.id.desc())
            .limit(limit)
        )
        query = (
            query.where(sa.exists().where(h.delivery == d.id, h.heard.is_(None)))
            if waiting
            else query
        )
        with failing(), self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def replay(self, numbers: Sequence[int], since: datetime | None, now: datetime) -> int:
        """Adds the hints of these deliveries again, and of all received since ``since``. Returns
        the number of new hints."""
        h, d = t.hint.c, t.delivery.c
        chosen: sa.ColumnElement[bool] = d.id.in_(numbers)
        if since is not None:
            chosen |= d.received >= naive(since)
        query = sa.select(
            h.process,
            h.feed,
            h.key,
            sa.func.max(sa.cast(h.deleted, sa.Integer)),
            sa.func.max(h.delivery),
        )
        query = (
            query.join_from(t.hint, t.delivery, h.delivery == d.id)
            .where(chosen)
            .group_by(h.process, h.feed, h.key)
        )
        with failing(), self.engine.begin() as connection:
            hints = [
                _row(process, feed, key, naive(now), delivery=number, deleted=bool(deleted))
                for process, feed, key, deleted, number in connection.execute(query).tuples()
            ]
            if hints:
                connection.execute(t.hint.insert(), hints)
        return len(hints)


def _row(
    process: str,
    feed: str,
    key: str | None,
    received: datetime,
    *,
    delivery: int | None = None,
    deleted: bool = False,
) -> dict[str, Any]:
    """Returns a row of the table ``hint``. ``received`` is naive UTC."""
    return {
        "delivery": delivery,
        "process": process,
        "feed": feed,
        "key": key,
        "deleted": deleted,
        "received": received,
    }


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else aware(moment)
