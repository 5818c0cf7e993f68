"""Implements an HR system for people over a SCIM server."""

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

    Users that the server returns for a filter are checked again, because a server that ignores
    filters must not make us write to the wrong person.

    Raises:
        CredentialsRefused, TargetFailed: the server cannot be reached.
        Misconfigured: it has no attribute for the key.
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
        all_columns = capabilities(settings).entities["employees"].columns
        absent = self.server.absent([*all_columns, "employee_number"])
        if settings.key == "employee_number" and "employee_number" in absent:
            raise Misconfigured(
                "The SCIM server has no employeeNumber, by which people are identified",
                "Set HRSYNC_SCIM__KEY=user_name, or enable the enterprise extension on the server.",
            )
        self.capabilities = capabilities(settings, absent)
        columns = frozenset(self.capabilities.entities["employees"].columns)
        self._writer = Writer(self.server, settings, columns)
        self._seen: dict[str, Resource] = {}
        """Key -> the user as last read or written."""
        self._several: set[str] = set()
        """Keys that several users have. Nothing is written to these users."""

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    def forget(self, person: Person) -> Erased:
        """Erases nothing: hrsync keeps no copies of this system's rows."""
        return Erased()

    def population(self, entity: str) -> int:
        """Returns the server's total number of users."""
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
        """Returns users with ``columns``. Users are rejected if their values cannot be read, if
        they have no key, or if several users have the same key."""
        chosen = [name for name in columns if name != "employee_id"]
        with self.server.speaking():
            resources, complete = self._fetch(lookups, since)
        needed = [*chosen, *(lookups or {}), *(["written_at"] if since else [])]
        needed = [name for name in dict.fromkeys(needed) if name != "employee_id"]
        users = [_row(resource, needed, self.settings.key) for resource in resources]
        self._several |= several(user.get("employee_id") for user, _ in users)
        rows: list[tuple[Any, ...]] = []
        rejected: list[tuple[Any, ...]] = []
        for resource, (user, unreadable) in zip(resources, users, strict=True):
            key = user.get("employee_id")
            fault = unreadable or self._unidentified(key)
            if unreadable or key in self._several:
                self._seen.pop(str(key), None)
            elif not _is_requested(user, lookups, since if key else None):
                continue
            if fault:
                rejected.append((key, *fault, raw(resource), None))
            else:
                self._seen[str(key)] = resource
                rows.append((key, *(user[name] for name in chosen)))
        values = of({"employee_id": "text", **{n: columns[n] for n in chosen}}, rows)
        silent = self._silent(values, whole=lookups is None and since is None)
        return Snapshot(values, complete, of(REJECTED, rejected), silent=silent)

    def _fetch(
        self, lookups: Lookups | None, since: datetime | None
    ) -> tuple[list[Resource], bool]:
        """Reads the users that filters find, or all users. Also returns whether the read is
        complete."""
        texts = filters(lookups, since, self.settings.key) if self.server.filters else None
        if texts is None:
            return self.server.users(None)
        by_id: dict[str, Resource] = {}
        complete = True
        for text in texts:
            users, of_filter = self.server.users(text)
            complete &= of_filter
            by_id.update((str(resource.get("id")), resource) for resource in users)
        return list(by_id.values()), complete

    def _unidentified(self, key: str | None) -> tuple[str, str] | None:
        """Returns (field, reason) if a key is missing or not unique."""
        field = "userName" if self.settings.key == "user_name" else "employeeNumber"
        if key is None:
            return field, "has no value, so the person cannot be identified"
        return (field, SEVERAL) if key in self._several else None

    def _silent(self, values: pd.DataFrame, *, whole: bool) -> tuple[str, ...]:
        """Returns the columns without any value: in the users read and, unless ``whole``, in the
        first page of all users.

        A SCIM server leaves out attributes without a value (RFC 7643, 2.5), so an attribute that
        it no longer returns looks the same.
        """
        silent = [str(name) for name in values.columns if len(values) and values[name].isna().all()]
        if not silent or whole:
            return tuple(silent)
        with self.server.speaking():
            _, page = self.server.page(None, 1)
        first = [_row(resource, silent, self.settings.key)[0] for resource in page]
        return tuple(name for name in silent if all(user.get(name) is None for user in first))

    # -- writing ----------------------------------------------------------------------------------

    def rejections(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Returns receipts of changes with text that could not be read back. All other checks are
        left to the server."""
        return unwritable(changes)

    def apply(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
        """Sends one operation for each change, in bulk if the server supports it. Each change gets
        its own receipt.

        Raises:
            TargetFailed, CredentialsRefused: the server cannot be reached. The error carries the
                receipts of the changes that were answered; the next run checks the others.
        """
        names = managed(changes)
        rows = one_by_one(changes)
        unseen = [str(r["key"]) for r in rows if r["key"] not in self._seen]
        if unseen:
            # Fills self._seen.
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
        """Sends one change."""
        operation = self._operation(names, change)
        if operation.empty:
            return receipt(change, operation.method, 204, None)
        path = operation.path.lstrip("/")
        status, answer = self.server.send(operation.method, path, operation.body, operation.version)
        self._note(change, status, answer if answer.get("id") else None)
        return receipt(change, operation.method, status, answer.get("scimType"))

    def _together(self, names: Sequence[str], changes: Sequence[Change]) -> list[Receipt]:
        """Sends changes in one bulk request.

        Raises:
            TargetFailed, CredentialsRefused: an operation failed for a reason that is not in the
                row. It gets no receipt; the error carries the receipts of the others.
        """
        operations = [self._operation(names, change) for change in changes]
        answers = self._in_bulk(operations)
        receipts: list[Receipt] = []
        fault: HrsyncError | None = None
        for change, operation, answer in zip(changes, operations, answers, strict=True):
            status = int(str(answer.get("status") or 0))
            try:
                check(status)
            except HrsyncError as error:
                fault = fault or error
                continue
            self._note(change, status, _created(operation, answer))
            inner = answer.get("response")
            kind = inner.get("scimType") if isinstance(inner, dict) else None
            receipts.append(receipt(change, operation.method, status, kind))
        if fault is not None:
            raise after(of(RECEIPTS, receipts), fault)
        return receipts

    def _in_bulk(self, operations: Sequence[Operation]) -> list[Mapping[str, Any]]:
        """Sends a bulk request. Returns the answer to each operation,
        empty where the server gives none."""
        sent = [op.in_bulk(number) for number, op in enumerate(operations) if not op.empty]
        by_number: dict[str, Mapping[str, Any]] = {}
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
            # A server may omit bulkId for operations other than POST: then the order counts.
            by_number = {
                str(result.get("bulkId") or sent[i]["bulkId"]): result
                for i, result in enumerate(results)
                if isinstance(result, dict)
            }
        unsent: Mapping[str, Any] = {"status": "204"}
        return [
            unsent if operation.empty else by_number.get(str(number), {})
            for number, operation in enumerate(operations)
        ]

    def _note(self, change: Change, status: int, user: Resource | None) -> None:
        """Remembers the user as the server has returned it, or forgets it if none was returned."""
        self._seen.pop(str(change["key"]), None)
        if user and 200 <= status < 300:
            self._seen[str(change["key"])] = user


def _groups(rows: Sequence[Change], size: int) -> list[list[Change]]:
    """Splits changes into groups of at most ``size``. A key occurs once per group: its next change
    is sent after the one before was answered."""
    groups: list[list[Change]] = []
    for row in rows:
        full = not groups or len(groups[-1]) >= max(size, 1)
        if full or any(row["key"] == other["key"] for other in groups[-1]):
            groups.append([])
        groups[-1].append(row)
    return groups


def _created(operation: Operation, answer: Mapping[str, Any]) -> Resource | None:
    """Returns the user that a bulk operation has created, with the ID from its address."""
    if operation.method != "POST" or "location" not in answer:
        return None
    return {**operation.new, "id": str(answer["location"]).rstrip("/").rpartition("/")[2]}


def _row(
    resource: Any, columns: Sequence[str], key: str
) -> tuple[dict[str, Any], tuple[str, str] | None]:
    """Reads ``employee_id`` and ``columns`` of a user, up to the first that cannot be read. Also
    returns (field, reason) of that one, or ``None``."""
    user: dict[str, Any] = {}
    name = "employee_id"
    try:
        if not isinstance(resource, dict):
            raise ValueError("is not an object")
        user[name] = key_of(resource, key)
        for name in columns:
            user[name] = value_of(resource, name)
    except ValueError as error:
        return user, (name, str(error))
    return user, None


def _is_requested(user: Mapping[str, Any], lookups: Lookups | None, since: datetime | None) -> bool:
    """Whether a user matches the lookups and was changed since a time."""
    old = since is not None and user["written_at"] is not None and user["written_at"] < since
    return not old and (lookups is None or meets(user, lookups))
