"""The SCIM filters (RFC 7644, 3.4.2.2) that find the users a read asks for: pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from reconciliation.identifiers import identifier, spellings

from .user import ENTERPRISE, attributes

FEW = 40
"""Maximum number of values to look up by filters; for more, all users are read."""
IN_ONE = 10
"""Values in one filter: it travels in the URL."""
Lookups = Mapping[str, Sequence[str]]
"""Column -> the values that are looked for; a user who has one of them is found."""


def filters(lookups: Lookups | None, since: datetime | None, key: str) -> list[str] | None:
    """Filters that together find what is asked for; ``None`` where everybody must be read.

    ``key``: what identifies an employee, as the settings say.
    """
    if lookups is None:
        return [_changed(since)] if since else None
    # externalId is compared to the letter (RFC 7643, 3.1): no filter finds it in another spelling.
    if sum(map(len, lookups.values())) > FEW or lookups.get("accessplanit_id"):
        return None
    return [
        " or ".join(tests[i : i + IN_ONE])
        for column, values in lookups.items()
        for tests in [_tests(_path(column, key), values)]
        for i in range(0, len(tests), IN_ONE)
    ]


def meets(found: Mapping[str, object], lookups: Lookups) -> bool:
    """Whether a user (column -> value) is one that is looked for: some servers ignore filters."""
    return any(
        found.get(name) is not None
        and identifier(str(found[name])) in {identifier(value) for value in values}
        for name, values in lookups.items()
    )


def _changed(since: datetime) -> str:
    return f'meta.lastModified ge "{since.astimezone(UTC).isoformat(timespec="milliseconds")}"'


def _tests(path: str, values: Sequence[str]) -> list[str]:
    return [f"{path} eq {json.dumps(spelt)}" for value in values for spelt in spellings(value)]


def _path(column: str, key: str) -> str:
    if column == "employee_id":
        return "userName" if key == "user_name" else f"{ENTERPRISE}:employeeNumber"
    attribute = attributes(column)
    if attribute.startswith(ENTERPRISE):
        return f"{ENTERPRISE}:{attribute.rpartition('.')[2]}"
    return f"{attribute}.value" if attribute in ("emails", "phoneNumbers") else attribute
