"""Deliveries that were acknowledged, the hints they give, and which runs have heard them."""

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
    """Webhook deliveries in figures."""

    received: Mapping[str, tuple[int, int]]
    """Subscription -> (deliveries, duplicates)."""
    refused: Mapping[str, int]
    """Reason -> number of refused deliveries, by whole days."""
    waiting: Mapping[str, int]
    """Process -> hints that no run has processed."""
    lags: Sequence[float]
    """Seconds from a delivery to its load, ascending."""


class Hints(Part):
    """Deliveries and hints."""

    def accept(
        self,
        arrivals: Sequence[Arrival],
        concerned: Mapping[tuple[str, str], Sequence[str]],
        now: datetime,
    ) -> list[bool]:
        """Writes deliveries down in one transaction, with a hint for each process that a record of
        their feed concerns.

        concerned: (subscription, feed) -> processes. Returns which of them are new; the others are
        duplicates.
        """
        d, moment, answers = t.delivery.c, naive(now), []
        with failing(), self.engine.begin() as connection:
            known = self._known(connection, arrivals)
            fresh: dict[str, Arrival] = {}
            repeated: list[dict[str, Any]] = []
            again_at_once: Counter[str] = Counter()
            for arrival in arrivals:
                new = arrival.identity not in known and arrival.identity not in fresh
                answers.append(new)
                if new:
                    fresh[arrival.identity] = arrival
                elif arrival.identity in known:
                    repeated.append({"which": known[arrival.identity]})
                else:
                    again_at_once[arrival.identity] += 1
            if repeated:
                again = (
                    t.delivery.update()
                    .where(d.id == sa.bindparam("which"))
                    .values(repeats=d.repeats + 1)
                )
                connection.execute(again, repeated)
            rows = [
                {
                    "subscription": a.subscription,
                    "method": a.method,
                    "identity": a.identity,
                    "received": moment,
                    "records": len(a.records),
                    "repeats": again_at_once[a.identity],
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
                said = [
                    _said(process, feed, key, moment, delivery=number, deleted=arrival.deleted)
                    for number, arrival in zip(numbers, fresh.values(), strict=True)
                    for feed, key in arrival.records
                    for process in concerned.get((arrival.subscription, feed), ())
                ]
                if said:
                    connection.execute(t.hint.insert(), said)
        return answers

    def _known(self, connection: sa.Connection, arrivals: Sequence[Arrival]) -> dict[str, int]:
        """Identity -> number of the delivery that one of ``arrivals`` repeats."""
        d, h = t.delivery.c, t.hint.c
        # Once a run has begun to read the record, the same words tell of another change.
        unheard = sa.exists().where(h.delivery == d.id, h.heard.is_(None), h.taken.is_(None))
        found: dict[str, int] = {}
        for once in (True, False):
            mine = list({a.identity for a in arrivals if a.once is once})
            for i in range(0, len(mine), IN):
                query = sa.select(d.identity, d.id).where(d.identity.in_(mine[i : i + IN]))
                found |= dict(
                    connection.execute(query if once else query.where(unheard)).tuples().all()
                )
        return found

    def arrive(
        self,
        connection: sa.Connection,
        spec: ProcessSpec,
        links: pd.DataFrame,
        relinked: pd.DataFrame,
        now: datetime,
    ) -> None:
        """People who are linked now are a hint for the records that have waited for them, and those
        who have been linked otherwise before (``relinked``: ``match.LINKS``, from accessplanit's
        side) for all that is theirs."""
        if spec.links != "employees" or not len(links):
            return
        q, moment = t.quarantine.c, naive(now)
        people = [
            str(key)
            for name in ("source_key", "target_key")
            for key in strings(links[name])
            if key is not None
        ]
        said: list[dict[str, Any]] = []
        for i in range(0, len(people), IN):
            waits = sa.select(q.process, q.feed, q.key).where(
                q.status == "open", q.key.is_not(None), q.waits_for.in_(people[i : i + IN])
            )
            said += [
                _said(process, feed, key, moment)
                for process, feed, key in connection.execute(waits).tuples()
            ]
        if len(relinked):
            keys = {
                "to_hr": strings(relinked["source_key"]),
                "from_hr": strings(relinked["target_key"]),
            }
            of_people = {
                process: json.loads(text)
                for process, text in connection.execute(
                    sa.select(t.scope.c.process, t.scope.c.spec)
                )
            }
            ways = {
                process: known["direction"]
                for process, known in of_people.items()
                if known["person"]
            }
            said += [
                _said(process, PEOPLE[way][0], key, moment)
                for process, way in ways.items()
                for key in keys[way]
            ]
        if said:
            connection.execute(t.hint.insert(), said)

    def hint(self, process: str, feed: str, keys: Sequence[str], now: datetime) -> None:
        """Gives hints for records, as a person does who wants them read again."""
        said = [_said(process, feed, key, naive(now)) for key in keys]
        if said:
            with failing(), self.engine.begin() as connection:
                connection.execute(t.hint.insert(), said)

    def hints(self, process: str, taken: datetime | None = None) -> tuple[Hint, ...]:
        """Hints that no run of this process has heard, one for each record.

        taken: when a run begins to read what they name; what is said from then on is a hint of its
        own.
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
            found = tuple(Hint(feed, key, bool(gone), int(last)) for feed, key, gone, last in rows)
            if taken is not None and found:
                waits = (
                    h.heard.is_(None)
                    & (h.process == process)
                    & (h.seq <= max(hint.last for hint in found))
                )
                connection.execute(t.hint.update().where(waits).values(taken=naive(taken)))
            return found

    def hear(
        self,
        connection: sa.Connection,
        run: str,
        process: str,
        hints: Sequence[Hint],
        now: datetime,
    ) -> None:
        """Notes that a run has done what there was to do for these hints; later ones of the same
        records still wait."""
        h = t.hint.c
        waits = (
            t.hint.update()
            .where(h.heard.is_(None), h.process == process)
            .values(heard=naive(now), run=run)
        )
        named = waits.where(
            h.key == sa.bindparam("k"), h.feed == sa.bindparam("f"), h.seq <= sa.bindparam("s")
        )
        rows = [
            {"k": hint.key, "f": hint.feed, "s": hint.last}
            for hint in hints
            if hint.key is not None
        ]
        if rows:
            connection.execute(named, rows)
        for hint in hints:
            if hint.key is None:
                connection.execute(
                    waits.where(h.key.is_(None), h.feed == hint.feed, h.seq <= hint.last)
                )

    def waiting_hints(self) -> dict[str, Waiting]:
        """Process -> what waits of its hints."""
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
                    count, told, _aware(oldest), _aware(newest), _aware(announced), times
                )
                for process, count, told, oldest, newest, announced, times in rows
            }

    def announce(self, processes: Sequence[str], now: datetime) -> None:
        """Notes that Prefect was told of all hints of these processes that wait."""
        h = t.hint.c
        with failing(), self.engine.begin() as connection:
            waits = t.hint.update().where(h.heard.is_(None), h.process.in_(processes))
            connection.execute(waits.values(announced=naive(now), times=h.times + 1))

    def refuse(self, reasons: Mapping[str, int], now: datetime) -> None:
        """Adds to the day's refusals."""
        day, table = naive(now).date(), t.refusal
        with failing(), self.engine.begin() as connection:
            for reason, number in reasons.items():
                mine = (table.c.day == day) & (table.c.reason == reason)
                if not connection.execute(
                    table.update().where(mine).values(number=table.c.number + number)
                ).rowcount:
                    connection.execute(table.insert().values(day=day, reason=reason, number=number))

    # -- what people ask and do -------------------------------------------------------------------

    def lags(self, after: datetime) -> list[tuple[str, datetime, datetime]]:
        """(process, received, heard) of the hints of deliveries that were heard after a moment, in
        the order of that."""
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
        """What came after a moment, and how long it took."""
        d, f = t.delivery.c, t.refusal.c
        edge = naive(since)
        with failing(), self.engine.connect() as connection:
            counts = (
                sa.select(d.subscription, sa.func.count(), sa.func.sum(d.repeats))
                .where(d.received >= edge)
                .group_by(d.subscription)
            )
            came = {
                name: (int(new), int(again))
                for name, new, again in connection.execute(counts).tuples()
            }
            no = (
                sa.select(f.reason, sa.func.sum(f.number))
                .where(f.day >= edge.date())
                .group_by(f.reason)
            )
            refused = {reason: int(number) for reason, number in connection.execute(no).tuples()}
        lags = [(heard - received).total_seconds() for _, received, heard in self.lags(since)]
        return Figures(
            came,
            refused,
            {name: w.fresh + w.sent for name, w in self.waiting_hints().items()},
            sorted(lags),
        )

    def deliveries(self, limit: int, *, waiting: bool = False) -> list[dict[str, Any]]:
        """The latest deliveries, newest first: their columns, ``waiting`` (hints that no run has
        heard) and ``heard`` (when the last was). waiting: only those with such hints."""
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
        """Gives the hints of these deliveries, and of all since a moment, again; returns how
        many."""
        h, d = t.hint.c, t.delivery.c
        chosen = (
            d.id.in_(numbers) if since is None else d.id.in_(numbers) | (d.received >= naive(since))
        )
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
            said = [
                _said(process, feed, key, naive(now), delivery=number, deleted=bool(deleted))
                for process, feed, key, deleted, number in connection.execute(query).tuples()
            ]
            if said:
                connection.execute(t.hint.insert(), said)
        return len(said)


def _said(
    process: str,
    feed: str,
    key: str | None,
    received: datetime,
    *,
    delivery: int | None = None,
    deleted: bool = False,
) -> dict[str, Any]:
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
