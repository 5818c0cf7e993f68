"""Erases one person's data, and prunes data past its retention period."""

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
    """Erasure and pruning."""

    def known_of(self, person: str) -> Person | None:
        """Returns an accessplanit user's key in HR and the keys of their records, or ``None`` if
        the store knows nothing about the user."""
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
            with_raw = connection.execute(
                sa.select(q.key, q.raw).where(q.stage != "held", q.raw.is_not(None))
            ).tuples()
            keys |= {key for key, raw in with_raw if ids.has_record(raw)}
            known = ids | Person.of(keys=keys)
            # Add the key on the other side of each linked record.
            pairs = connection.execute(
                sa.select(link.source_key, link.target_key).where(link.entity != "employees")
            ).tuples()
            more = [key for pair in pairs if any(known.has(key) for key in pair) for key in pair]
            known |= Person.of(keys=more)
            is_known = bool(known.keys) or any(
                connection.execute(sa.select(column).where(_named(column, known)).limit(1)).first()
                for column in _places()
            )
        return known if is_known else None

    def forgettable(self) -> None:
        """Checks that no run is active.

        Raises:
            StalePlan: a run is active. It could store again what is erased now.
        """
        with failing(), self.engine.connect() as connection:
            self._no_active_run(connection)

    def spelled(self, person: str) -> list[str]:
        """Returns linked users whose ID is ``person`` in another spelling, or whose key in HR is
        ``person``. Returns nothing if a user with exactly this ID is linked."""
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
        """Erases the data of one accessplanit user. Returns the number of rows per table.

        Plans lose the person's rows. Other people's data stays, without mentions of the person. A
        tombstone records when and how much was erased, but not whose data. It prevents nothing: if
        accessplanit still has the person, the next run imports them again. Call :meth:`scrub`
        afterwards.

        Args:
            person: the user's ID.
            further: other keys of this person, such as those of their awards in HR.
            now: the time of the erasure (UTC).
            values: other values that only this person has (``person.Person``).

        Raises:
            StalePlan: a run is active. It could store again what is erased.
        """
        who = (self.known_of(person) or Person.of([person])) | Person.of(
            keys=further, values=values
        )
        r, s = t.record.c, t.scope.c
        with failing(), self.engine.begin() as connection:
            self._no_active_run(connection)
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
        """Removes deleted data from the database's free pages and its log. Returns false if other
        connections prevent it."""
        with failing():
            return scrub(self.engine)

    def _no_active_run(self, connection: sa.Connection) -> None:
        """Raises StalePlan if a run holds a lease."""
        lease = t.lease.c
        active = sa.select(lease.process).where(lease.run != "", lease.until >= naive(self.clock()))
        process = connection.execute(active.limit(1)).scalar()
        if process is not None:
            raise StalePlan(
                f"Nothing was erased: {process} is running, or a plan of it is being applied",
                "Wait for its run to end (hrsync status), then run again.",
            )

    def _unhint(self, connection: sa.Connection, person: Person) -> int:
        """Deletes the hints of the person and of their records. The digests of their deliveries are
        replaced, because one could guess a person and compare."""
        h, d = t.hint.c, t.delivery.c
        of_person = _named(h.key, person)
        for number in (
            connection.execute(
                sa.select(h.delivery).where(of_person, h.delivery.is_not(None)).distinct()
            )
            .scalars()
            .all()
        ):
            connection.execute(
                t.delivery.update().where(d.id == number).values(identity=uuid.uuid4().hex)
            )
        return _delete(connection, t.hint, of_person)

    def _erase_entries(self, connection: sa.Connection, person: Person) -> int:
        """Empties the person's ledger entries. The entries stay, so that counts add up."""
        e = t.ledger.c
        blank = {"key": None, "person": None, "fields": None, "note": None}
        rows = connection.execute(
            t.ledger.update().where(_named(e.person, person) | _named(e.key, person)).values(blank)
        ).rowcount
        return int(rows) + _replace(connection, t.ledger, e.seq, (e.reason, e.note), person)

    def _erase_quarantine(self, connection: sa.Connection, person: Person) -> int:
        """Deletes the entries of the person's records, of records that wait for the person, and of
        unreadable records that name the person. Other entries lose their mentions of the person."""
        q = t.quarantine.c
        of_person = _named(q.key, person) | _named(q.waits_for, person)
        with_raw = sa.select(q.id, q.key, q.raw).where(q.stage != "held", q.raw.is_not(None))
        unreadable = [
            number
            for number, key, raw in connection.execute(with_raw).tuples()
            if person.has_record(raw) or (key is None and person.mentioned(raw))
        ]
        rows = _delete(connection, t.quarantine, of_person)
        for chunk in _some(unreadable):
            rows += _delete(connection, t.quarantine, q.id.in_(chunk))
        return rows + _replace(connection, t.quarantine, q.id, (q.raw, q.reason, q.note), person)

    def _redact(self, connection: sa.Connection, person: Person) -> int:
        """Empties the person's rows in every kept plan. Returns the number of changed plans."""
        redacted, p = 0, t.plan.c
        # A draft also holds records, links and reasons. All drafts become stale, which is simpler
        # than searching them.
        connection.execute(t.plan_part.delete())
        connection.execute(
            t.plan.update().where(p.status.in_(OPEN)).values(status="stale", draft=None)
        )
        for digest in list(connection.execute(sa.select(p.digest)).scalars()):
            row = connection.execute(sa.select(p.changes, p.before).where(p.digest == digest)).one()
            frames = {
                name: _blanked(unpacked(getattr(row, name)), person)
                for name in ("changes", "before")
            }
            cut = {name: packed(data) for name, data in frames.items() if data is not None}
            if cut:
                redacted += 1
                connection.execute(
                    t.plan.update().where(p.digest == digest).values(**cut, redacted=True)
                )
        return redacted

    def prune(
        self, before: datetime, history: datetime, hour_seconds: float = 3600.0
    ) -> dict[str, int]:
        """Deletes data past its retention period. Returns the number of rows per table.

        Plans are first copied to versions. Plans with open intents, and plans that are being
        applied, stay. Discarded quarantine entries stay too, but lose the raw record. Stored
        filters of a process stay if an open quarantine entry was read with them, or if they are its
        latest.

        Args:
            before: plans (with the before and after of ledger entries), closed quarantine entries,
                hints, deliveries, runs, leases, parts of sweeps, filters, refusals and request
                counts older than this are deleted.
            history: versions that were replaced before this time are deleted, as are the ledger
                entries of changes that were settled before it.
            hour_seconds: length of the hour by which requests are counted, in seconds.
        """
        edge, p, q = naive(before), t.plan.c, t.quarantine.c
        first_hour = int(before.timestamp() // hour_seconds)
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
                    _delete(connection, t.plan, p.digest.in_(chunk)) for chunk in _some(old)
                ),
                "plan parts": sum(
                    _delete(connection, t.plan_part, t.plan_part.c.digest.in_(chunk))
                    for chunk in _some(old)
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
                    connection.execute(
                        t.budget.delete().where(t.budget.c.hour < first_hour)
                    ).rowcount
                ),
            }


