"""Erasing one person, and pruning what is past its retention."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import pandas as pd
import sqlalchemy as sa

from reconciliation.errors import StalePlan
from reconciliation.identifiers import identifier
from reconciliation.match import PROVISIONAL
from reconciliation.person import Person

from ..database import scrub
from . import schema as t
from .base import IN, failing, naive, packed, unpacked
from .history import History
from .plans import OPEN, Plans


class Privacy(History, Plans):
    """What the store forgets."""

    def known_of(self, person: str) -> Person | None:
        """What the store knows of an accessplanit user: who they are in HR, and the keys of their
        records; ``None``: nothing at all."""
        e, link, q = t.ledger.c, t.link.c, t.quarantine.c
        with failing(), self.engine.connect() as connection:
            linked = sa.select(link.target_key).where(
                link.entity == "employees", link.source_key == person
            )
            ids = Person.of([person], connection.execute(linked).scalars())
            keys = set(
                connection.execute(
                    sa.select(e.key).where(_named(e.person, ids)).distinct()
                ).scalars()
            )
            keys |= set(
                connection.execute(
                    sa.select(q.key).where(_named(q.waits_for, ids)).distinct()
                ).scalars()
            )
            unread = connection.execute(
                sa.select(q.key, q.raw).where(q.stage != "held", q.raw.is_not(None))
            ).tuples()
            keys |= {key for key, raw in unread if ids.has_record(raw)}
            found = ids | Person.of(keys=keys)
            # Records of one side that are rows of the other.
            pairs = connection.execute(
                sa.select(link.source_key, link.target_key).where(link.entity != "employees")
            ).tuples()
            more = [key for pair in pairs if any(found.has(key) for key in pair) for key in pair]
            found |= Person.of(keys=more)
            there = bool(found.keys) or any(
                connection.execute(sa.select(column).where(_named(column, found)).limit(1)).first()
                for column in _places()
            )
        return found if there else None

    def forgettable(self) -> None:
        """Raises:
        StalePlan: a run is at work; it would write down again what is forgotten now.
        """
        with failing(), self.engine.connect() as connection:
            self._nobody_works(connection)

    def spelled(self, person: str) -> list[str]:
        """Users who are linked and whose ID is ``person`` in another spelling, or who are the
        employee of that key."""
        link = t.link.c
        with failing(), self.engine.connect() as connection:
            rows = (
                connection.execute(
                    sa.select(link.source_key, link.target_key).where(link.entity == "employees")
                )
                .tuples()
                .all()
            )
        if any(user == person for user, _ in rows):
            return []
        return sorted(
            {
                user
                for user, employee in rows
                if identifier(user) == identifier(person) or employee == person
            }
        )

    def forget(
        self, person: str, further: Sequence[str], now: datetime, values: Sequence[str] = ()
    ) -> dict[str, int]:
        """Erases the data of one accessplanit user: rows per table.

        Plans lose the person's rows, and what else they say of them. What is somebody else's stays,
        without what names the person. What remains is a tombstone that says when and how much, not
        who; it prevents nothing: if accessplanit still has the person, the next run sees a new one.
        :meth:`scrub` is to follow.

        Args:
            person: the user's ID.
            further: other keys that are that person's, such as of their awards in HR.
            now: when they are forgotten.
            values: what else is theirs alone (``person.Person``).

        Raises:
            StalePlan: a run is at work, which would write down again what is to be forgotten.
        """
        who = (self.known_of(person) or Person.of([person])) | Person.of(
            keys=further, values=values
        )
        r, s = t.record.c, t.scope.c
        with failing(), self.engine.begin() as connection:
            self._nobody_works(connection)
            erased = {
                "hints": self._unhint(connection, who),
                "plans": self._redact(connection, who),
                "versions": self.forget_versions(connection, who),
                "ledger": self._erase_entries(connection, who),
                "links": _delete(connection, t.link, _linked(who)),
                "agreements": _delete(connection, t.agreement, _named(t.agreement.c.key, who)),
                "records": _delete(connection, t.record, _named(r.key, who))
                + _delete(connection, t.gone, _named(t.gone.c.key, who)),
                "quarantine": self._erase_quarantine(connection, who),
                "sweeps": _delete(connection, t.sweep_part, sa.true()),
            }
            specs = connection.execute(sa.select(s.process, s.fingerprint, s.spec)).tuples().all()
            for process, fingerprint, spec in specs:
                # Filters may name people.
                if any(
                    who.has(value)
                    for clause in json.loads(spec)["scope"]["clauses"]
                    for value in clause["values"]
                ):
                    _delete(
                        connection, t.scope, (s.process == process) & (s.fingerprint == fingerprint)
                    )
            connection.execute(
                t.tombstone.insert().values(id=uuid.uuid4().hex, at=naive(now), erased=erased)
            )
        return erased

    def scrub(self) -> bool:
        """Sees to it that what was deleted does not stay readable in free pages or in the log;
        false if somebody reads meanwhile."""
        with failing():
            return scrub(self.engine)

    def _nobody_works(self, connection: sa.Connection) -> None:
        lease = t.lease.c
        at_work = sa.select(lease.process).where(
            lease.run != "", lease.until >= naive(self.clock())
        )
        process = connection.execute(at_work.limit(1)).scalar()
        if process is not None:
            raise StalePlan(
                f"Nothing was forgotten: {process} is at work, or a plan is being applied",
                "Wait for its run to end (hrsync status), then run again.",
            )

    def _unhint(self, connection: sa.Connection, person: Person) -> int:
        """Hints of the person and of their records. The digest of a delivery that told of them is
        replaced: it may be guessed from."""
        h, d = t.hint.c, t.delivery.c
        mine = _named(h.key, person)
        for number in (
            connection.execute(
                sa.select(h.delivery).where(mine, h.delivery.is_not(None)).distinct()
            )
            .scalars()
            .all()
        ):
            connection.execute(
                t.delivery.update().where(d.id == number).values(identity=uuid.uuid4().hex)
            )
        return _delete(connection, t.hint, mine)

    def _erase_entries(self, connection: sa.Connection, person: Person) -> int:
        """The entries stay, so that counts add up; whom they were about does not."""
        e = t.ledger.c
        blank = {"key": None, "person": None, "fields": None, "note": None}
        rows = connection.execute(
            t.ledger.update().where(_named(e.person, person) | _named(e.key, person)).values(blank)
        ).rowcount
        return int(rows) + _replace(connection, t.ledger, e.seq, (e.reason, e.note), person)

    def _erase_quarantine(self, connection: sa.Connection, person: Person) -> int:
        """Entries of their records, of records that wait for them, and of unreadable ones that name
        them; others lose what names them."""
        q = t.quarantine.c
        mine = _named(q.key, person) | _named(q.waits_for, person)
        unread = sa.select(q.id, q.key, q.raw).where(q.stage != "held", q.raw.is_not(None))
        named = [
            number
            for number, key, raw in connection.execute(unread).tuples()
            if person.has_record(raw) or (key is None and person.mentioned(raw))
        ]
        rows = _delete(connection, t.quarantine, mine)
        for some in _some(named):
            rows += _delete(connection, t.quarantine, q.id.in_(some))
        return rows + _replace(connection, t.quarantine, q.id, (q.raw, q.reason, q.note), person)

    def _redact(self, connection: sa.Connection, person: Person) -> int:
        """Takes the person's rows out of every kept plan; returns of how many."""
        found, p = 0, t.plan.c
        # A draft holds records, links and reasons beside its changes: it is given up rather than
        # searched.
        connection.execute(t.plan_part.delete())
        connection.execute(
            t.plan.update().where(p.status.in_(OPEN)).values(status="stale", draft=None)
        )
        for digest in list(connection.execute(sa.select(p.digest)).scalars()):
            row = connection.execute(sa.select(p.changes, p.before).where(p.digest == digest)).one()
            kept = {
                name: _blanked(unpacked(getattr(row, name)), person)
                for name in ("changes", "before")
            }
            cut = {name: packed(data) for name, data in kept.items() if data is not None}
            if cut:
                found += 1
                connection.execute(
                    t.plan.update().where(p.digest == digest).values(**cut, redacted=True)
                )
        return found

    def prune(
        self, before: datetime, history: datetime, hour_seconds: float = 3600.0
    ) -> dict[str, int]:
        """Deletes plans (and with them the before and after of ledger entries), closed quarantine
        entries, hints, figures of runs, refusals, and requests counted (by hours of
        ``hour_seconds``), from before this moment; rows per table. A plan that an open intent needs
        stays.

        What the plans say of rows is kept as versions; of these go the ones that were replaced
        before ``history``, and with them the ledger's entries of changes that were settled before
        it. What a process was with filters that no record in quarantine was read with, and that it
        has not had since this moment, goes too.
        """
        edge, p, q, past = (
            naive(before),
            t.plan.c,
            t.quarantine.c,
            int(before.timestamp() // hour_seconds),
        )
        needed = sa.select(t.intent.c.digest).where(t.intent.c.closed.is_(None))
        with failing(), self.engine.begin() as connection:
            old = list(
                connection.execute(
                    sa.select(p.digest).where(
                        p.made < edge, p.digest.not_in(needed), ~self.applying()
                    )
                ).scalars()
            )
            closed = t.quarantine.delete().where(
                q.status.in_(("replayed", "vanished")), q.last_seen < edge
            )
            raw = t.quarantine.update().where(
                q.status == "discarded", q.last_seen < edge, q.raw.is_not(None)
            )
            replaced = self.compact(connection, history)
            i, s = t.intent.c, t.scope.c
            settled = sa.select(i.id).where(
                i.closed < naive(history), i.segmented | (i.digest == "")
            )
            entries = _delete(connection, t.ledger, t.ledger.c.intent.in_(settled))
            _delete(connection, t.intent, i.id.in_(settled))
            wanted = (
                sa.exists()
                .where(q.process == s.process, q.fingerprint == s.fingerprint, q.status == "open")
                .correlate(t.scope)
            )
            other = t.scope.alias("other")
            latest = (
                sa.select(sa.func.max(other.c.used))
                .where(other.c.process == s.process)
                .correlate(t.scope)
                .scalar_subquery()
            )
            return {
                "ledger": entries,
                "filters": _delete(
                    connection, t.scope, (s.used < edge) & ~wanted & (s.used < latest)
                ),
                "versions": replaced,
                "plans": sum(
                    _delete(connection, t.plan, p.digest.in_(some)) for some in _some(old)
                ),
                "plan parts": sum(
                    _delete(connection, t.plan_part, t.plan_part.c.digest.in_(some))
                    for some in _some(old)
                ),
                "quarantine": int(connection.execute(closed).rowcount)
                + int(connection.execute(raw.values(raw=None)).rowcount),
                "runs": int(
                    connection.execute(t.run.delete().where(t.run.c.started < edge)).rowcount
                ),
                "sweeps": int(
                    connection.execute(
                        t.sweep_part.delete().where(t.sweep_part.c.began < edge)
                    ).rowcount
                ),
                "hints": int(
                    connection.execute(t.hint.delete().where(t.hint.c.received < edge)).rowcount
                ),
                "leases": int(
                    connection.execute(t.lease.delete().where(t.lease.c.until < edge)).rowcount
                ),
                "deliveries": int(
                    connection.execute(
                        t.delivery.delete().where(t.delivery.c.received < edge)
                    ).rowcount
                ),
                "refusals": int(
                    connection.execute(
                        t.refusal.delete().where(t.refusal.c.day < edge.date())
                    ).rowcount
                ),
                "budget": int(
                    connection.execute(t.budget.delete().where(t.budget.c.hour < past)).rowcount
                ),
            }


def _blanked(data: pd.DataFrame, person: Person) -> pd.DataFrame | None:
    """``data`` with the person's rows emptied in their places (the ledger counts them), and the
    others without what names the person; ``None`` if there is nothing to take out."""
    mask = person.theirs(data)
    kept = data.copy()
    if mask.any():
        kept.loc[mask, [name for name in data.columns if name != "kind"]] = pd.NA
    left = person.redacted(kept)
    return left if mask.any() or left is not kept else None


def _linked(person: Person) -> sa.ColumnElement[bool]:
    """Links of the person, and of their records. The ID of a user may be the key of another
    employee."""
    link, people = t.link.c, t.link.c.entity == "employees"
    own = _named(link.source_key, Person(person.users)) | _named(
        link.target_key, Person(employees=person.employees)
    )
    return (people & own) | (
        ~people & (_named(link.source_key, person) | _named(link.target_key, person))
    )


def _named(column: sa.ColumnElement[Any], person: Person) -> sa.ColumnElement[bool]:
    """Where a column of keys names the person or one of their records, however it is spelled."""
    exact = sorted({*person.ids, *person.keys, *person.plain["any"]})
    heads = sorted({*(f"{each}~" for each in person.ids), *person.heads})
    keys = [*exact, *(f"{PROVISIONAL}{each}" for each in exact)]
    return sa.or_(
        sa.false(),
        *(column.in_(some) | sa.func.lower(column).in_(some) for some in _some(keys)),
        *(
            column.startswith(head, autoescape=True)
            | sa.func.lower(column).startswith(head, autoescape=True)
            for head in heads
        ),
    )


def _places() -> list[sa.ColumnElement[Any]]:
    """Columns in which keys stand, of people or of their records."""
    q, link = t.quarantine.c, t.link.c
    return [
        link.source_key,
        link.target_key,
        t.ledger.c.person,
        t.ledger.c.key,
        q.key,
        q.waits_for,
        t.hint.c.key,
        t.record.c.key,
    ]


def _replace(
    connection: sa.Connection,
    table: sa.Table,
    number: sa.ColumnElement[Any],
    columns: Sequence[sa.Column[Any]],
    person: Person,
) -> int:
    """Takes what names the person out of texts; returns of how many rows."""
    query = sa.select(number, *columns).where(sa.or_(*(column.is_not(None) for column in columns)))
    # A few texts stand in most rows.
    named = lru_cache(maxsize=10_000)(person.mentioned)
    rows = 0
    for which, *texts in connection.execute(query).tuples().all():
        changed = {
            column.name: person.without(text)
            for column, text in zip(columns, texts, strict=True)
            if text and named(text)
        }
        if changed:
            rows += connection.execute(
                table.update().where(number == which).values(changed)
            ).rowcount
    return rows


def _delete(connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool]) -> int:
    return int(connection.execute(table.delete().where(which)).rowcount)


def _some(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), IN):
        yield values[start : start + IN]
