"""Tests the assumptions of the dialect against a live tenant, for ``hrsync doctor``. It reads
metadata and records and requests a token that cannot be granted; it changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpx

from reconciliation.errors import HrsyncError

from .client import AccessplanitSource
from .decode import wire_name
from .feeds import FEEDS

Verdict = Literal["confirmed", "refuted", "warning", "not testable"]
"""The result of a check. A warning means that something works but is not safe."""
LIKELY = {
    "completed_on": r"complet|pass|achiev|award(ed)?date",
    "expires_on": r"expir",
    "user_full_name": r"user.?full.?name",
}
"""Column -> pattern for the tenant's name of the field, to suggest one if our name is wrong."""
CLOCK_TOLERANCE = 120.0
"""Maximum difference between this machine's clock and accessplanit's, in seconds."""


@dataclass(frozen=True)
class Finding:
    """The result of one check, as ``hrsync doctor`` shows it."""

    check: str
    """The name of the check."""
    verdict: Verdict
    says: str
    """What the check has found, without a full stop."""
    remedy: str = ""
    """What to do; empty if no action is needed."""


def probe(source: AccessplanitSource) -> list[Finding]:
    """Checks the credentials, then the rights and each assumption. If accessplanit refuses the
    credentials or does not answer, nothing else is checked."""
    checker = _Checker(source)
    try:
        checker.get("User", {"$top": "1", "$select": "ID"})
    except HrsyncError as error:
        return [Finding("credentials", "refuted", error.what, error.remedy)]
    except httpx.HTTPError as error:
        remedy = "Check HRSYNC_ACCESSPLANIT__BASE_URL and the network."
        return [
            Finding(
                "connection",
                "refuted",
                f"accessplanit does not answer ({type(error).__name__})",
                remedy,
            )
        ]
    findings = [Finding("credentials", "confirmed", "accessplanit accepts the credentials")]
    checks: list[Callable[[], list[Finding]]] = [
        checker.rights,
        checker.clock,
        checker.results_key,
        checker.count_key,
        checker.page_size,
        checker.date_literals,
        checker.or_filters,
        checker.metadata_path,
        checker.date_updated,
        checker.names,
        checker.sparse,
        checker.token_path,
        checker.zone,
    ]
    for check in checks:
        try:
            findings += check()
        except (HrsyncError, httpx.HTTPError, ValueError) as error:
            findings.append(
                Finding(
                    check.__name__,
                    "not testable",
                    f"the check itself failed ({type(error).__name__})",
                )
            )
    return findings


def _setting(name: str, value: object) -> str:
    """Returns the remedy that sets a field of the dialect. It has no full stop, which could be
    taken for a part of the value."""
    text = value if isinstance(value, str) else json.dumps(value)
    return f"Set HRSYNC_DIALECT__{name.upper()}={text}"


