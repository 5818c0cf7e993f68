"""Changes as SCIM operations, and what a server's answers say of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciliation.receipts import PAST_TENSE

from .server import ScimServer
from .settings import ScimSettings
from .user import Resource, fitted, operations, with_values

Change = Mapping[str, Any]
"""One row of a plan's changes: column -> value."""
Receipt = tuple[str, str, str | None, None]
"""A row of ``receipts.RECEIPTS``."""
KINDS = frozenset(
    {
        "invalidFilter",
        "tooMany",
        "uniqueness",
        "mutability",
        "invalidSyntax",
        "invalidPath",
        "noTarget",
        "invalidValue",
    }
)
"""Kinds of errors (RFC 7644, 3.12). Anything else in their place is the server's own text."""


@dataclass(frozen=True)
class Operation:
    """What one change asks of the server."""

    method: str
    path: str
    body: Resource
    new: Resource
    """The user as it becomes."""
    version: str | None = None

    @property
    def empty(self) -> bool:
        """The user is like this already: an empty PATCH is an error."""
        return not self.body.get("Operations", True)

    def in_bulk(self, number: int) -> dict[str, Any]:
        """The operation as a part of a bulk request."""
        found = {"method": self.method, "path": self.path, "data": self.body}
        return found | {"bulkId": str(number)} | ({"version": self.version} if self.version else {})


@dataclass(frozen=True)
class Writer:
    """Makes operations that this server understands."""

    server: ScimServer
    settings: ScimSettings
    columns: frozenset[str]
    """What the server holds of a person."""

    def operation(self, names: Sequence[str], change: Change, old: Resource | None) -> Operation:
        """``change`` of the managed columns ``names``. ``old``: the user now, if there is one."""
        if old is None:
            new = fitted(self._made(names, change), self.server.parts)
            return Operation("POST", "/Users", new, new)
        fields = (
            str(change["fields"]).split(",")
            if change["fields"]
            else [name for name in names if change[name] is not None]
        )
        values = {name: change[name] for name in fields}
        new = fitted(with_values(old, values), self.server.parts)
        path = f"/Users/{old['id']}"
        version = (old.get("meta") or {}).get("version") if self.server.etags else None
        if self.server.patches:
            body = {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": operations(old, new),
            }
            return Operation("PATCH", path, body, new, version)
        whole = {name: value for name, value in new.items() if name != "meta"}
        return Operation("PUT", path, whole, new, version)

    def _made(self, names: Sequence[str], change: Change) -> Resource:
        """A new user."""
        key = str(change["key"])
        given = [name for name in names if change[name] is not None and name in self.columns]
        new = with_values({"active": True}, {name: change[name] for name in given})
        if self.settings.key == "user_name":
            return new | {"userName": key}
        address = change.get("email") if self.settings.user_name == "email" else None
        return with_values(new, {"employee_number": key}) | {"userName": address or key}


def receipt(change: Change, method: str, status: int, kind: Any) -> Receipt:
    """What an answer says of a change; ``kind``: the answer's ``scimType``."""
    key = str(change["key"])
    if 200 <= status < 300:
        updated = "update" if change["kind"] == "create" else change["kind"]
        return key, PAST_TENSE["create" if method == "POST" else updated], None, None
    return key, "failed", _refusal(status, kind), None


def _refusal(status: int, kind: Any) -> str:
    if status == 409 or kind == "uniqueness":
        return "the SCIM server has another user with this userName"
    if status == 412:
        return "was changed on the SCIM server in the meantime; the next run looks at it again"
    if status == 404:
        return "is no longer on the SCIM server"
    return f"the SCIM server refused it ({status}{f', {kind}' if kind in KINDS else ''})"
