"""Converts changes to SCIM operations, and the server's answers to receipts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reconciliation.receipts import PAST_TENSE

from .server import ScimServer
from .settings import ScimSettings
from .user import Resource, operations, with_values, without_unsupported_parts

Change = Mapping[str, Any]
"""A row of a plan's changes: column -> value."""
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
"""The standard ``scimType`` values of errors (RFC 7644, 3.12). Any other value is the server's own
text and is not shown."""


@dataclass(frozen=True)
class Operation:
    """The request for one change."""

    method: str
    path: str
    body: Resource
    new: Resource
    """The user after the change."""
    version: str | None = None
    """The version of the user to change (ETag), if the server supports it."""

    @property
    def empty(self) -> bool:
        """Whether nothing would change. Such an operation is not sent, since SCIM forbids an empty
        PATCH."""
        return not self.body.get("Operations", True)

    def in_bulk(self, number: int) -> dict[str, Any]:
        """Returns the operation as part of a bulk request."""
        part = {"method": self.method, "path": self.path, "data": self.body}
        return part | {"bulkId": str(number)} | ({"version": self.version} if self.version else {})


@dataclass(frozen=True)
class Writer:
    """Builds operations from the features that the server supports."""

    server: ScimServer
    settings: ScimSettings
    columns: frozenset[str]
    """The columns that the server holds."""

    def operation(self, names: Sequence[str], change: Change, old: Resource | None) -> Operation:
        """Builds the operation for a change of the managed columns ``names``. ``old`` is the
        current user, ``None`` for a new one."""
        if old is None:
            new = without_unsupported_parts(self._new_user(names, change), self.server.parts)
            return Operation("POST", "/Users", new, new)
        fields = (
            str(change["fields"]).split(",")
            if change["fields"]
            else [name for name in names if change[name] is not None]
        )
        values = {name: change[name] for name in fields}
        new = without_unsupported_parts(with_values(old, values), self.server.parts)
        path = f"/Users/{old['id']}"
        version = (old.get("meta") or {}).get("version") if self.server.etags else None
        if self.server.patches:
            body = {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": operations(old, new),
            }
            return Operation("PATCH", path, body, new, version)
        body = {name: value for name, value in new.items() if name != "meta"}
        return Operation("PUT", path, body, new, version)

    def _new_user(self, names: Sequence[str], change: Change) -> Resource:
        """Returns the user to create."""
        key = str(change["key"])
        filled = [name for name in names if change[name] is not None and name in self.columns]
        new = with_values({"active": True}, {name: change[name] for name in filled})
        if self.settings.key == "user_name":
            return new | {"userName": key}
        address = change.get("email") if self.settings.user_name == "email" else None
        return with_values(new, {"employee_number": key}) | {"userName": address or key}


def receipt(change: Change, method: str, status: int, kind: Any) -> Receipt:
    """Returns the receipt of a change. ``kind`` is the ``scimType`` of the answer."""
    key = str(change["key"])
    if 200 <= status < 300:
        # A planned create is an update if the user existed already.
        updated = "update" if change["kind"] == "create" else change["kind"]
        return key, PAST_TENSE["create" if method == "POST" else updated], None, None
    return key, "failed", _refusal(status, kind), None


def _refusal(status: int, kind: Any) -> str:
    """Returns why the server refused a change."""
    if status == 409 or kind == "uniqueness":
        return "the SCIM server has another user with this userName"
    if status == 412:
        return "was changed on the SCIM server in the meantime; the next run reads it again"
    if status == 404:
        return "is no longer on the SCIM server"
    return f"the SCIM server refused it ({status}{f', {kind}' if kind in KINDS else ''})"
