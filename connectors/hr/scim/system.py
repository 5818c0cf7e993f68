"""A SCIM server as an HR system for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import httpx
import pandas as pd

from reconciliation.errors import HrsyncError, Misconfigured, TargetFailed
from reconciliation.frame import of
from reconciliation.person import Erased, Person
from reconciliation.plan import managed, one_by_one
from reconciliation.receipts import RECEIPTS, after
from reconciliation.snapshot import REJECTED, Snapshot

from ...transport import network, retrying
from ..cells import SEVERAL, raw, several, unwritable
from .search import Lookups, filters, meets
from .server import RUN_AGAIN, ScimServer, check
from .settings import ScimSettings, capabilities
from .user import Resource, key_of, value_of
from .writing import Change, Operation, Receipt, Writer, receipt


class ScimHr:
    """Implements :class:`reconciliation.ports.HrSystem` for people.

    What the server answers to a filter is looked at again: a server that ignores filters must not
    make us write to the wrong person.

    Raises:
        CredentialsRefused, TargetFailed: it cannot be asked. Misconfigured: it has no place for the
            key.
    """

    batch = 100

    def __init__(self, settings: ScimSettings) -> None:
        self.settings = settings
        self.name = str(settings.base_url).rstrip("/")
        token = settings.token.get_secret_value() if settings.token else ""
        self._http = httpx.Client(
            base_url=self.name + "/",
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": "application/scim+json, application/json",
            },
            timeout=settings.timeout,
            transport=retrying(network(), settings.attempts, settings.backoff),
        )
        self.server = ScimServer(self._http, settings)
        whole = capabilities(settings).entities["employees"].columns
        absent = self.server.absent([*whole, "employee_number"])
        if settings.key == "employee_number" and "employee_number" in absent:
            raise Misconfigured(
                "The SCIM server has no employeeNumber, by which people are known",
                "Set HRSYNC_SCIM__KEY=user_name, or have the server "
                "offer the enterprise extension.",
            )
        self.capabilities = capabilities(settings, absent)
        columns = frozenset(self.capabilities.entities["employees"].columns)
        self._writer = Writer(self.server, settings, columns)
        self._seen: dict[str, Resource] = {}
        """Key -> the user as it was last read or written."""
        self._several: set[str] = set()
        """Keys that several users have: nobody is written to by them."""

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    def forget(self, person: Person) -> Erased:
        """Nothing: all rows are the system's own."""
        return Erased()

    def population(self, entity: str) -> int:
        """How many users the server says it has."""
        with self.server.speaking():
            return int(self.server.page(None, 1)[0])

    # -- reading ----------------------------------------------------------------------------------

    def read(
        self,
        entity: str,
        columns: Mapping[str, str],
        lookups: Lookups | None = None,
        since: datetime | None = None,
    ) -> Snapshot:
        """Users with ``columns``. A user is rejected whose values cannot be read, who has no key,
        or whose key several users have."""
        chosen = [name for name in columns if name != "employee_id"]
        with self.server.speaking():
            resources, complete = self._asked(lookups, since)
        needed = [*chosen, *(lookups or {}), *(["written_at"] if since else [])]
        needed = [name for name in dict.fromkeys(needed) if name != "employee_id"]
        users = [_row(resource, needed, self.settings.key) for resource in resources]
        self._several |= several(found.get("employee_id") for found, _ in users)
        rows: list[tuple[Any, ...]] = []
        rejected: list[tuple[Any, ...]] = []
        for resource, (found, unread) in zip(resources, users, strict=True):
            key = found.get("employee_id")
            wrong = unread or self._unidentified(key)
            if unread or key in self._several:
                self._seen.pop(str(key), None)
            elif not _is_asked_for(found, lookups, since if key else None):
                continue
            if wrong:
                rejected.append((key, *wrong, raw(resource), None))
            else:
                self._seen[str(key)] = resource
                rows.append((key, *(found[name] for name in chosen)))
        values = of({"employee_id": "text", **{n: columns[n] for n in chosen}}, rows)
        silent = self._silent(values, whole=lookups is None and since is None)
        return Snapshot(values, complete, of(REJECTED, rejected), silent=silent)

    def _asked(
        self, lookups: Lookups | None, since: datetime | None
    ) -> tuple[list[Resource], bool]:
        asked = filters(lookups, since, self.settings.key) if self.server.filters else None
        if asked is None:
            return self.server.users(None)
        found: dict[str, Resource] = {}
        complete = True
        for text in asked:
            some, whole = self.server.users(text)
            complete &= whole
            found.update((str(resource.get("id")), resource) for resource in some)
        return list(found.values()), complete

    def _unidentified(self, key: str | None) -> tuple[str, str] | None:
        """(field, reason) of a user whose key identifies nobody."""
        field = "userName" if self.settings.key == "user_name" else "employeeNumber"
        if key is None:
            return field, "has no value: nobody can be told apart by it"
        return (field, SEVERAL) if key in self._several else None

    def _silent(self, values: pd.DataFrame, *, whole: bool) -> tuple[str, ...]:
        """Columns of which nobody has a value: neither those who were read nor, if these are not
        all, the first page of users.

        A SCIM server leaves out what has no value (RFC 7643, 2.5), and what it shows no more.
        """
        silent = [str(name) for name in values.columns if len(values) and values[name].isna().all()]
        if not silent or whole:
            return tuple(silent)
        with self.server.speaking():
            _, page = self.server.page(None, 1)
        first = [_row(resource, silent, self.settings.key)[0] for resource in page]
        return tuple(name for name in silent if all(found.get(name) is None for found in first))

    # -- writing ----------------------------------------------------------------------------------

    def rejections(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Receipts of changes with text that could not be read back; everything else the server
        refuses itself."""
        return unwritable(changes)

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """One operation for each change, in bulk where the server offers it; each row has a receipt
        of its own.

        Raises:
            TargetFailed, CredentialsRefused: the server cannot be asked. The error carries the
                receipts of what it had answered; the next run finds out about the rest.
        """
        names = managed(changes)
        rows = one_by_one(changes)
        unseen = [str(r["key"]) for r in rows if r["key"] not in self._seen]
        if unseen:
            self.read(entity, {}, {"employee_id": unseen})
        receipts: list[Receipt] = [
            (str(r["key"]), "failed", SEVERAL, None) for r in rows if r["key"] in self._several
        ]
        for group in _groups([r for r in rows if r["key"] not in self._several], self.server.bulk):
            try:
                with self.server.speaking():
                    if self.server.bulk:
                        receipts += self._together(names, group)
                    else:
                        receipts.extend(self._alone(names, change) for change in group)
            except HrsyncError as fault:
                raise after(of(RECEIPTS, receipts), fault) from None
        return of(RECEIPTS, receipts)

    def _operation(self, names: Sequence[str], change: Change) -> Operation:
        return self._writer.operation(names, change, self._seen.get(str(change["key"])))

    def _alone(self, names: Sequence[str], change: Change) -> Receipt:
        asked = self._operation(names, change)
        if asked.empty:
            return receipt(change, asked.method, 204, None)
        path = asked.path.lstrip("/")
        status, made = self.server.send(asked.method, path, asked.body, asked.version)
        self._note(change, status, made if made.get("id") else None)
        return receipt(change, asked.method, status, made.get("scimType"))

    def _together(self, names: Sequence[str], changes: Sequence[Change]) -> list[Receipt]:
        """A bulk request; an operation that met a fault of the server's has no receipt.

        Raises:
            TargetFailed, CredentialsRefused: with the receipts of the others.
        """
        asked = [self._operation(names, change) for change in changes]
        answers = self._in_bulk(asked)
        receipts: list[Receipt] = []
        fault: HrsyncError | None = None
        for change, operation, answer in zip(changes, asked, answers, strict=True):
            status = int(str(answer.get("status") or 0))
            try:
                check(status)
            except HrsyncError as error:
                fault = fault or error
                continue
            self._note(change, status, _made(operation, answer))
            inner = answer.get("response")
            kind = inner.get("scimType") if isinstance(inner, dict) else None
            receipts.append(receipt(change, operation.method, status, kind))
        if fault is not None:
            raise after(of(RECEIPTS, receipts), fault)
        return receipts

    def _in_bulk(self, asked: Sequence[Operation]) -> list[Mapping[str, Any]]:
        """The server's answer to each operation, empty where it gave none."""
        sent = [op.in_bulk(number) for number, op in enumerate(asked) if not op.empty]
        found: dict[str, Mapping[str, Any]] = {}
        if sent:
            body = {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
                "Operations": sent,
            }
            status, answer = self.server.send("POST", "Bulk", body)
            results = answer.get("Operations")
            if not 200 <= status < 300 or not isinstance(results, list):
                raise TargetFailed(
                    f"The SCIM server answered {status} to a bulk request", RUN_AGAIN
                )
            found = {
                str(result.get("bulkId") or sent[place]["bulkId"]): result
                for place, result in enumerate(results)
                if isinstance(result, dict)
            }
        unsent: Mapping[str, Any] = {"status": "204"}
        return [
            unsent if operation.empty else found.get(str(number), {})
            for number, operation in enumerate(asked)
        ]

    def _note(self, change: Change, status: int, made: Resource | None) -> None:
        """What a user looks like after an answer is the server's to say."""
        self._seen.pop(str(change["key"]), None)
        if made and 200 <= status < 300:
            self._seen[str(change["key"])] = made


def _groups(rows: Sequence[Change], size: int) -> list[list[Change]]:
    """At most ``size`` changes together, each key once: one that comes again is sent when the one
    before has its answer."""
    groups: list[list[Change]] = []
    for row in rows:
        full = not groups or len(groups[-1]) >= max(size, 1)
        if full or any(row["key"] == other["key"] for other in groups[-1]):
            groups.append([])
        groups[-1].append(row)
    return groups


def _made(operation: Operation, answer: Mapping[str, Any]) -> Resource | None:
    """The user that a bulk operation has made, with the ID from its address."""
    if operation.method != "POST" or "location" not in answer:
        return None
    return {**operation.new, "id": str(answer["location"]).rstrip("/").rpartition("/")[2]}


def _row(
    resource: Any, columns: Sequence[str], key: str
) -> tuple[dict[str, Any], tuple[str, str] | None]:
    """``employee_id`` and ``columns`` of a user as far as they can be read, and (field, reason) of
    what cannot."""
    found: dict[str, Any] = {}
    name = "employee_id"
    try:
        if not isinstance(resource, dict):
            raise ValueError("is not an object")
        found[name] = key_of(resource, key)
        for name in columns:
            found[name] = value_of(resource, name)
    except ValueError as error:
        return found, (name, str(error))
    return found, None


def _is_asked_for(
    found: Mapping[str, Any], lookups: Lookups | None, since: datetime | None
) -> bool:
    old = since is not None and found["written_at"] is not None and found["written_at"] < since
    return not old and (lookups is None or meets(found, lookups))
