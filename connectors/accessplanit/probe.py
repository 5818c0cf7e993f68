"""Asks a live tenant about every assumption of the dialect, by metadata and harmless reads."""

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
"""A warning is about what works and is not safe."""
LIKELY = {
    "completed_on": r"complet|pass|achiev|award(ed)?date",
    "expires_on": r"expir",
    "user_full_name": r"user.?full.?name",
}
"""What another name for a field may look like."""
CLOCK_TOLERANCE = 120.0


@dataclass(frozen=True)
class Finding:
    """What was found about one thing; ``remedy`` names who must do what, empty where all is
    well."""

    check: str
    verdict: Verdict
    says: str
    remedy: str = ""


def probe(source: AccessplanitSource) -> list[Finding]:
    """Credentials and rights first; if they are refused, nothing else can be asked."""
    asker = _Asker(source)
    try:
        asker.get("User", {"$top": "1", "$select": "ID"})
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
    found = [Finding("credentials", "confirmed", "accessplanit accepts them")]
    checks: list[Callable[[], list[Finding]]] = [
        asker.rights,
        asker.clock,
        asker.results_key,
        asker.count_key,
        asker.page_size,
        asker.date_literals,
        asker.or_filters,
        asker.metadata_path,
        asker.date_updated,
        asker.names,
        asker.sparse,
        asker.token_path,
        asker.zone,
    ]
    for check in checks:
        try:
            found += check()
        except (HrsyncError, httpx.HTTPError, ValueError) as error:
            found.append(
                Finding(
                    check.__name__,
                    "not testable",
                    f"the test itself failed ({type(error).__name__})",
                )
            )
    return found


def _setting(name: str, value: object) -> str:
    text = "null" if value is None else value if isinstance(value, str) else json.dumps(value)
    return f"Set HRSYNC_DIALECT__{name.upper()}={text}"


