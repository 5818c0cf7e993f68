"""Webhooks as the vendor has them: definitions, an instance for each time one is triggered, and
somebody who sends them.

What is known: they are made in the platform, send POST for what is created, PUT for what is updated
and DELETE for what is deleted, and their instances can be looked at. The rest is this sandbox's
assumption: the body is the record as it was then, an instance is tried five times with growing
pauses, and changes through the API trigger webhooks as well.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import uuid4

import httpx
import orjson
import sqlalchemy as sa

from .people import stamp
from .query import Names
from .schema import metadata
from .tenant import Tenant


class Host(Protocol):
    """The sandbox, as far as its webhooks need it."""

    tenant: Tenant
    lock: AbstractContextManager[bool]
    engine: sa.Engine

    def now(self) -> datetime:
        """The sandbox's time."""


METHODS = {"created": "POST", "updated": "PUT", "deleted": "DELETE"}
WATCHED = (
    "User",
    "UserAward",
    "UserCourseDate",
    "ManagerUserCourseDateAuthorisation",
    "UserType",
    "UserUserType",
)
ATTEMPTS = 5
SENDERS = 8
BATCH = 400


@dataclass(frozen=True)
class Moods:
    """How deliveries go wrong, each as a share of all deliveries."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    late: float = 0.0
    delay: float = 5.0
    """Maximum seconds that a late delivery is late."""
    forge: float = 0.0
    """Further deliveries, which come from somebody else with a wrong secret."""
    seed: int = 0
    random: random.Random = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "random", random.Random(self.seed))

    def strikes(self, share: float) -> bool:
        return bool(share) and self.random.random() < share


def triggered(
    connection: sa.Connection, now: datetime, module: str, record: str, event: str
) -> None:
    """Makes an instance for each active webhook of the module and event: created, updated or
    deleted."""
    hooks, instances = metadata.tables["Webhook"], metadata.tables["WebhookInstance"]
    mine = sa.select(hooks).where(hooks.c.Module == module, hooks.c.Event == event)
    for hook in connection.execute(mine).mappings().all():
        table = metadata.tables[module]
        row = connection.execute(sa.select(table).where(table.c.ID == record)).mappings().first()
        connection.execute(
            instances.insert().values(
                ID=uuid4().hex,
                WebhookID=hook["ID"],
                RecordID=record,
                Method=hook["Method"],
                Url=hook["Url"],
                Body=orjson.dumps(
                    {str(name): value for name, value in row.items()} if row else {"ID": record}
                ).decode(),
                Status="Pending",
                Attempts=0,
                NextAttempt=stamp(now),
                DateCreated=stamp(now),
                DateUpdated=stamp(now),
            )
        )


class Webhooks:
    """The webhooks of a sandbox, and the thread that sends what they trigger."""

    def __init__(self, sandbox: Host) -> None:
        self.sandbox = sandbox
        self.moods = Moods()
        self.done: Counter[str] = Counter()
        """What was done with instances: sent, failed, dropped, duplicated, delayed, reordered,
        forged."""
        self._headers: dict[str, str] = {}
        self._late: set[str] = set()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def close(self) -> None:
        """Stops sending."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def configure(
        self, url: str, headers: Mapping[str, str], modules: tuple[str, ...] = WATCHED, **moods: Any
    ) -> None:
        """Sends, from now on, what happens to records of ``modules`` to ``url/<module>``, with
        these headers."""
        hooks, now = metadata.tables["Webhook"], stamp(self.sandbox.now())
        self._headers, self.moods = dict(headers), Moods(**moods)
        rows = [
            {
                "ID": f"{module}-{event}",
                "Name": f"{module} {event}",
                "Module": module,
                "Event": event,
                "Method": method,
                "Url": f"{url}/{module.lower()}",
                "DateCreated": now,
                "DateUpdated": now,
            }
            for module in modules
            for event, method in METHODS.items()
        ]
        with self.sandbox.lock, self.sandbox.engine.begin() as connection:
            connection.execute(hooks.delete())
            connection.execute(hooks.insert(), rows)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True, name="webhooks")
            self._thread.start()

    def status(self) -> dict[str, Any]:
        """Instances by status, and what was done with them."""
        table = metadata.tables["WebhookInstance"]
        with self.sandbox.lock, self.sandbox.engine.connect() as connection:
            counts = (
                connection.execute(
                    sa.select(table.c.Status, sa.func.count()).group_by(table.c.Status)
                )
                .tuples()
                .all()
            )
        return {"instances": dict(counts), "done": dict(self.done)}

    # -- sending ----------------------------------------------------------------------------------

    def _run(self) -> None:
        limits = httpx.Limits(max_connections=SENDERS, max_keepalive_connections=SENDERS)
        with httpx.Client(timeout=10, limits=limits) as client, ThreadPoolExecutor(SENDERS) as pool:
            while not self._closed.is_set():
                batch = self._due()
                if not batch:
                    self._closed.wait(0.05)
                    continue
                answers = list(
                    pool.map(lambda one: self._send(client, one), self._disturbed(batch))
                )
                self._note(
                    dict(zip((one["ID"] for one in batch), self._of(batch, answers), strict=True))
                )

    def _due(self) -> list[dict[str, Any]]:
        table = metadata.tables["WebhookInstance"]
        ready = (table.c.Status == "Pending") & (table.c.NextAttempt <= stamp(self.sandbox.now()))
        with self.sandbox.lock, self.sandbox.engine.connect() as connection:
            found = connection.execute(
                sa.select(table).where(ready).order_by(sa.text("rowid")).limit(BATCH)
            )
            return [dict(row) for row in found.mappings()]

    def _disturbed(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What goes out of a batch, in the order in which it does."""
        moods, out = self.moods, []
        for one in batch:
            first = one["Attempts"] == 0 and one["ID"] not in self._late
            if first and moods.strikes(moods.drop):
                self.done["dropped"] += 1
                continue
            if first and moods.strikes(moods.late):
                self.done["delayed"] += 1
                self._late.add(one["ID"])
                continue
            out.append(one)
            if moods.strikes(moods.duplicate):
                self.done["duplicated"] += 1
                out.append({**one, "again": True})
            if moods.strikes(moods.forge):
                self.done["forged"] += 1
                out.append({**one, "forged": True})
        for place in range(len(out)):
            if moods.strikes(moods.reorder):
                self.done["reordered"] += 1
                other = moods.random.randrange(len(out))
                out[place], out[other] = out[other], out[place]
        return out

    def _send(self, client: httpx.Client, one: Mapping[str, Any]) -> tuple[str, bool] | None:
        headers = {**self._headers, "Content-Type": "application/json", "X-Webhook-Id": one["ID"]}
        if one.get("forged"):
            headers = {
                name: "forged" if name in self._headers else value
                for name, value in headers.items()
            }
        try:
            answer = client.request(
                one["Method"], one["Url"], content=self._body(one), headers=headers
            )
        except httpx.HTTPError:
            return None if one.get("forged") else (one["ID"], False)
        return None if one.get("forged") else (one["ID"], answer.is_success)

    def _body(self, one: Mapping[str, Any]) -> bytes:
        """The record as it was, under the tenant's names."""
        module = str(one["WebhookID"]).rpartition("-")[0]
        names = Names(self.sandbox.tenant, metadata.tables[module]).wire
        return orjson.dumps(
            {
                names[name]: value
                for name, value in orjson.loads(one["Body"]).items()
                if name in names
            }
        )

    def _of(
        self, batch: list[dict[str, Any]], answers: list[tuple[str, bool] | None]
    ) -> list[bool | None]:
        """For each instance of the batch whether it was taken; ``None``: it did not go out."""
        taken: dict[str, bool] = {}
        for answer in answers:
            if answer:
                taken[answer[0]] = taken.get(answer[0], False) or answer[1]
        return [taken.get(one["ID"]) for one in batch]

    def _note(self, taken: Mapping[str, bool | None]) -> None:
        table, now = metadata.tables["WebhookInstance"], self.sandbox.now()
        with self.sandbox.lock, self.sandbox.engine.begin() as connection:
            for key, success in taken.items():
                row = table.update().where(table.c.ID == key)
                if success:
                    self.done["sent"] += 1
                    connection.execute(
                        row.values(
                            Status="Sent", Attempts=table.c.Attempts + 1, DateUpdated=stamp(now)
                        )
                    )
                elif success is None and key in self._late:
                    wait = timedelta(seconds=self.moods.random.uniform(0, self.moods.delay))
                    connection.execute(row.values(NextAttempt=stamp(now + wait)))
                elif success is None:
                    # Lost on the way: the platform believes that it was sent.
                    connection.execute(
                        row.values(Status="Sent", Attempts=1, DateUpdated=stamp(now))
                    )
                else:
                    self._retry(connection, row, key, now)

    def _retry(self, connection: sa.Connection, row: sa.Update, key: str, now: datetime) -> None:
        table = metadata.tables["WebhookInstance"]
        tried = (
            int(
                connection.execute(
                    sa.select(table.c.Attempts).where(table.c.ID == key)
                ).scalar_one()
                or 0
            )
            + 1
        )
        if tried >= ATTEMPTS:
            self.done["failed"] += 1
        status = "Failed" if tried >= ATTEMPTS else "Pending"
        wait = stamp(now + timedelta(seconds=2.0**tried / 2))
        connection.execute(
            row.values(Status=status, Attempts=tried, NextAttempt=wait, DateUpdated=stamp(now))
        )
