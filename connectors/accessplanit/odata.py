"""The query options of API v2, built from typed values. Pure; knows nothing of HTTP.

Only what the vendor's own code shows is emitted: ``eq ge lt``, ``and``, ``or``. ``and`` binds
tighter than ``or``, so a disjunction of conjunctions needs no parentheses, whose support is
unknown.
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
    """``field op value``. Moments are naive wall times of the tenant."""

    field: str
    op: Literal["eq", "ge", "lt"]
    value: Value


@dataclass(frozen=True)
class AnyOf:
    """At least one of the comparisons holds."""

    options: tuple[Compare, ...]


def literal(value: Value, dates: Literal["bare", "quoted"]) -> str:
    """A value as it stands in ``$filter``: text in single quotes, which are doubled inside it;
    numbers quoted too."""
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
    """``$filter`` texts that together ask for the rows that meet all conditions: one text, or
    several without "or".

    An empty text asks for all rows.
    """
    alternatives = product(*(c.options if isinstance(c, AnyOf) else (c,) for c in conditions))
    texts = [
        " and ".join(f"{c.field} {c.op} {literal(c.value, dates)}" for c in every)
        for every in alternatives
    ]
    return [" or ".join(texts)] if with_or else texts


def options(
    select: Sequence[str], filter_: str, order: Sequence[str], top: int, skip: int, count: bool
) -> dict[str, str]:
    """The query options of one page."""
    found = {"$select": ",".join(select), "$top": str(top), "$skip": str(skip)}
    if order:
        found["$orderby"] = ",".join(f"{name} asc" for name in order)
    if filter_:
        found["$filter"] = filter_
    if count:
        found["$count"] = "true"
    return found
