"""Talks to a SCIM server: detects its features, reads users page by page, and converts its
errors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
from scim2_client import BaseSyncSCIMClient, RequestNetworkException, SCIMClientException
from scim2_models import (
    ListResponse,
    Schema,
    SCIMException,
    ScimProvider,
    SearchRequest,
    ServiceProviderConfig,
    User,
)

from reconciliation.errors import CredentialsRefused, TargetFailed

from ...transport import posting
from .settings import ScimSettings
from .user import CORE, ENTERPRISE, Resource, attribute_path

PASSES = 3
"""Maximum number of reads of all users while they change."""
RUN_AGAIN = "Check the SCIM server, then run again. Nothing was lost."


class ScimServer:
    """A SCIM server over scim2-client, with our retrying transport.

    Its features (filter, PATCH, bulk, ETag) and the attributes in its schemas are read once, when
    it is opened. Users are read as plain JSON, not through models of its schemas.

    Raises:
        CredentialsRefused, TargetFailed: the server cannot be reached.
    """

    def __init__(self, http: httpx.Client, settings: ScimSettings) -> None:
        self._http = http
        self._posting = posting(settings.attempts, settings.backoff, safe=False)
        with self.speaking():
            self.client = _Client(http)
            self.client.discover()
            schemas = self._schemas()
        config = self.client.provider.config or ServiceProviderConfig()
        self.filters, self.patches, self.etags = (
            bool(part and part.supported) for part in (config.filter, config.patch, config.etag)
        )
        bulk = config.bulk
        self.bulk = int(bulk.max_operations or 0) if bulk and bulk.supported else 0
        """Maximum number of operations in one request; 0: bulk is not supported."""
        self._described = {str(s.id): {str(a.name) for a in s.attributes or []} for s in schemas}
        self.parts = _parts(schemas)
        """Attribute of the core schema -> its sub-attributes."""

    def absent(self, columns: Iterable[str]) -> frozenset[str]:
        """Returns those of ``columns`` that the server's schemas have no attribute for. Empty if
        the server does not describe its users."""
        if CORE not in self._described:
            return frozenset()
        # Telephone numbers without a type cannot be told apart, so only one is used.
        untyped = "type" not in self.parts.get("phoneNumbers", {"type"})
        absent = {column for column in columns if not self._describes(attribute_path(column))}
        return frozenset(absent | ({"mobile"} if untyped else set()))

    def _describes(self, attribute: str) -> bool:
        """Whether the server's schemas have an attribute."""
        if attribute.startswith(ENTERPRISE):
            return attribute.rpartition(".")[2] in self._described.get(ENTERPRISE, set())
        return attribute == "externalId" or attribute.partition(".")[0] in self._described[CORE]

    def _schemas(self) -> list[Any]:
        """Returns the server's schemas, none if it does not offer them."""
        answer = self.client.request("GET", "Schemas")
        check(answer.status_code)
        if not answer.is_success:
            return []
        return list(ListResponse[Schema].model_validate(answer.json()).resources or [])

    # -- reading ----------------------------------------------------------------------------------

    def users(self, text: str | None) -> tuple[list[Resource], bool]:
        """Returns the users that match a filter (all without one), and whether the read is
        complete.

        The server chooses the page size, because some servers fail if a client requests one.
        """
        for _ in range(PASSES):
            resources, complete = self._once(text)
            if complete:
                break
        return resources, complete

    def _once(self, text: str | None) -> tuple[list[Resource], bool]:
        """Reads all pages once. Returns the users, and whether the read is complete: each page
        began with the last user of the one before, and the total did not change."""
        total, page = self.page(text, 1)
        users = list(page)
        while page and len(users) < total:
            new_total, page = self.page(text, len(users))
            if new_total != total or not page or _id_of(page[0]) != _id_of(users[-1]):
                return users, False
            if len(page) == 1:
                # The server returns one user at a time, so that pages cannot overlap.
                _, page = self.page(text, len(users) + 1)
                users += page
            else:
                users += page[1:]
        ids = [_id_of(resource) for resource in users]
        return users, len(users) >= total and len(set(ids)) == len(ids)

    def page(self, text: str | None, start: int) -> tuple[int, list[Resource]]:
        """Returns the total number of users that match a filter, and the page that begins with the
        user at position ``start``, counted from 1."""
        parameters = {"filter": text, "startIndex": start if start > 1 else None}
        wanted: SearchRequest[Any] = SearchRequest.model_validate(
            {name: value for name, value in parameters.items() if value is not None}
        )
        answer: Any = self.client.query(
            User, query_parameters=wanted, check_response_payload=False, expected_status_codes=None
        )
        if isinstance(answer, dict) and str(answer.get("status", "")).isdecimal():
            check(int(answer["status"]))
        if not isinstance(answer, dict) or not isinstance(answer.get("totalResults"), int):
            raise TargetFailed(
                "The SCIM server answered without a list of users",
                "Check HRSYNC_SCIM__BASE_URL, then run again.",
            )
        return answer["totalResults"], list(answer.get("Resources") or [])

    # -- writing ----------------------------------------------------------------------------------

    def send(
        self, method: str, path: str, body: Mapping[str, Any], version: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Sends a request. Returns the status and the JSON object of the answer, empty without one.

        Raises:
            CredentialsRefused, TargetFailed: the request failed for a reason that is not in the
                row.
        """
        headers = {"If-Match": version} if version else {}
        answer = self.client.request(
            method,
            path,
            json=body,
            headers={"Content-Type": "application/scim+json", **headers},
            extensions={"retry": self._posting} if method == "POST" else {},
        )
        check(answer.status_code)
        content = _json(answer)
        if answer.is_success and answer.content and not content:
            raise TargetFailed(
                "The SCIM server gave an answer that is not SCIM (a login or proxy page?)",
                RUN_AGAIN,
            )
        return answer.status_code, content

    # -- faults -----------------------------------------------------------------------------------

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Converts errors of requests to errors of hrsync.

        Raises:
            CredentialsRefused, TargetFailed: the server cannot be reached.
        """
        try:
            yield
        except (httpx.HTTPError, RequestNetworkException) as error:
            raise TargetFailed(
                f"The SCIM server does not answer ({type(error).__name__})", RUN_AGAIN
            ) from None
        except SCIMException as error:
            status = int(getattr(error, "status", 0) or 0)
            if status:
                check(status)
            raise TargetFailed(
                f"The SCIM server refuses the read ({status or type(error).__name__})", RUN_AGAIN
            ) from None
        except SCIMClientException as error:
            answer = getattr(error, "response", None) or getattr(error, "source", None)
            status = int(getattr(answer, "status_code", 0) or 0)
            if status:
                check(status)
            raise TargetFailed(
                "The SCIM server gives an answer that is not SCIM "
                f"({status or type(error).__name__})",
                RUN_AGAIN,
            ) from None


def check(status: int) -> None:
    """Checks that a status is about the row, not about the server.

    Raises:
        CredentialsRefused, TargetFailed: the status is a fault of the server or of our credentials.
    """
    if status in (401, 403):
        raise CredentialsRefused(
            f"The SCIM server refuses the token ({status})", "Renew HRSYNC_SCIM__TOKEN."
        )
    if status in (0, 408, 425, 429) or 300 <= status < 400 or status >= 500:
        raise TargetFailed(
            f"The SCIM server answered {status or 'nothing'} after all retries", RUN_AGAIN
        )


class _Client(BaseSyncSCIMClient):
    """scim2-client over httpx, for which our retrying transport is made. Its own clients support
    only httpx2."""

    def __init__(self, http: httpx.Client) -> None:
        super().__init__(provider=ScimProvider(models=[User]), check_response_content_type=False)
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


def _parts(schemas: Iterable[Any]) -> dict[str, frozenset[str]]:
    """Maps each attribute of the core schema to its sub-attributes."""
    core = next((schema for schema in schemas if str(schema.id) == CORE), None)
    return {
        str(attribute.name): frozenset(str(part.name) for part in attribute.sub_attributes or [])
        for attribute in (core.attributes or [] if core else [])
        if attribute.sub_attributes
    }


def _json(answer: httpx.Response) -> dict[str, Any]:
    """Returns the JSON object of an answer, empty without one."""
    try:
        content = answer.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _id_of(resource: Any) -> str:
    """Returns the ID of a user, or all of something that is not an object."""
    return str(resource.get("id")) if isinstance(resource, dict) else json.dumps(resource)