class _Asker:
    def __init__(self, source: AccessplanitSource) -> None:
        self.source, self.dialect = source, source.dialect
        self._metadata: dict[str, list[dict[str, Any]] | None] = {}

    def get(self, module: str, query: dict[str, str]) -> httpx.Response:
        return self.source.http.get(f"{self.source.root}/api/v2/{module}", params=query)

    def rows(self, response: httpx.Response) -> list[Any]:
        body = response.json() if response.is_success else {}
        return (
            next((v for v in body.values() if isinstance(v, list)), [])
            if isinstance(body, dict)
            else []
        )

    def fields(self, module: str) -> list[dict[str, Any]] | None:
        """The metadata's fields: each an object with a name. ``None`` if there is no metadata."""
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
        found = []
        for feed in FEEDS:
            response = self.get(feed, {"$top": "1", "$select": "ID"})
            if response.is_success and self.rows(response):
                found.append(
                    Finding(f"rights on {feed}", "confirmed", "the service user sees records")
                )
            else:
                says = (
                    "the service user sees no record"
                    if response.is_success
                    else f"the answer is {response.status_code}"
                )
                remedy = (
                    "The accessplanit administrator must check the service user's rights on "
                    f"{feed}: no rights and no records look alike."
                )
                found.append(Finding(f"rights on {feed}", "refuted", says, remedy))
        return found

    def clock(self) -> list[Finding]:
        date = self.get("User", {"$top": "1", "$select": "ID"}).headers.get("Date")
        if not date:
            return [Finding("clock", "not testable", "the server sends no Date")]
        apart = abs((datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds())
        if apart <= CLOCK_TOLERANCE:
            return [Finding("clock", "confirmed", f"{apart:.0f} s apart")]
        return [
            Finding(
                "clock",
                "refuted",
                f"{apart:.0f} s apart",
                "Set this machine's clock (NTP).",
            )
        ]

    def results_key(self) -> list[Finding]:
        body = self.get("User", {"$top": "1", "$select": "ID"}).json()
        lists = [k for k, v in body.items() if isinstance(v, list)]
        if self.dialect.results_key in lists:
            return [
                Finding(
                    "results_key", "confirmed", f"rows stand under '{self.dialect.results_key}'"
                )
            ]
        says = f"rows stand under {lists or 'no key'}"
        return [
            Finding(
                "results_key",
                "refuted",
                says,
                _setting("results_key", lists[0]) if lists else "Check base_url.",
            )
        ]

    def count_key(self) -> list[Finding]:
        body = self.get("User", {"$top": "1", "$select": "ID", "$count": "true"}).json()
        counts = [k for k, v in body.items() if isinstance(v, int) and not isinstance(v, bool)]
        assumed = self.dialect.count_key
        if assumed in counts or (assumed is None and not counts):
            return [
                Finding(
                    "count_key",
                    "confirmed",
                    f"the total stands under '{assumed}'"
                    if assumed
                    else "the tenant gives no total",
                )
            ]
        value = counts[0] if counts else None
        return [
            Finding(
                "count_key",
                "refuted",
                f"the total stands under '{value}'" if value else "no total is given",
                _setting("count_key", value),
            )
        ]

    def page_size(self) -> list[Finding]:
        asked = self.dialect.page_size
        for feed in FEEDS:
            query = {"$select": "ID", "$orderby": "ID asc", "$top": str(asked)}
            got = len(self.rows(self.get(feed, query)))
            if got >= asked:
                return [Finding("page_size", "confirmed", f"a page holds {asked} rows")]
            if got and self.rows(self.get(feed, {**query, "$top": "1", "$skip": str(got)})):
                return [
                    Finding(
                        "page_size",
                        "refuted",
                        f"a page holds at most {got} rows",
                        _setting("page_size", got),
                    )
                ]
        return [Finding("page_size", "not testable", f"no feed has {asked} rows")]

    def date_literals(self) -> list[Finding]:
        forms = {"bare": "2000-01-01T00:00:00", "quoted": "'2000-01-01T00:00:00'"}
        works = [
            name
            for name, text in forms.items()
            if self.get(
                "User", {"$top": "1", "$select": "ID", "$filter": f"DateCreated ge {text}"}
            ).is_success
        ]
        if self.dialect.date_literals in works:
            return [
                Finding(
                    "date_literals",
                    "confirmed",
                    f"{self.dialect.date_literals} dates are understood",
                )
            ]
        remedy = (
            _setting("date_literals", works[0])
            if works
            else "Ask the vendor how a date is written in $filter."
        )
        return [
            Finding(
                "date_literals",
                "refuted",
                f"{self.dialect.date_literals} dates are not understood",
                remedy,
            )
        ]

    def or_filters(self) -> list[Finding]:
        works = self.get(
            "User", {"$top": "1", "$select": "ID", "$filter": "ID eq 'a' or ID eq 'b'"}
        ).is_success
        if works or not self.dialect.or_filters:
            return [
                Finding(
                    "or_filters", "confirmed", "'or' is understood" if works else "'or' is not used"
                )
            ]
        return [
            Finding(
                "or_filters", "refuted", "'or' is not understood", _setting("or_filters", False)
            )
        ]

    def metadata_path(self) -> list[Finding]:
        if self.fields("User"):
            return [Finding("metadata_path", "confirmed", "the metadata names the fields")]
        return [
            Finding(
                "metadata_path",
                "refuted",
                "no metadata there",
                "Set HRSYNC_DIALECT__METADATA_PATH.",
            )
        ]

    def date_updated(self) -> list[Finding]:
        assumed = self.dialect.date_updated
        names = {feed: {f["name"].lower() for f in self.fields(feed) or []} for feed in FEEDS}
        if not all(names.values()):
            return [Finding("date_updated", "not testable", "without metadata")]
        if assumed is None:
            return [Finding("date_updated", "confirmed", "every run reads whole feeds")]
        lacking = [feed for feed, known in names.items() if assumed.lower() not in known]
        if not lacking:
            return [Finding("date_updated", "confirmed", f"every feed has {assumed}")]
        says = f"{', '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} no {assumed}"
        return [
            Finding(
                "date_updated",
                "refuted",
                says,
                _setting("date_updated", None) + " (every run then reads whole feeds)",
            )
        ]

    def names(self) -> list[Finding]:
        wrong: dict[str, str] = {}
        lost: list[str] = []
        for feed, model in FEEDS.items():
            fields = self.fields(feed)
            if fields is None:
                return [Finding("names", "not testable", "without metadata")]
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
                    wrong[f"{feed}.{column}"] = guess
                else:
                    lost.append(f"{feed}.{column}")
        if not wrong and not lost:
            return [Finding("names", "confirmed", "the metadata has every field of the feeds")]
        says = "; ".join(
            [
                *(f"{field} seems to be called {name}" for field, name in wrong.items()),
                *(f"{field} is not in the metadata" for field in lost),
            ]
        )
        remedy = (
            _setting("names", {**self.dialect.names, **wrong})
            if wrong
            else "Find their names in the metadata."
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
            has = {wire: [wire.lower() in known for known in keys] for wire in wires}
            some_lack = [wire for wire, had in has.items() if any(had) and not all(had)]
            if some_lack and not self.dialect.sparse:
                says = f"some records of {feed} lack {', '.join(sorted(some_lack))}"
                return [Finding("sparse", "refuted", says, _setting("sparse", True))]
        return [
            Finding(
                "sparse",
                "confirmed",
                "fields without a value may be left out"
                if self.dialect.sparse
                else "records are whole",
            )
        ]

    def token_path(self) -> list[Finding]:
        response = self.source.http.post(
            f"{self.source.root}/api/v2/{self.dialect.token_path}", data={"grant_type": "none"}
        )
        if response.status_code != 404:
            return [Finding("token_path", "confirmed", "a token endpoint is there")]
        return [
            Finding(
                "token_path",
                "refuted",
                "there is no token endpoint",
                "Set HRSYNC_DIALECT__TOKEN_PATH.",
            )
        ]

    def zone(self) -> list[Finding]:
        says = (
            f"times are read as {self.dialect.zone}; to test it, change a user and compare its "
            "DateUpdated with the clock"
        )
        return [Finding("zone", "not testable", says)]
