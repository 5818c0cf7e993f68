"""A SCIM server as an HR system: the protocol is scim2-client's, the requests go through our
retrying transport."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pandas as pd
from scim2_client import BaseSyncSCIMClient, RequestNetworkException, SCIMClientException
from scim2_models import ListResponse, Schema, SCIMException, SearchRequest, User

from reconciliation.errors import CredentialsRefused, HrsyncError, Misconfigured, TargetFailed
from reconciliation.frame import arrow, of
from reconciliation.identifiers import identifier, spellings
from reconciliation.person import Erased, Person
from reconciliation.plan import managed
from reconciliation.receipts import PAST_TENSE, RECEIPTS, after
from reconciliation.snapshot import REJECTED, Snapshot

from ...transport import network, posting, retrying
from ..cells import SEVERAL, raw, several, unwritable
from .settings import ScimSettings, capabilities
from .user import (
    CORE,
    ENTERPRISE,
    Resource,
    attributes,
    fitted,
    key_of,
    operations,
    value_of,
    with_values,
)

PASSES = 3
"""Times that everybody is read while the users move."""
FEW = 40
"""Maximum number of people to look up by filters; for more, all are read."""
KINDS = frozenset(
    {
        "invalidFilter",
        "tooMany",
        "uniqueness",
        "mutability",
        "invalidSyntax",
        "invalidPath",
        "noTarget",
        "invalidValue",
    }
)
"""Kinds of errors (RFC 7644, 3.12). Anything else in their place is the server's own text."""
IN_ONE = 10
"""Values in one filter: it travels in the URL."""


class _Client(BaseSyncSCIMClient):
    """scim2-client over httpx: its own engines know httpx2 only, and the retrying transport is
    httpx's."""

    def __init__(self, http: httpx.Client) -> None:
        super().__init__(check_response_content_type=False)
        self._http = http

    def _stays_under_base_url(self, endpoint: str) -> bool:
        return str(self._http.build_request("GET", endpoint).url).startswith(
            str(self._http.base_url)
        )

    def _parse_json(self, response: Any) -> Any:
        return response.json()

    def request(self, method: str, url: str, **kwargs: Any) -> httpx.Response:
        try:
            return self._http.request(method, url, **kwargs)
        except httpx.HTTPError as error:
            raise RequestNetworkException() from error


