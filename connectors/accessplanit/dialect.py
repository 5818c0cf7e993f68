"""Collects every assumption about API v2 that public documentation does not settle.

The environment variable ``HRSYNC_DIALECT__<NAME>`` overrides an assumption, ``hrsync doctor`` tests
each against a live tenant, and the sandbox has its own switches for the same questions. No other
module may assume any of this.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator


def _assumed(default: object, text: str, evidence: str) -> object:
    return Field(default=default, description=text, json_schema_extra={"evidence": evidence})


class Dialect(BaseModel):
    """The assumptions about a tenant. Defaults are the values with the best public evidence.

    Evidence codes: V vendor documentation, VC vendor code, 3P working code of third parties, V1
    documentation of API v1, HELP a help page, INF inferred, none: a guess that a test must confirm.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    results_key: Annotated[
        str, _assumed("results", "envelope key of the rows of a list", "VC, 3P")
    ] = "results"
    count_key: Annotated[
        str | None,
        _assumed(
            "count",
            "envelope key of the total that $count=true asks for; null: no total is given",
            "none",
        ),
    ] = "count"
    page_size: Annotated[
        int,
        Field(ge=2),
        _assumed(1000, "rows to ask for in one page; smaller pages are detected", "none"),
    ] = 1000
    date_literals: Annotated[
        Literal["bare", "quoted"],
        _assumed(
            "bare", "whether a date in $filter is bare or quoted", "one example in a README, bare"
        ),
    ] = "bare"
    or_filters: Annotated[
        bool,
        _assumed(
            True,
            "whether $filter accepts 'or' (never with parentheses); if not, several requests",
            "VC (an enum)",
        ),
    ] = True
    date_updated: Annotated[
        str | None,
        _assumed(
            "DateUpdated",
            "the field with the last change; null: only full sweeps",
            "V for User, INF elsewhere",
        ),
    ] = "DateUpdated"
    zone: Annotated[
        str, _assumed("Europe/London", "the zone of times without an offset", "INF from UK labels")
    ] = "Europe/London"
    no_end: Annotated[
        tuple[date, ...],
        _assumed((date(1, 1, 1), date(9999, 12, 31)), "dates that stand for no date", "none"),
    ] = (
        date(1, 1, 1),
        date(9999, 12, 31),
    )
    names: Annotated[
        dict[str, str],
        _assumed(
            {},
            "wire names that differ from feeds.py, as {'UserAward.completed_on': 'Passed'}",
            "HELP: importer columns",
        ),
    ] = {}
    sparse: Annotated[
        bool, _assumed(False, "whether records leave out the fields that have no value", "none")
    ] = False
    upsert: Annotated[
        str | None,
        _assumed(
            None,
            "query parameter that makes a POST update the record with the same ExternalID; "
            "null: not used",
            "none",
        ),
    ] = None
    clear: Annotated[
        Literal["null", "empty"], _assumed("null", "what a PUT sends to empty a field", "none")
    ] = "null"
    lists: Annotated[
        dict[str, tuple[str, ...]],
        _assumed(
            {},
            "values that a drop-down takes, as {'User.country': ['United Kingdom']}; a "
            "drop-down that is not named is not checked",
            "V1",
        ),
    ] = {}
    token_path: Annotated[
        str, _assumed("token", "path of the token endpoint below api/v2", "3P, VC")
        # A path, not a secret.
    ] = "token"  # noqa: S105
    metadata_path: Annotated[
        str, _assumed("apihelp/v2/modules", "path of the metadata, outside api/v2", "3P")
    ] = "apihelp/v2/modules"

    @field_validator("count_key", "date_updated", "upsert", mode="before")
    @classmethod
    def _null(cls, value: object) -> object:
        """Reads the text ``null`` in an environment variable as no value."""
        return None if value == "null" else value

    @field_validator("zone")
    @classmethod
    def _known(cls, value: str) -> str:
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
