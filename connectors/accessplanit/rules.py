"""Checks changes against accessplanit's known field rules before they are sent: lengths, mandatory
fields, and values that must exist there.

Lengths and patterns come from the feeds' models. The other rules are published for API v1 [V1] and
assumed for v2.
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
"""Pattern of a telephone number, with or without an extension [V1]."""
Refusal = tuple["pd.Index[Any]", str, str]
"""(refused rows, column, reason)."""


@dataclass(frozen=True)
class Module:
    """The rules of a module that hrsync writes."""

    mandatory: tuple[str, ...] = ()
    """Columns that a new record must have, and that must not be emptied."""
    lookups: Mapping[str, str] = field(default_factory=dict)
    """Column -> the feed in which its value must exist as an ID."""
    phones: tuple[str, ...] = ()
    """Columns with telephone numbers."""
    natural: tuple[str, ...] = ()
    """Columns that together identify a record that was just created."""
    alternate: str | None = None
    """The column that identifies a record before it has an ID."""
    creates: bool = True
    """Whether hrsync creates records of this module (POST)."""


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
    """Maps the key of each invalid change to the first rule that it breaks, without the value.

    Args:
        module: the module of accessplanit.
        changes: a plan's changes.
        lists: "Module.column" -> the values that a drop-down takes.
        ids: returns the IDs of a feed, or ``None`` if it cannot be read.
    """
    reasons: dict[str, str] = {}
    for rows, column, reason in _refusals(module, changes, lists, ids):
        for key in changes.loc[rows, "key"]:
            reasons.setdefault(key, f"{column} {reason}")
    return reasons


def _refusals(
    module: str,
    changes: pd.DataFrame,
    lists: Mapping[str, tuple[str, ...]],
    ids: Callable[[str], pa.Array | None],
) -> Iterator[Refusal]:
    """Yields what each rule refuses, in the order of the checks."""
    rules, model = MODULES[module], FEEDS[module]
    creates = changes["kind"] == "create"
    fields = [text.split(",") for text in changes["fields"]]
    if not rules.creates:
        reason = f"is not in accessplanit, and hrsync does not create a {module}"
        yield changes[creates].index, "(record)", reason
    for column in managed(changes):
        sent = creates | pd.Series([column in names for names in fields], changes.index, bool)
        if column in rules.mandatory:
            missing = changes[sent & changes[column].isna()]
            yield missing.index, column, "is mandatory in accessplanit"
        values = changes.loc[sent, column].dropna()
        if len(values) and values.dtype == TEXT:
            yield from _of_text(module, values, lists, ids)
        # Even a column without another rule must hold values that we can read back.
        yield from _unreadable(model, values)


def _of_text(
    module: str,
    values: pd.Series[Any],
    lists: Mapping[str, tuple[str, ...]],
    ids: Callable[[str], pa.Array | None],
) -> Iterator[Refusal]:
    """Yields what the rules for text refuse. The name of ``values`` is its column."""
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
    """Yields the values that the feed's own model would reject when it reads them back."""
    info = model.model_fields.get(str(values.name))
    declared: Any = Annotated[info.annotation, *info.metadata] if info else Custom
    adapter: TypeAdapter[Any] = TypeAdapter(declared)
    for row, value in zip(values.index, arrow(values).to_pylist(), strict=True):
        try:
            if info is None:
                adapter.validate_python(decoded(value))
            else:
                # Checked as sent: a moment has no offset.
                adapter.validate_python(
                    value.replace(tzinfo=None) if isinstance(value, datetime) else value
                )
        except ValidationError as error:
            reason = reason_of(error.errors(include_input=False, include_url=False)[0])
            yield pd.Index([row]), str(values.name), reason
