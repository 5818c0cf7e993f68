"""The requests to BambooHR and what its answers mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from reconciliation.errors import CredentialsRefused, TargetFailed

from ...transport import network, posting, retrying
from .settings import BamboohrSettings

PAGE = 1000
"""Rows of a dataset in one answer, the most there are."""
PASSES = 3
"""Times that everybody is read while people come and go."""
AGAIN = "Look at the account, then run again; nothing was lost."


class Rejected(Exception):
    """BambooHR refuses what was sent; the message repeats nothing of it."""


class Api:
    """BambooHR over HTTP: 429 with Retry-After is waited out; a POST that may have been carried out
    is not repeated.

    Raises:
        CredentialsRefused, TargetFailed: it cannot be asked. Rejected: it refuses one request.
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
        """(people, whether these are all): field -> what BambooHR says.

        Pages have no overlap that would show a shift: of several pages the IDs are read once more,
        until they are the same.
        """
        for _ in range(PASSES):
            rows, total, whole = self.people(fields)
            if len(rows) <= PAGE or [row.get("id") for row in self.people(["id"])[0]] == [
                row.get("id") for row in rows
            ]:
                return rows, whole and len(rows) == total
        return rows, False

    def people(
        self, fields: Sequence[str], size: int = PAGE, pages: int | None = None
    ) -> tuple[list[dict[str, Any]], int, bool]:
        """(rows, all of them there are, whether these are all) of one pass.

        An answer that does not say how many there are is followed until a page is short. A row that
        is not an object is one without any field.
        """
        rows: list[dict[str, Any]] = []
        page = 1
        while True:
            body = {"fields": list(fields), "page": page, "pageSize": size}
            answer = self.call("POST", f"v2/datasets/{self.settings.dataset}/data", body, safe=True)
            if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
                raise TargetFailed("BambooHR answers with no list of people", AGAIN)
            some = [_fields(row) for row in answer["data"]]
            rows += some
            total = _total(answer)
            done = len(some) < size if total is None else not some or len(rows) >= total
            if done or page == pages:
                return (
                    rows,
                    len(rows) if total is None else total,
                    done and len(rows) >= (total or 0),
                )
            page += 1

    def keyed(self, path: str) -> list[dict[str, Any]]:
        """An answer that is an object keyed by ID, or an empty list where there is nothing."""
        answer = self.call("GET", path)
        return (
            [dict(value) for value in answer.values() if isinstance(value, dict)]
            if isinstance(answer, dict)
            else []
        )

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, safe: bool = False
    ) -> Any:
        """The JSON of an answer, ``None`` where it has none; of a creation with a Location,
        that."""
        extensions = {"retry": self._reading if safe else self._writing} if method == "POST" else {}
        with self._speaking():
            answer = self._http.request(method, path, json=body, extensions=extensions)
        status = answer.status_code
        if status in (401, 403):
            raise CredentialsRefused(
                f"BambooHR refuses the API key ({status})",
                "Renew HRSYNC_BAMBOOHR__API_KEY, or give its user the "
                "right to read and edit people.",
            )
        if status in (408, 425, 429) or 300 <= status < 400 or status >= 500:
            raise TargetFailed(f"BambooHR answered {status} again and again", AGAIN)
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
        try:
            yield
        except httpx.HTTPError as error:
            raise TargetFailed(
                f"BambooHR does not answer ({type(error).__name__})", AGAIN
            ) from None


def _fields(row: object) -> dict[str, Any]:
    found = row.get("fields") if isinstance(row, dict) else None
    return found if isinstance(found, dict) else {}


def _total(answer: Mapping[str, Any]) -> int | None:
    meta = answer.get("meta")
    total = meta.get("totalItems") if isinstance(meta, dict) else None
    return total if isinstance(total, int) else None