class _Checker:
    """The checks. ``hrsync doctor`` shows the names of most methods as the names of the checks."""

    def __init__(self, source: AccessplanitSource) -> None:
        self.source, self.dialect = source, source.dialect
        self._metadata: dict[str, list[dict[str, Any]] | None] = {}

    def get(self, module: str, query: dict[str, str]) -> httpx.Response:
        """Sends a GET for a module. Returns the answer, whatever its status."""
        return self.source.http.get(f"{self.source.root}/api/v2/{module}", params=query)

    def rows(self, response: httpx.Response) -> list[Any]:
        """Returns the first list in an answer under any key; empty if there is none or the answer
        is not 2xx."""
        body = response.json() if response.is_success else {}
        return (
            next((v for v in body.values() if isinstance(v, list)), [])
            if isinstance(body, dict)
            else []
        )

    def fields(self, module: str) -> list[dict[str, Any]] | None:
        """Returns the fields in the module's metadata, each an object with ``name``; ``None`` if
        there is no metadata."""
        if module not in self._metadata:
            response = self.source.http.get(
                f"{self.source.root}/{self.dialect.metadata_path}/{module}"
            )
            body = response.json() if response.is_success else None
            lists = (
                [v for v in body.values() if isinstance(v, list)] if isinstance(body, dict) else []
            )
            fields = next(
                (v for v in lists if v and isinstance(v[0], dict) and "name" in v[0]), None
            )
            self._metadata[module] = fields
        return self._metadata[module]

    def rights(self) -> list[Finding]:
        findings = []
        for feed in FEEDS:
            response = self.get(feed, {"$top": "1", "$select": "ID"})
            if response.is_success and self.rows(response):
                findings.append(
                    Finding(f"rights on {feed}", "confirmed", "the service user can read records")
                )
            else:
                says = (
                    "the service user gets no records"
                    if response.is_success
                    else f"accessplanit answered {response.status_code}"
                )
                remedy = (
                    "Ask the accessplanit administrator to check the service user's rights on "
                    f"{feed}. Without rights, a feed can look empty."
                )
                findings.append(Finding(f"rights on {feed}", "refuted", says, remedy))
        return findings

    def clock(self) -> list[Finding]:
        date = self.get("User", {"$top": "1", "$select": "ID"}).headers.get("Date")
        if not date:
            return [Finding("clock", "not testable", "accessplanit sends no Date header")]
        seconds = abs((datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds())
        says = f"this machine's clock and accessplanit's differ by {seconds:.0f} s"
        if seconds <= CLOCK_TOLERANCE:
            return [Finding("clock", "confirmed", says)]
        return [Finding("clock", "refuted", says, "Set this machine's clock, for example by NTP.")]

    def results_key(self) -> list[Finding]:
        body = self.get("User", {"$top": "1", "$select": "ID"}).json()
        lists = [k for k, v in body.items() if isinstance(v, list)]
        assumed = self.dialect.results_key
        if assumed in lists:
            return [Finding("results_key", "confirmed", f"the rows are under '{assumed}'")]
        if not lists:
            remedy = "Check HRSYNC_ACCESSPLANIT__BASE_URL."
            return [Finding("results_key", "refuted", "the answer has no list of rows", remedy)]
        keys = " or ".join(f"'{key}'" for key in lists)
        remedy = _setting("results_key", lists[0])
        return [Finding("results_key", "refuted", f"the rows are under {keys}", remedy)]

    def count_key(self) -> list[Finding]:
        body = self.get("User", {"$top": "1", "$select": "ID", "$count": "true"}).json()
        counts = [k for k, v in body.items() if isinstance(v, int) and not isinstance(v, bool)]
        assumed = self.dialect.count_key
        if assumed in counts or (assumed is None and not counts):
            return [
                Finding(
                    "count_key",
                    "confirmed",
                    f"the total is under '{assumed}'" if assumed else "the tenant gives no total",
                )
            ]
        value = counts[0] if counts else None
        return [
            Finding(
                "count_key",
                "refuted",
                f"the total is under '{value}'" if value else "the tenant gives no total",
                _setting("count_key", value),
            )
        ]

    def page_size(self) -> list[Finding]:
        size = self.dialect.page_size
        for feed in FEEDS:
            query = {"$select": "ID", "$orderby": "ID asc", "$top": str(size)}
            got = len(self.rows(self.get(feed, query)))
            if got >= size:
                return [Finding("page_size", "confirmed", f"a page can have {size} rows")]
            # A shorter page is the tenant's largest page if more rows follow it.
            if got and self.rows(self.get(feed, {**query, "$top": "1", "$skip": str(got)})):
                return [
                    Finding(
                        "page_size",
                        "refuted",
                        f"a page has at most {got} rows",
                        _setting("page_size", got),
                    )
                ]
        return [Finding("page_size", "not testable", f"no feed fills a page of {size} rows")]

    def date_literals(self) -> list[Finding]:
        forms = {"bare": "2000-01-01T00:00:00", "quoted": "'2000-01-01T00:00:00'"}
        accepted = [
            name
            for name, text in forms.items()
            if self.get(
                "User", {"$top": "1", "$select": "ID", "$filter": f"DateCreated ge {text}"}
            ).is_success
        ]
        assumed = self.dialect.date_literals
        if assumed in accepted:
            says = f"the tenant accepts {assumed} dates in $filter"
            return [Finding("date_literals", "confirmed", says)]
        remedy = (
            _setting("date_literals", accepted[0])
            if accepted
            else "Ask the vendor how to write a date in $filter."
        )
        says = f"the tenant does not accept {assumed} dates in $filter"
        return [Finding("date_literals", "refuted", says, remedy)]

    def or_filters(self) -> list[Finding]:
        accepted = self.get(
            "User", {"$top": "1", "$select": "ID", "$filter": "ID eq 'a' or ID eq 'b'"}
        ).is_success
        if accepted:
            return [Finding("or_filters", "confirmed", "the tenant accepts 'or' in $filter")]
        if not self.dialect.or_filters:
            return [Finding("or_filters", "confirmed", "hrsync does not use 'or' in $filter")]
        says = "the tenant does not accept 'or' in $filter"
        return [Finding("or_filters", "refuted", says, _setting("or_filters", False))]

    def metadata_path(self) -> list[Finding]:
        if self.fields("User"):
            return [Finding("metadata_path", "confirmed", "the metadata lists the fields")]
        return [
            Finding(
                "metadata_path",
                "refuted",
                f"there is no metadata under {self.dialect.metadata_path}",
                "Set HRSYNC_DIALECT__METADATA_PATH to the path of the metadata.",
            )
        ]

    def date_updated(self) -> list[Finding]:
        assumed = self.dialect.date_updated
        names = {feed: {f["name"].lower() for f in self.fields(feed) or []} for feed in FEEDS}
        if not all(names.values()):
            return [Finding("date_updated", "not testable", "not every feed has metadata")]
        if assumed is None:
            return [Finding("date_updated", "confirmed", "every run reads whole feeds")]
        lacking = [feed for feed, known in names.items() if assumed.lower() not in known]
        if not lacking:
            return [Finding("date_updated", "confirmed", f"every feed has the field {assumed}")]
        verb = "has" if len(lacking) == 1 else "have"
        says = f"{', '.join(lacking)} {verb} no field {assumed}"
        return [
            Finding(
                "date_updated",
                "refuted",
                says,
                _setting("date_updated", None) + " (every run then reads whole feeds)",
            )
        ]

    def names(self) -> list[Finding]:
        suggested: dict[str, str] = {}
        unknown: list[str] = []
        for feed, model in FEEDS.items():
            fields = self.fields(feed)
            if fields is None:
                return [Finding("names", "not testable", f"there is no metadata for {feed}")]
            known = {f["name"].lower() for f in fields}
            for column in model.model_fields:
                wire = wire_name(feed, column, self.dialect)
                if wire is None or wire.lower() in known or column == "updated_at":
                    continue
                pattern = LIKELY.get(column)
                guess = next(
                    (
                        f["name"]
                        for f in fields
                        if pattern and re.search(pattern, f["name"], re.IGNORECASE)
                    ),
                    None,
                )
                if guess:
                    suggested[f"{feed}.{column}"] = guess
                else:
                    unknown.append(f"{feed}.{column}")
        if not suggested and not unknown:
            return [Finding("names", "confirmed", "the metadata has every field of the feeds")]
        says = "; ".join(
            [
                *(f"{field} seems to be called {name}" for field, name in suggested.items()),
                *(f"{field} is not in the metadata" for field in unknown),
            ]
        )
        remedy = (
            _setting("names", {**self.dialect.names, **suggested})
            if suggested
            else "Find the names of these fields in the metadata and set HRSYNC_DIALECT__NAMES."
        )
        return [Finding("names", "refuted", says, remedy)]

    def sparse(self) -> list[Finding]:
        for feed in FEEDS:
            wires = [
                wire
                for column in FEEDS[feed].model_fields
                if (wire := wire_name(feed, column, self.dialect))
            ]
            rows = [
                row
                for row in self.rows(self.get(feed, {"$top": "50", "$select": ",".join(wires)}))
                if isinstance(row, dict)
            ]
            keys = [{str(key).lower() for key in row} for row in rows]
            present = {wire: [wire.lower() in names for names in keys] for wire in wires}
            sometimes = [wire for wire, each in present.items() if any(each) and not all(each)]
            if sometimes and not self.dialect.sparse:
                says = f"some records of {feed} lack {', '.join(sorted(sometimes))}"
                return [Finding("sparse", "refuted", says, _setting("sparse", True))]
        return [
            Finding(
                "sparse",
                "confirmed",
                "records may leave out fields without a value"
                if self.dialect.sparse
                else "the first 50 records of each feed have the same fields",
            )
        ]

    def token_path(self) -> list[Finding]:
        response = self.source.http.post(
            f"{self.source.root}/api/v2/{self.dialect.token_path}", data={"grant_type": "none"}
        )
        path = f"api/v2/{self.dialect.token_path}"
        if response.status_code != 404:
            return [Finding("token_path", "confirmed", f"there is a token endpoint at {path}")]
        return [
            Finding(
                "token_path",
                "refuted",
                f"there is no token endpoint at {path} (404)",
                "Set HRSYNC_DIALECT__TOKEN_PATH to its path below api/v2.",
            )
        ]

    def zone(self) -> list[Finding]:
        says = f"times without an offset are read as times in {self.dialect.zone}"
        remedy = (
            "Change a user and compare its DateUpdated with the clock. If they differ, set "
            "HRSYNC_DIALECT__ZONE."
        )
        return [Finding("zone", "not testable", says, remedy)]