class ScimHr:
    """Implements :class:`reconciliation.ports.HrSystem` for people.

    What the server supports (filter, PATCH, bulk, ETag) it is asked once. What it answers to a
    filter is looked at again: a server that ignores filters must not make us write to the wrong
    person.

    Raises:
        CredentialsRefused, TargetFailed: it cannot be asked. Misconfigured: it has no place for the
            key.
    """

    batch = 100

    def __init__(self, settings: ScimSettings) -> None:
        self.settings = settings
        self.name = str(settings.base_url).rstrip("/")
        token = settings.token.get_secret_value() if settings.token else ""
        self._posting = posting(settings.attempts, settings.backoff, safe=False)
        self._http = httpx.Client(
            base_url=self.name + "/",
            headers={
                "Authorization": f"Bearer {token}",
                "Accept": "application/scim+json, application/json",
            },
            timeout=settings.timeout,
            transport=retrying(network(), settings.attempts, settings.backoff),
        )
        self._seen: dict[str, Resource] = {}
        self._several: set[str] = set()
        self._parts: dict[str, frozenset[str]] = {}
        with self._speaking():
            self._client = _Client(self._http)
            self._client.discover()
        config: Any = self._client.provider.config
        self._filters, self._patches, self._etags = (
            bool(part and part.supported) for part in (config.filter, config.patch, config.etag)
        )
        bulk = config.bulk
        self._bulk = int(bulk.max_operations or 0) if bulk and bulk.supported else 0
        absent = self._absent()
        if settings.key == "employee_number" and "employee_number" in absent:
            raise Misconfigured(
                "The SCIM server has no employeeNumber, by which people are known",
                "Set HRSYNC_SCIM__KEY=user_name, or have the server "
                "offer the enterprise extension.",
            )
        self.capabilities = capabilities(settings, frozenset(absent))

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    def forget(self, person: Person) -> Erased:
        """Nothing: all rows are the system's own."""
        return Erased()

    def population(self, entity: str) -> int:
        """How many users the server says it has."""
        with self._speaking():
            return int(self._page(None, 1)[0])

    def read(
        self,
        entity: str,
        columns: Mapping[str, str],
        lookups: Mapping[str, Sequence[str]] | None = None,
        since: datetime | None = None,
    ) -> Snapshot:
        """Users with ``columns``; one without the key, or that is none by its shape, is
        rejected."""
        chosen = [name for name in columns if name != "employee_id"]
        needed = list(
            dict.fromkeys(
                [
                    *chosen,
                    *(n for n in lookups or {} if n != "employee_id"),
                    *(["written_at"] if since else []),
                ]
            )
        )
        with self._speaking():
            resources, complete = self._asked(lookups, since)
        rows: list[tuple[Any, ...]] = []
        rejected: list[tuple[Any, ...]] = []
        read = [_row(resource, needed, self.settings.key) for resource in resources]
        twice = several(found.get("employee_id") for found, _ in read)
        self._several |= twice
        field = "userName" if self.settings.key == "user_name" else "employeeNumber"
        for resource, (found, unread) in zip(resources, read, strict=True):
            key = found.get("employee_id")
            wrong = unread or ((field, SEVERAL) if key in self._several else None)
            if wrong is not None:
                self._seen.pop(str(key), None)
                rejected.append((key, *wrong, raw(resource), None))
                continue
            if found["employee_id"] is None:
                if lookups is None or _meets(found, lookups):
                    rejected.append(
                        (
                            None,
                            field,
                            "has no value: nobody can be told apart by it",
                            raw(resource),
                            None,
                        )
                    )
                continue
            old = (
                since is not None
                and found["written_at"] is not None
                and found["written_at"] < since
            )
            if not old and (lookups is None or _meets(found, lookups)):
                self._seen[found["employee_id"]] = resource
                rows.append((found["employee_id"], *(found[name] for name in chosen)))
        values = of({"employee_id": "text", **{n: columns[n] for n in chosen}}, rows)
        return Snapshot(
            values,
            complete,
            of(REJECTED, rejected),
            silent=self._silent(values, whole=lookups is None and since is None),
        )

    def _silent(self, values: pd.DataFrame, *, whole: bool) -> tuple[str, ...]:
        """Columns of which nobody has a value: neither those who were read nor, if these are not
        all, the first page of users.

        A SCIM server leaves out what has no value (RFC 7643, 2.5), and what it shows no more.
        """
        silent = [str(name) for name in values.columns if len(values) and values[name].isna().all()]
        if not silent or whole:
            return tuple(silent)
        with self._speaking():
            first = [
                _row(resource, silent, self.settings.key)[0] for resource in self._page(None, 1)[1]
            ]
        return tuple(name for name in silent if all(found.get(name) is None for found in first))

    def unfit(self, entity: str, changes: pd.DataFrame) -> pd.DataFrame:
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
        values = zip(*(arrow(changes[c]).to_pylist() for c in changes.columns), strict=True)
        rows = [dict(zip(changes.columns, row_, strict=True)) for row_ in values]
        unseen = [str(r["key"]) for r in rows if r["key"] not in self._seen]
        if unseen:
            self.read(entity, {}, {"employee_id": unseen})
        receipts: list[tuple[str, str, str | None, None]] = [
            (str(r["key"]), "failed", SEVERAL, None) for r in rows if r["key"] in self._several
        ]
        rows = [r for r in rows if r["key"] not in self._several]
        size = self._bulk or 1
        for start in range(0, len(rows), size):
            some = rows[start : start + size]
            # A key that comes again is sent when the one before has its answer.
            rounds: list[list[dict[str, Any]]] = []
            for r in some:
                free = next(
                    (group for group in rounds if all(r["key"] != other["key"] for other in group)),
                    None,
                )
                if free is None or rounds[-1] is not free:
                    rounds.append(free := [])
                free.append(r)
            for group in rounds:
                try:
                    with self._speaking():
                        if self._bulk:
                            receipts += self._together(names, group)
                        else:
                            receipts.extend(self._alone(names, r) for r in group)
                except HrsyncError as fault:
                    raise after(of(RECEIPTS, receipts), fault) from None
        return of(RECEIPTS, receipts)

    # -- asking -----------------------------------------------------------------------------------

    def _absent(self) -> set[str]:
        """Columns for whose attribute the server's schemas have no place."""
        schemas = self._schemas()
        described = {str(s.id): {str(a.name) for a in s.attributes or []} for s in schemas}
        if CORE not in described:
            return set()
        core = next(s for s in schemas if str(s.id) == CORE)
        self._parts = {
            str(a.name): frozenset(str(p.name) for p in a.sub_attributes or [])
            for a in core.attributes or []
            if a.sub_attributes
        }
        extension = described.get(ENTERPRISE, set())
        # Without a type there is one telephone number, not two.
        absent = {"mobile"} if "type" not in self._parts.get("phoneNumbers", {"type"}) else set()
        for column in (
            *capabilities(self.settings).entities["employees"].columns,
            "employee_number",
        ):
            attribute = attributes(column)
            if attribute.startswith(ENTERPRISE):
                absent |= {column} if attribute.rpartition(".")[2] not in extension else set()
            elif attribute != "externalId" and attribute.partition(".")[0] not in described[CORE]:
                absent |= {column}
        return absent

    def _schemas(self) -> list[Any]:
        answer = self._client.request("GET", "Schemas")
        if not answer.is_success:
            return []
        return list(ListResponse[Schema].model_validate(answer.json()).resources or [])

    def _asked(
        self, lookups: Mapping[str, Sequence[str]] | None, since: datetime | None
    ) -> tuple[list[Resource], bool]:
        filters = self._filter(lookups, since)
        if filters is None:
            return self._all(None)
        found: dict[str, Resource] = {}
        complete = True
        for text in filters:
            some, whole = self._all(text)
            complete &= whole
            found.update((str(resource.get("id")), resource) for resource in some)
        return list(found.values()), complete

    def _filter(
        self, lookups: Mapping[str, Sequence[str]] | None, since: datetime | None
    ) -> list[str] | None:
        """Filters that together find what is asked for; ``None`` where everything must be read."""
        if not self._filters:
            return None
        if lookups is None:
            return (
                [
                    "meta.lastModified ge "
                    f'"{since.astimezone(UTC).isoformat(timespec="milliseconds")}"'
                ]
                if since
                else None
            )
        # externalId is compared to the letter (RFC 7643, 3.1): no filter finds it in another
        # spelling.
        if sum(map(len, lookups.values())) > FEW or lookups.get("accessplanit_id"):
            return None
        found = []
        for column, values in lookups.items():
            path = self._path(column)
            tests = [
                f"{path} eq {json.dumps(spelling)}"
                for value in values
                for spelling in spellings(value)
            ]
            found += [" or ".join(tests[i : i + IN_ONE]) for i in range(0, len(tests), IN_ONE)]
        return found

    def _path(self, column: str) -> str:
        if column == "employee_id":
            return (
                "userName" if self.settings.key == "user_name" else f"{ENTERPRISE}:employeeNumber"
            )
        attribute = attributes(column)
        if attribute.startswith(ENTERPRISE):
            return f"{ENTERPRISE}:{attribute.rpartition('.')[2]}"
        return f"{attribute}.value" if attribute in ("emails", "phoneNumbers") else attribute

    def _all(self, text: str | None) -> tuple[list[Resource], bool]:
        """Every user that the server answers with, page by page, and whether these are all it says
        it has.

        The size of a page is left to the server, for there is one that fails when it is asked for.
        """
        for _ in range(PASSES):
            resources, steady = self._once(text)
            if steady:
                break
        return resources, steady

    def _once(self, text: str | None) -> tuple[list[Resource], bool]:
        """One pass, and whether it was not disturbed: each page begins with the last user of the
        one before, and the total stays."""
        total, page = self._page(text, 1)
        found = list(page)
        while page and len(found) < total:
            again, page = self._page(text, len(found))
            if again != total or not page or _id_of(page[0]) != _id_of(found[-1]):
                return found, False
            if len(page) == 1:
                # A server that gives one user at a time leaves no room for the overlap.
                again, page = self._page(text, len(found) + 1)
                found += page
            else:
                found += page[1:]
        names = [_id_of(resource) for resource in found]
        return found, len(found) >= total and len(set(names)) == len(names)

    def _page(self, text: str | None, start: int) -> tuple[int, list[Resource]]:
        parameters = {"filter": text, "startIndex": start if start > 1 else None}
        wanted: SearchRequest[Any] = SearchRequest.model_validate(
            {name: value for name, value in parameters.items() if value is not None}
        )
        answer: Any = self._client.query(
            User, query_parameters=wanted, check_response_payload=False, expected_status_codes=None
        )
        if not isinstance(answer, dict) or not isinstance(answer.get("totalResults"), int):
            raise TargetFailed(
                "The SCIM server answers with no list",
                "Check HRSYNC_SCIM__BASE_URL, then run again.",
            )
        return answer["totalResults"], list(answer.get("Resources") or [])

    # -- writing ----------------------------------------------------------------------------------

    def _request(
        self, names: Sequence[str], change: Mapping[str, Any]
    ) -> tuple[str, str, Resource, Resource, str | None]:
        """(method, path, body, the user as it is to be, its version) of a change."""
        key = str(change["key"])
        old = self._seen.get(key)
        if old is None:
            values = {
                n: change[n]
                for n in names
                if change[n] is not None and n in self.capabilities.entities["employees"].columns
            }
            new = with_values({"active": True}, values)
            if self.settings.key == "user_name":
                new["userName"] = key
            else:
                new = with_values(new, {"employee_number": key})
                new["userName"] = (
                    change.get("email") if self.settings.user_name == "email" else None
                ) or key
            new = fitted(new, self._parts)
            return "POST", "/Users", new, new, None
        fields = (
            str(change["fields"]).split(",")
            if change["fields"]
            else [n for n in names if change[n] is not None]
        )
        new = fitted(with_values(old, {n: change[n] for n in fields}), self._parts)
        path = f"/Users/{old['id']}"
        version = (old.get("meta") or {}).get("version") if self._etags else None
        if self._patches:
            body = {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": operations(old, new),
            }
            return "PATCH", path, body, new, version
        return "PUT", path, {n: v for n, v in new.items() if n != "meta"}, new, version

    def _alone(
        self, names: Sequence[str], change: Mapping[str, Any]
    ) -> tuple[str, str, str | None, None]:
        method, path, body, new, version = self._request(names, change)
        if not body.get("Operations", True):
            return str(change["key"]), "updated", None, None
        headers = {"If-Match": version} if version else {}
        answer = self._client.request(
            method,
            path.lstrip("/"),
            json=body,
            headers={"Content-Type": "application/scim+json", **headers},
            extensions={"retry": self._posting} if method == "POST" else {},
        )
        self._fatal(answer.status_code)
        made = _json(answer)
        if answer.is_success and answer.content and not made:
            raise TargetFailed(
                "The SCIM server gave an answer that is not SCIM (a login or proxy page?)", _AGAIN
            )
        return self._receipt(
            change,
            method,
            answer.status_code,
            made if made.get("id") else None,
            made.get("scimType"),
            new,
        )

    def _together(
        self, names: Sequence[str], changes: Sequence[Mapping[str, Any]]
    ) -> list[tuple[str, str, str | None, None]]:
        operations_: list[dict[str, Any]] = []
        wanted: list[tuple[str, Resource]] = []
        told: dict[str, Mapping[str, Any]] = {}
        for place, change in enumerate(changes):
            method, path, body, new, version = self._request(names, change)
            wanted.append((method, new))
            if not body.get("Operations", True):
                # It is so already: an empty PATCH is an error.
                told[str(place)] = {"status": "204"}
                continue
            operation = {"method": method, "path": path, "data": body, "bulkId": str(place)}
            operations_.append(operation | ({"version": version} if version else {}))
        if operations_:
            body = {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
                "Operations": operations_,
            }
            headers = {"Content-Type": "application/scim+json"}
            answer = self._client.request(
                "POST", "Bulk", json=body, headers=headers, extensions={"retry": self._posting}
            )
            self._fatal(answer.status_code)
            results = _json(answer).get("Operations")
            if not answer.is_success or not isinstance(results, list):
                raise TargetFailed(
                    f"The SCIM server answered {answer.status_code} to a bulk request", _AGAIN
                )
            sent = [str(operation["bulkId"]) for operation in operations_]
            told |= {
                str(r.get("bulkId") or sent[place]): r
                for place, r in enumerate(results)
                if isinstance(r, dict)
            }
        receipts = []
        fault: HrsyncError | None = None
        for place, (change, (method, new)) in enumerate(zip(changes, wanted, strict=True)):
            result = told.get(str(place), {})
            status = int(str(result.get("status") or 0))
            try:
                self._fatal(status)
            except HrsyncError as error:
                fault = fault or error
                continue
            inner = result.get("response") or {}
            made = None
            if method == "POST" and "location" in result:
                made = {**new, "id": str(result["location"]).rstrip("/").rpartition("/")[2]}
            receipts.append(
                self._receipt(
                    change,
                    method,
                    status,
                    made,
                    inner.get("scimType") if isinstance(inner, dict) else None,
                    new,
                )
            )
        if fault is not None:
            raise after(of(RECEIPTS, receipts), fault)
        return receipts

    def _receipt(
        self,
        change: Mapping[str, Any],
        method: str,
        status: int,
        made: Resource | None,
        kind: Any,
        new: Resource,
    ) -> tuple[str, str, str | None, None]:
        key = str(change["key"])
        # What it looks like now is the server's to say.
        self._seen.pop(key, None)
        if 200 <= status < 300:
            if made:
                self._seen[key] = made
            return (
                key,
                PAST_TENSE[
                    "create"
                    if method == "POST"
                    else "update"
                    if change["kind"] == "create"
                    else change["kind"]
                ],
                None,
                None,
            )
        if status == 409 or kind == "uniqueness":
            return key, "failed", "the SCIM server has another user with this userName", None
        if status == 412:
            return (
                key,
                "failed",
                "was changed on the SCIM server in the meantime; the next run looks at it again",
                None,
            )
        if status == 404:
            return key, "failed", "is no longer on the SCIM server", None
        return (
            key,
            "failed",
            f"the SCIM server refused it ({status}{f', {kind}' if kind in KINDS else ''})",
            None,
        )

    def _fatal(self, status: int) -> None:
        """Raises what is a fault of the server, not of a row.

        Raises:
            CredentialsRefused, TargetFailed: the message says who has to do what.
        """
        if status in (401, 403):
            raise CredentialsRefused(
                f"The SCIM server refuses the token ({status})",
                "Renew HRSYNC_SCIM__TOKEN.",
            )
        if status in (0, 408, 425, 429) or 300 <= status < 400 or status >= 500:
            raise TargetFailed(
                f"The SCIM server answered {status or 'nothing'} again and again", _AGAIN
            )

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, RequestNetworkException) as error:
            raise TargetFailed(
                f"The SCIM server does not answer ({type(error).__name__})", _AGAIN
            ) from None
        except SCIMException as error:
            status = int(getattr(error, "status", 0) or 0)
            if status:
                self._fatal(status)
            raise TargetFailed(
                f"The SCIM server refuses to be read ({status or type(error).__name__})", _AGAIN
            ) from None
        except SCIMClientException as error:
            answer = getattr(error, "response", None) or getattr(error, "source", None)
            status = int(getattr(answer, "status_code", 0) or 0)
            if status:
                self._fatal(status)
            raise TargetFailed(
                "The SCIM server gives an answer that is not SCIM "
                f"({status or type(error).__name__})",
                _AGAIN,
            ) from None


_AGAIN = "Look at the server, then run again; nothing was lost."


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _id_of(resource: Any) -> str:
    return str(resource.get("id")) if isinstance(resource, dict) else json.dumps(resource)


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


def _meets(found: Mapping[str, Any], lookups: Mapping[str, Sequence[str]]) -> bool:
    wanted = (
        (found.get(name), {identifier(v) for v in values}) for name, values in lookups.items()
    )
    return any(value is not None and identifier(str(value)) in values for value, values in wanted)
