"""Builds SCIM filters (RFC 7644, 3.4.2.2) for the users that a read needs, without I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from reconciliation.identifiers import identifier, spellings

from .user import ENTERPRISE, attribute_path

FEW = 40
"""Maximum number of values to look up with filters. For more values, all users are read."""
IN_ONE = 10
"""Maximum number of tests per filter, to keep the URL short."""
Lookups = Mapping[str, Sequence[str]]
"""Column -> values to look up. A user with any of the values matches."""


def filters(lookups: Lookups | None, since: datetime | None, key: str) -> list[str] | None:
    """Returns filters that together find the wanted users, or ``None`` if all users must be read.

    Args:
        lookups: the values to look up.
        since: without ``lookups``, finds the users changed since this time.
        key: the attribute that identifies an employee (``ScimSettings.key``).
    """
    if lookups is None:
        return [_changed(since)] if since else None
    # Servers compare externalId exactly (RFC 7643, 3.1), so a filter would miss other spellings.
    if sum(map(len, lookups.values())) > FEW or lookups.get("accessplanit_id"):
        return None
    texts: list[str] = []
    for column, values in lookups.items():
        tests = _tests(_path(column, key), values)
        texts += [" or ".join(tests[i : i + IN_ONE]) for i in range(0, len(tests), IN_ONE)]
    return texts


def meets(user: Mapping[str, object], lookups: Lookups) -> bool:
    """Whether a user (column -> value) matches the lookups. This is checked again because some
    servers ignore filters."""
    return any(
        user.get(name) is not None
        and identifier(str(user[name])) in {identifier(value) for value in values}
        for name, values in lookups.items()
    )


def _changed(since: datetime) -> str:
    """Returns a filter for users changed since a time."""
    return f'meta.lastModified ge "{since.astimezone(UTC).isoformat(timespec="milliseconds")}"'


def _tests(path: str, values: Sequence[str]) -> list[str]:
    """Returns a test for each spelling of each value."""
    return [f"{path} eq {json.dumps(spelt)}" for value in values for spelt in spellings(value)]


def _path(column: str, key: str) -> str:
    """Returns the attribute path of a column in filters."""
    if column == "employee_id":
        return "userName" if key == "user_name" else f"{ENTERPRISE}:employeeNumber"
    attribute = attribute_path(column)
    if attribute.startswith(ENTERPRISE):
        return f"{ENTERPRISE}:{attribute.rpartition('.')[2]}"
    return f"{attribute}.value" if attribute in ("emails", "phoneNumbers") else attribute
