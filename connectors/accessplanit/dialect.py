"""Collects every assumption about API v2 that public documentation does not settle.

The environment variable ``HRSYNC_DIALECT__<NAME>`` overrides an assumption, and ``hrsync doctor``
tests each against a live tenant. The sandbox can be switched to give other answers to many of these
questions (``sandbox/tenant.py``), so that the tests cover them. No other module may assume any of
this.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator


def _assumption(default: Any, text: str, evidence: str, ge: int | None = None) -> Any:
    """Declares a field of :class:`Dialect`. ``ge`` is its smallest allowed value."""
    more: dict[str, Any] = {"evidence": evidence}
    return Field(default=default, description=text, json_schema_extra=more, ge=ge)


class Dialect(BaseModel):
    """The assumptions about a tenant. Defaults are the values with the best public evidence.

    Each states its evidence, in words or by these codes:

    - V: vendor documentation
    - VC: vendor code
    - 3P: working code of third parties
    - V1: documentation of API v1
    - HELP: a help page
    - INF: inferred
    - none: a guess that a test must confirm
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    results_key: str = _assumption("results", "envelope key of the rows of a list", "VC, 3P")
    count_key: str | None = _assumption(
        "count",
        "envelope key of the total that $count=true asks for; null: no total is given",
        "none",
    )
    # From the second page on, a page begins with the last row of the page before: one row per page
    # would lead nowhere.
    page_size: int = _assumption(
        1000, "rows to ask for in one page; smaller pages are detected", "none", ge=2
    )
    date_literals: Literal["bare", "quoted"] = _assumption(
        "bare", "whether a date in $filter is bare or quoted", "one example in a README, bare"
    )
    or_filters: bool = _assumption(
        True,
        "whether $filter accepts 'or'; false: one request for each alternative. hrsync never "
        "sends parentheses",
        "VC (an enum)",
    )
    date_updated: str | None = _assumption(
        "DateUpdated",
        "the field with the time of the last change; null: every run reads whole feeds",
        "V for User, INF elsewhere",
    )
    zone: str = _assumption(
        "Europe/London", "the time zone of times without an offset", "INF from UK labels"
    )
    no_end: tuple[date, ...] = _assumption(
        (date(1, 1, 1), date(9999, 12, 31)), "dates that stand for no date", "none"
    )
    names: dict[str, str] = _assumption(
        {},
        "wire names that differ from feeds.py, as {'UserAward.completed_on': 'Passed'}",
        "HELP: importer columns",
    )
    sparse: bool = _assumption(
        False, "whether records leave out the fields that have no value", "none"
    )
    upsert: str | None = _assumption(
        None,
        "query parameter that makes a POST update the record with the same ExternalID; "
        "null: not used",
        "none",
    )
    clear: Literal["null", "empty"] = _assumption(
        "null", "what a PUT sends to empty a field: null, or an empty text", "none"
    )
    lists: dict[str, tuple[str, ...]] = _assumption(
        {},
        "allowed values of drop-down fields, as {'User.country': ['United Kingdom']}; fields not "
        "listed here are not checked",
        "V1",
    )
    token_path: str = _assumption("token", "path of the token endpoint below api/v2", "3P, VC")
    metadata_path: str = _assumption(
        "apihelp/v2/modules", "path of the metadata, outside api/v2", "3P"
    )

    @field_validator("count_key", "date_updated", "upsert", mode="before")
    @classmethod
    def _without_null(cls, value: object) -> object:
        """Reads the text ``null`` in an environment variable as no value."""
        return None if value == "null" else value

    @field_validator("zone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ValueError, OSError, KeyError):
            raise ValueError("is not a zone of the IANA database, such as Europe/London") from None
        return value

    @classmethod
    def assumptions(cls) -> dict[str, tuple[str, str]]:
        """Maps the name of each assumption to (description, evidence)."""
        schema = cls.model_json_schema()["properties"]
        return {
            name: (str(schema[name]["description"]), str(schema[name]["evidence"]))
            for name in cls.model_fields
        }