def _blanked(data: pd.DataFrame, person: Person) -> pd.DataFrame | None:
    """Empties the person's rows and removes mentions of the person from the others. Returns
    ``None`` if there are neither. Emptied rows stay, because ledger entries refer to positions."""
    mask = person.theirs(data)
    emptied = data.copy()
    if mask.any():
        emptied.loc[mask, [name for name in data.columns if name != "kind"]] = pd.NA
    redacted = person.redacted(emptied)
    return redacted if mask.any() or redacted is not emptied else None


def _linked(person: Person) -> sa.ColumnElement[bool]:
    """Condition for the links of the person and of their records. Users' IDs and employees' keys
    are told apart, because one user's ID may be another employee's key."""
    link, people = t.link.c, t.link.c.entity == "employees"
    own = _named(link.source_key, Person(person.users)) | _named(
        link.target_key, Person(employees=person.employees)
    )
    return (people & own) | (
        ~people & (_named(link.source_key, person) | _named(link.target_key, person))
    )


def _named(column: sa.ColumnElement[Any], person: Person) -> sa.ColumnElement[bool]:
    """Condition for a column of keys to name the person or one of their records, in any
    spelling."""
    exact = sorted({*person.ids, *person.keys, *person.plain["any"]})
    heads = sorted({*(f"{each}~" for each in person.ids), *person.heads})
    keys = [*exact, *(f"{PROVISIONAL}{each}" for each in exact)]
    return sa.or_(
        sa.false(),
        *(column.in_(chunk) | sa.func.lower(column).in_(chunk) for chunk in _some(keys)),
        *(
            column.startswith(head, autoescape=True)
            | sa.func.lower(column).startswith(head, autoescape=True)
            for head in heads
        ),
    )


def _places() -> list[sa.ColumnElement[Any]]:
    """Returns the columns that hold keys of people or of their records."""
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
    """Removes mentions of the person from texts. Returns the number of changed rows.

    Args:
        connection: the transaction.
        table: the table.
        number: its primary key.
        columns: its columns with texts.
        person: the person.
    """
    query = sa.select(number, *columns).where(sa.or_(*(column.is_not(None) for column in columns)))
    # Cached, because most rows have one of a few texts.
    mentioned = lru_cache(maxsize=10_000)(person.mentioned)
    rows = 0
    for row, *texts in connection.execute(query).tuples().all():
        changed = {
            column.name: person.without(text)
            for column, text in zip(columns, texts, strict=True)
            if text and mentioned(text)
        }
        if changed:
            rows += connection.execute(table.update().where(number == row).values(changed)).rowcount
    return rows


def _delete(connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool]) -> int:
    return int(connection.execute(table.delete().where(which)).rowcount)


def _some(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """Splits values into chunks for SQL ``IN``."""
    for start in range(0, len(values), IN):
        yield values[start : start + IN]
