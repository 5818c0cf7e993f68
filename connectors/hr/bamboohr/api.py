"""Sends requests to BambooHR and interprets its answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from reconciliation.errors import CredentialsRefused, TargetFailed

from ...transport import network, posting, retrying
from .settings import BamboohrSettings

PAGE = 1000
"""Rows of a dataset in one answer: BambooHR's maximum."""
PASSES = 3
"""Maximum number of reads of all people while people are added or removed."""
AGAIN = "Check the BambooHR account, then run again. Nothing was lost."


class Rejected(Exception):
    """BambooHR refuses a request. The message repeats nothing of what was sent."""


class Api:
    """BambooHR over HTTP. After 429 it waits for Retry-After; a POST that may have been carried out
    is not repeated.

    Raises:
        CredentialsRefused, TargetFailed: BambooHR cannot be reached.
        Rejected: it refuses one request.
    """

    def __init__(self, settings: BamboohrSettings) -> None:
        key = settings.api_key.get_secret_value() if settings.api_key else ""
        self.settings, self.url = settings, str(settings.base_url).rstrip("/")
        self._reading = posting(settings.attempts, settings.backoff, safe=True)
        self._writing = posting(settings.attempts, settings.backoff, safe=False)
        self._http = httpx.Client(
            base_url=f"{self.url}/api/",
            auth=(key, "x"),
            headers={"Accept": "application/json"},
            timeout=settings.timeout,
            transport=retrying(network(), settings.attempts, settings.backoff),
        )

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    def everybody(self, fields: Sequence[str]) -> tuple[list[dict[str, Any]], bool]:
        """Returns all people as dicts of BambooHR's fields, and whether the read is complete.

        Pages do not overlap, so rows that shift between them go unnoticed. After a read of several
        pages the IDs are therefore read a second time; if they differ, everything is read again, at
        most :data:`PASSES` times.
        """
        for _ in range(PASSES):
            rows, total, reached_end = self.people(fields)
            if len(rows) <= PAGE or [row.get("id") for row in self.people(["id"])[0]] == [
                row.get("id") for row in rows
            ]:
                return rows, reached_end and len(rows) == total
        return rows, False

    def people(
        self, fields: Sequence[str], size: int = PAGE, pages: int | None = None
    ) -> tuple[list[dict[str, Any]], int, bool]:
        """Reads people once. Returns the rows, their total number, and whether all were read.

        At most ``pages`` pages of ``size`` rows are read. If BambooHR gives no total, pages are
        read until one is short. A row that is not an object is returned as a row without fields.
        """
        rows: list[dict[str, Any]] = []
        page = 1
        while True:
            body = {"fields": list(fields), "page": page, "pageSize": size}
            answer = self.call("POST", f"v2/datasets/{self.settings.dataset}/data", body, safe=True)
            if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
                raise TargetFailed("BambooHR answered without a list of people", AGAIN)
            page_rows = [_fields(row) for row in answer["data"]]
            rows += page_rows
            total = _total(answer)
            short, empty = len(page_rows) < size, not page_rows
            done = short if total is None else empty or len(rows) >= total
            if done or page == pages:
                return (
                    rows,
                    len(rows) if total is None else total,
                    done and len(rows) >= (total or 0),
                )
            page += 1

    def keyed(self, path: str) -> list[dict[str, Any]]:
        """Returns the values of an answer that is an object keyed by ID. BambooHR sends an empty
        list instead if there are none."""
        answer = self.call("GET", path)
        return (
            [dict(value) for value in answer.values() if isinstance(value, dict)]
            if isinstance(answer, dict)
            else []
        )

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, safe: bool = False
    ) -> Any:
        """Sends a request and returns the JSON of the answer, or ``None`` if it is empty.

        If an empty answer has a Location header, its last part is returned: the ID of what was
        created. ``safe`` marks a POST that can be repeated.
        """
        extensions = {"retry": self._reading if safe else self._writing} if method == "POST" else {}
        with self._speaking():
            answer = self._http.request(method, path, json=body, extensions=extensions)
        status = answer.status_code
        if status in (401, 403):
            raise CredentialsRefused(
                f"BambooHR refuses the API key ({status})",
                "Renew HRSYNC_BAMBOOHR__API_KEY, or give its user the permission to read and edit "
                "people.",
            )
        if status in (408, 425, 429) or 300 <= status < 400 or status >= 500:
            raise TargetFailed(f"BambooHR answered {status} after all retries", AGAIN)
        if not answer.is_success:
            raise Rejected(f"BambooHR refused it ({status})")
        if "location" in answer.headers and not answer.content:
            return answer.headers["location"].rstrip("/").rpartition("/")[2]
        try:
            return answer.json() if answer.content else None
        except ValueError:
            raise TargetFailed(
                "BambooHR answered something that is not JSON (a login or proxy page?)", AGAIN
            ) from None

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        """Converts network errors to TargetFailed."""
        try:
            yield
        except httpx.HTTPError as error:
            raise TargetFailed(
                f"BambooHR does not answer ({type(error).__name__})", AGAIN
            ) from None


def _fields(row: object) -> dict[str, Any]:
    """Returns the fields of a row of a dataset."""
    fields = row.get("fields") if isinstance(row, dict) else None
    return fields if isinstance(fields, dict) else {}


def _total(answer: Mapping[str, Any]) -> int | None:
    """Returns the total number of rows of a dataset, or ``None`` if the answer has none."""
    meta = answer.get("meta")
    total = meta.get("totalItems") if isinstance(meta, dict) else None
    return total if isinstance(total, int) else None
