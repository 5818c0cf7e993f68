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

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from annotated_types import MaxLen
from pydantic import TypeAdapter, ValidationError

from reconciliation.frame import arrow, true
from reconciliation.plan import managed
from reconciliation.values import decoded

from .feeds import EMAIL, FEEDS, Custom, Record, constraints, reason_of

PHONE = r"^\+?[\d\s().\-/]{5,}(?:\s*(?:x|ext\.?)\s*\d+)?$"
"""A telephone number; extensions are accepted [V1]."""


@dataclass(frozen=True)
class Module:
    """A module that is written to.

    mandatory: of a new record, and never to be emptied. lookups: column -> the feed that has its
    value as an ID. phones: columns that hold telephone numbers. natural: columns that tell a record
    that was just made from the others. alternate: the column by which a record is known that has no
    ID yet. creates: whether POST is for us.
    """

    mandatory: tuple[str, ...] = ()
    lookups: Mapping[str, str] = field(default_factory=dict)
    phones: tuple[str, ...] = ()
    natural: tuple[str, ...] = ()
    alternate: str | None = None
    creates: bool = True


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

    lists: "Module.column" -> the values that a drop-down takes. ids: the IDs of a feed, ``None`` if
    it cannot be read.
    """
    rules, model = MODULES[module], FEEDS[module]
    keys, kinds = changes["key"].tolist(), arrow(changes["kind"])
    create = true(pc.equal(kinds, "create"))
    fields = [set(text.split(",")) for text in changes["fields"].tolist()]
    found: dict[str, str] = {}

    def note(mask: np.ndarray, column: str, reason: str) -> None:
        for place in np.flatnonzero(mask):
            found.setdefault(keys[place], f"{column} {reason}")

    def of_text(values: pa.Array, column: str, there: np.ndarray) -> None:
        marks = constraints(model.model_fields[column]) if column in model.model_fields else []
        longest = min([m.max_length for m in marks if isinstance(m, MaxLen)], default=None)
        if longest is not None:
            note(
                there & true(pc.greater(pc.utf8_length(values), longest)),
                column,
                f"is longer than {longest} characters",
            )
        if any(getattr(m, "pattern", None) == EMAIL for m in marks):
            note(
                there & ~true(pc.match_substring_regex(values, EMAIL)),
                column,
                "is not a valid e-mail address",
            )
        if column in rules.phones:
            note(
                there & ~true(pc.match_substring_regex(values, PHONE)),
                column,
                "is not a valid telephone number",
            )
        allowed = (
            pa.array(lists[f"{module}.{column}"], pa.string())
            if f"{module}.{column}" in lists
            else None
        )
        if column in rules.lookups:
            allowed = ids(rules.lookups[column])
        if allowed is not None:
            what = rules.lookups.get(column)
            note(
                there & ~true(pc.is_in(values, value_set=allowed)),
                column,
                f"is not in accessplanit's {what}" if what else "is not in the list",
            )

    if not rules.creates:
        note(create, "(record)", f"is not in accessplanit, and a {module} is not made from HR")
    for column in managed(changes):
        sent = create | np.array([column in names for names in fields], dtype=bool)
        if not sent.any():
            continue
        values = arrow(changes[column])
        none = np.asarray(pc.is_null(values))
        if column in rules.mandatory:
            note(sent & none, column, "is mandatory in accessplanit")
        there = sent & ~none
        if there.any() and pa.types.is_string(values.type):
            of_text(values, column, there)
        # What has no rule of its own must at least be readable for us when it comes back.
        for place, reason in _unreadable(model, column, values, there):
            found.setdefault(keys[place], f"{column} {reason}")
    return found


def _unreadable(
    model: type[Record], column: str, values: pa.Array, sent: np.ndarray
) -> Iterator[tuple[int, str]]:
    """(place, reason) of the values that the feed's own model would reject when it reads them
    back."""
    info = model.model_fields.get(column)
    kept: TypeAdapter[Any] = TypeAdapter(
        Annotated[info.annotation, *info.metadata] if info else Custom
    )  # type: ignore[arg-type]
    for place in np.flatnonzero(sent):
        value = values[int(place)].as_py()
        try:
            if info is None:
                kept.validate_python(decoded(value))
            else:
                # A moment is written without an offset, a day as its midnight.
                kept.validate_python(
                    value.replace(tzinfo=None) if isinstance(value, datetime) else value
                )
        except ValidationError as error:
            yield int(place), reason_of(error.errors(include_input=False, include_url=False)[0])
