"""Builds the query options of API v2 from typed values, without I/O.

It uses only the operators seen in the vendor's own code: ``eq ge lt``, ``and``, ``or``. Parentheses
may not be supported, so every filter is a disjunction of conjunctions: ``and`` binds tighter than
``or``, and no parentheses are needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import product
from typing import Literal

Value = str | bool | int | datetime | date


@dataclass(frozen=True)
class Compare:
    """The comparison ``field op value``. Moments are naive wall times in the tenant's zone."""

    field: str
    op: Literal["eq", "ge", "lt"]
    value: Value


@dataclass(frozen=True)
class AnyOf:
    """At least one of the comparisons holds."""

    options: tuple[Compare, ...]


def literal(value: Value, dates: Literal["bare", "quoted"]) -> str:
    """Formats a value for ``$filter``. Text and numbers are put in single quotes; quotes inside are
    doubled."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        moment = (
            value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
        )
        if moment.tzinfo is not None:
            raise ValueError("a moment in a filter is a naive wall time of the tenant")
        text = moment.isoformat(timespec="seconds")
        return f"'{text}'" if dates == "quoted" else text
    return "'" + str(value).replace("'", "''") + "'"


def filters(
    conditions: Sequence[Compare | AnyOf], dates: Literal["bare", "quoted"], with_or: bool
) -> list[str]:
    """Builds ``$filter`` texts that together select the rows that meet all conditions: one text, or
    one for each alternative where ``or`` is not supported.

    An empty text selects all rows.
    """
    alternatives = product(*(c.options if isinstance(c, AnyOf) else (c,) for c in conditions))
    texts = [
        " and ".join(f"{c.field} {c.op} {literal(c.value, dates)}" for c in comparisons)
        for comparisons in alternatives
    ]
    return [" or ".join(texts)] if with_or else texts


def options(
    select: Sequence[str], filter_: str, order: Sequence[str], top: int, skip: int, count: bool
) -> dict[str, str]:
    """Builds the query options of one page."""
    query = {"$select": ",".join(select), "$top": str(top), "$skip": str(skip)}
    if order:
        query["$orderby"] = ",".join(f"{name} asc" for name in order)
    if filter_:
        query["$filter"] = filter_
    if count:
        query["$count"] = "true"
    return query
