"""A SCIM server: what it supports, its users page by page, and its faults."""

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
from .user import CORE, ENTERPRISE, Resource, attributes

PASSES = 3
"""Maximum number of passes over all users while they change."""
RUN_AGAIN = "Look at the server, then run again; nothing was lost."


class ScimServer:
    """The protocol is scim2-client's; the requests go through our retrying transport.

    The server is asked once what it supports (filter, PATCH, bulk, ETag) and which attributes its
    schemas have. Its users are read as plain JSON: no model is made of its schemas.

    Raises:
        CredentialsRefused, TargetFailed: it cannot be asked.
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
        """Attribute of the core schema -> the parts of each of its values."""

    def absent(self, columns: Iterable[str]) -> frozenset[str]:
        """Those of ``columns`` for whose attribute the server's schemas have no place."""
        if CORE not in self._described:
            return frozenset()
        # Without a type there is one telephone number, not two.
        untyped = "type" not in self.parts.get("phoneNumbers", {"type"})
        found = {column for column in columns if not self._describes(attributes(column))}
        return frozenset(found | ({"mobile"} if untyped else set()))

    def _describes(self, attribute: str) -> bool:
        if attribute.startswith(ENTERPRISE):
            return attribute.rpartition(".")[2] in self._described.get(ENTERPRISE, set())
        return attribute == "externalId" or attribute.partition(".")[0] in self._described[CORE]

    def _schemas(self) -> list[Any]:
        answer = self.client.request("GET", "Schemas")
        check(answer.status_code)
        if not answer.is_success:
            return []
        return list(ListResponse[Schema].model_validate(answer.json()).resources or [])

    # -- reading ----------------------------------------------------------------------------------

    def users(self, text: str | None) -> tuple[list[Resource], bool]:
        """All users that a filter finds, page by page, and whether these are as many as the server
        says it has.

        The server chooses the size of a page: some fail when they are asked for one.
        """
        for _ in range(PASSES):
            resources, steady = self._once(text)
            if steady:
                break
        return resources, steady

    def _once(self, text: str | None) -> tuple[list[Resource], bool]:
        """One pass, and whether nothing disturbed it: each page begins with the last user of the
        one before, and the total stays."""
        total, page = self.page(text, 1)
        found = list(page)
        while page and len(found) < total:
            again, page = self.page(text, len(found))
            if again != total or not page or _id_of(page[0]) != _id_of(found[-1]):
                return found, False
            if len(page) == 1:
                # A server that gives one user at a time leaves no room for the overlap.
                again, page = self.page(text, len(found) + 1)
                found += page
            else:
                found += page[1:]
        names = [_id_of(resource) for resource in found]
        return found, len(found) >= total and len(set(names)) == len(names)

    def page(self, text: str | None, start: int) -> tuple[int, list[Resource]]:
        """The total, and the page of users that begins with the ``start``-th."""
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
                "The SCIM server answers with no list",
                "Check HRSYNC_SCIM__BASE_URL, then run again.",
            )
        return answer["totalResults"], list(answer.get("Resources") or [])

    # -- writing ----------------------------------------------------------------------------------

    def send(
        self, method: str, path: str, body: Mapping[str, Any], version: str | None = None
    ) -> tuple[int, dict[str, Any]]:
        """The status of the answer and its object, empty where it has none.

        Raises:
            CredentialsRefused, TargetFailed: the fault is the server's, not the row's.
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
        found = _json(answer)
        if answer.is_success and answer.content and not found:
            raise TargetFailed(
                "The SCIM server gave an answer that is not SCIM (a login or proxy page?)",
                RUN_AGAIN,
            )
        return answer.status_code, found

    # -- faults -----------------------------------------------------------------------------------

    @contextmanager
    def speaking(self) -> Iterator[None]:
        """Turns what goes wrong while the server is asked into our errors.

        Raises:
            CredentialsRefused, TargetFailed: it cannot be asked.
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
                f"The SCIM server refuses to be read ({status or type(error).__name__})", RUN_AGAIN
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
    """Lets a status pass that is the row's own.

    Raises:
        CredentialsRefused, TargetFailed: the fault is the server's; the message says what to do.
    """
    if status in (401, 403):
        raise CredentialsRefused(
            f"The SCIM server refuses the token ({status})", "Renew HRSYNC_SCIM__TOKEN."
        )
    if status in (0, 408, 425, 429) or 300 <= status < 400 or status >= 500:
        raise TargetFailed(
            f"The SCIM server answered {status or 'nothing'} again and again", RUN_AGAIN
        )


class _Client(BaseSyncSCIMClient):
    """scim2-client over httpx: its own engines know httpx2 only, and the retrying transport is
    httpx's."""

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
    core = next((schema for schema in schemas if str(schema.id) == CORE), None)
    return {
        str(attribute.name): frozenset(str(part.name) for part in attribute.sub_attributes or [])
        for attribute in (core.attributes or [] if core else [])
        if attribute.sub_attributes
    }


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _id_of(resource: Any) -> str:
    return str(resource.get("id")) if isinstance(resource, dict) else json.dumps(resource)
