"""What accessplanit is known to refuse, checked before the call: lengths, mandatory fields, values
that must exist there.

The lengths and patterns are those of the feeds' models; the rest is published for API v1 [V1] and
taken for v2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

import pandas as pd
import pyarrow as pa
from annotated_types import MaxLen
from pydantic import TypeAdapter, ValidationError

from reconciliation.frame import arrow
from reconciliation.plan import managed
from reconciliation.tables import TEXT
from reconciliation.values import decoded

from .feeds import EMAIL, FEEDS, Custom, Record, constraints, reason_of

PHONE = r"^\+?[\d\s().\-/]{5,}(?:\s*(?:x|ext\.?)\s*\d+)?$"
"""A telephone number; extensions are accepted [V1]."""
Refusal = tuple["pd.Index[Any]", str, str]
"""The rows that are refused, the column, and why."""


@dataclass(frozen=True)
class Module:
    """A module that is written to."""

    mandatory: tuple[str, ...] = ()
    """Columns that a new record must have, and that are never emptied."""
    lookups: Mapping[str, str] = field(default_factory=dict)
    """Column -> the feed that has its value as an ID."""
    phones: tuple[str, ...] = ()
    """Columns that hold telephone numbers."""
    natural: tuple[str, ...] = ()
    """Columns that tell a record that was just made from the others."""
    alternate: str | None = None
    """The column by which a record is known that has no ID yet."""
    creates: bool = True
    """Whether hrsync makes records of it (POST)."""


MODULES: Mapping[str, Module] = {
    "User": Module(
        mandatory=("forenames", "surname", "company_id"),
        lookups={"company_id": "Company", "access_role_id": "Role"},
        phones=("phone", "mobile"),
        natural=("external_id",),
        alternate="external_id",
    ),
    "UserAward": Module(
        mandatory=("user_id", "award_id", "status"),
        lookups={"award_id": "Award"},
        natural=("user_id", "award_id", "status", "target_date"),
    ),
    "UserUserType": Module(
        mandatory=("user_id", "user_type_id"),
        lookups={"user_type_id": "UserType"},
        natural=("user_id", "user_type_id", "valid_from"),
    ),
    "UserCourseDate": Module(mandatory=("status",), creates=False),
}


def broken(
    module: str,
    changes: pd.DataFrame,
    lists: Mapping[str, tuple[str, ...]],
    ids: Callable[[str], pa.Array | None],
) -> dict[str, str]:
    """Key -> the first rule that a change breaks, without the value.

    Args:
        module: the module of accessplanit.
        changes: a plan's changes.
        lists: "Module.column" -> the values that a drop-down takes.
        ids: returns the IDs of a feed, ``None`` if it cannot be read.
    """
    found: dict[str, str] = {}
    for rows, column, reason in _refusals(module, changes, lists, ids):
        for key in changes.loc[rows, "key"]:
            found.setdefault(key, f"{column} {reason}")
    return found


def _refusals(
    module: str,
    changes: pd.DataFrame,
    lists: Mapping[str, tuple[str, ...]],
    ids: Callable[[str], pa.Array | None],
) -> Iterator[Refusal]:
    """What each rule refuses, in the order in which the rules are looked at."""
    rules, model = MODULES[module], FEEDS[module]
    creates = changes["kind"] == "create"
    fields = [text.split(",") for text in changes["fields"]]
    if not rules.creates:
        reason = f"is not in accessplanit, and a {module} is not made from HR"
        yield changes[creates].index, "(record)", reason
    for column in managed(changes):
        sent = creates | pd.Series([column in names for names in fields], changes.index, bool)
        if column in rules.mandatory:
            missing = changes[sent & changes[column].isna()]
            yield missing.index, column, "is mandatory in accessplanit"
        values = changes.loc[sent, column].dropna()
        if len(values) and values.dtype == TEXT:
            yield from _of_text(module, values, lists, ids)
        # What has no rule of its own must at least be readable for us when it comes back.
        yield from _unreadable(model, values)


def _of_text(
    module: str,
    values: pd.Series[Any],
    lists: Mapping[str, tuple[str, ...]],
    ids: Callable[[str], pa.Array | None],
) -> Iterator[Refusal]:
    """What the rules for text refuse of the ``values`` of a column, which is their name."""
    rules, column, info = MODULES[module], str(values.name), FEEDS[module].model_fields
    marks = constraints(info[column]) if column in info else []
    longest = min([m.max_length for m in marks if isinstance(m, MaxLen)], default=None)
    if longest is not None:
        long = values.str.len() > longest
        yield values[long].index, column, f"is longer than {longest} characters"
    if any(getattr(m, "pattern", None) == EMAIL for m in marks):
        odd = ~values.str.contains(EMAIL)
        yield values[odd].index, column, "is not a valid e-mail address"
    if column in rules.phones:
        odd = ~values.str.contains(PHONE)
        yield values[odd].index, column, "is not a valid telephone number"
    feed = rules.lookups.get(column)
    allowed = ids(feed) if feed else lists.get(f"{module}.{column}")
    if allowed is not None:
        odd = ~values.isin(pd.Series(allowed, dtype=TEXT))
        what = f"is not in accessplanit's {feed}" if feed else "is not in the list"
        yield values[odd].index, column, what


def _unreadable(model: type[Record], values: pd.Series[Any]) -> Iterator[Refusal]:
    """The values that the feed's own model would reject when it reads them back."""
    info = model.model_fields.get(str(values.name))
    declared: Any = Annotated[info.annotation, *info.metadata] if info else Custom
    kept: TypeAdapter[Any] = TypeAdapter(declared)
    for row, value in zip(values.index, arrow(values).to_pylist(), strict=True):
        try:
            if info is None:
                kept.validate_python(decoded(value))
            else:
                # A moment is written without an offset, a day as its midnight.
                kept.validate_python(
                    value.replace(tzinfo=None) if isinstance(value, datetime) else value
                )
        except ValidationError as error:
            reason = reason_of(error.errors(include_input=False, include_url=False)[0])
            yield pd.Index([row]), str(values.name), reason
