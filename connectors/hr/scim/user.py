"""A person as a SCIM user resource, and back: pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from reconciliation.values import flag, moment, text

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
Resource = dict[str, Any]

PLACES: dict[str, tuple[str, ...]] = {
    "accessplanit_id": ("externalId",),
    "forenames": ("name", "givenName"),
    "surname": ("name", "familyName"),
    "job_title": ("title",),
    "company_name": (ENTERPRISE, "organization"),
    "employee_number": (ENTERPRISE, "employeeNumber"),
}
LISTED: dict[str, tuple[str, str, str]] = {
    "email": ("emails", "work", "value"),
    "phone": ("phoneNumbers", "work", "value"),
    "mobile": ("phoneNumbers", "mobile", "value"),
    "address": ("addresses", "work", "streetAddress"),
    "town": ("addresses", "work", "locality"),
    "county": ("addresses", "work", "region"),
    "postcode": ("addresses", "work", "postalCode"),
}
"""Column -> attribute with several values, the type of the value that is meant, and its part."""
ACTIVE, INACTIVE = "Active", "Inactive"
LEFT = frozenset({"inactive", "left", "leaver", "terminated", "deleted"})


def attributes(column: str) -> str:
    """The top attribute of the schema that a column needs, with the extension before it."""
    if column in LISTED:
        return LISTED[column][0]
    return "active" if column == "status" else ".".join(PLACES[column])


def key_of(resource: Mapping[str, Any], key: str) -> str | None:
    """``employee_id`` of a user. key: what it is, as the settings say.

    Raises:
        ValueError: it cannot be read.
    """
    return text(_at(resource, ("userName",) if key == "user_name" else PLACES["employee_number"]))


def value_of(resource: Mapping[str, Any], column: str) -> Any:
    """A column of a user, typed; ``None`` where it has no value.

    Raises:
        ValueError: it cannot be read; the message says why.
    """
    if column in LISTED:
        return text(_listed(resource, *LISTED[column]))
    if column == "status":
        return INACTIVE if flag(resource.get("active")) is False else ACTIVE
    if column == "written_at":
        return _moment(_at(resource, ("meta", "lastModified")))
    return text(_at(resource, PLACES[column]))


def with_values(resource: Mapping[str, Any], values: Mapping[str, Any]) -> Resource:
    """``resource`` with other values, everything else as it is; ``None`` takes a value away."""
    new: Resource = _copy(resource)
    for column, value in values.items():
        if column in LISTED:
            attribute, kind, part = LISTED[column]
            entries = new.setdefault(attribute, [])
            entry = _entry(entries, kind)
            if entry is None and value is not None:
                entry = (
                    {"type": kind, "primary": True}
                    if attribute == "emails" and not entries
                    else {"type": kind}
                )
                entries.append(entry)
            if entry is not None:
                _put(entry, (part,), value)
                # It was written from the parts as they were.
                entry.pop("formatted", None)
            parts = {p for a, _, p in LISTED.values() if a == attribute}
            new[attribute] = [e for e in entries if e is not entry or parts & set(e)]
            if not new[attribute]:
                del new[attribute]
        elif column == "status":
            new["active"] = str(value).lower() not in LEFT
        elif column in PLACES:
            _put(new, PLACES[column], value)
    name = new.get("name")
    if {"forenames", "surname"} & set(values) and isinstance(name, dict):
        name["formatted"] = " ".join(
            str(name[part]) for part in ("givenName", "familyName") if name.get(part)
        )
    schemas = [CORE] + ([ENTERPRISE] if ENTERPRISE in new else [])
    new["schemas"] = list(dict.fromkeys([*new.get("schemas", []), *schemas]))
    return new


def operations(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The PATCH operations (RFC 7644, 3.5.2) that make ``new`` of ``old``, an attribute at a time
    and a list as a whole."""
    found: list[dict[str, Any]] = []
    for name in dict.fromkeys([*old, *new]):
        if name in ("schemas", "meta", "id") or old.get(name) == new.get(name):
            continue
        if name in ("name", ENTERPRISE):
            was, is_ = old.get(name) or {}, new.get(name) or {}
            joint = ":" if name == ENTERPRISE else "."
            for part in dict.fromkeys([*was, *is_]):
                found += _operation(f"{name}{joint}{part}", was.get(part), is_.get(part))
        else:
            found += _operation(name, old.get(name), new.get(name))
    return found


def _operation(path: str, old: Any, new: Any) -> list[dict[str, Any]]:
    if old == new:
        return []
    return (
        [{"op": "remove", "path": path}]
        if new is None
        else [{"op": "replace", "path": path, "value": new}]
    )


def _at(resource: Mapping[str, Any], path: Sequence[str]) -> Any:
    value: Any = resource
    for part in path:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise ValueError(f"{path[0].rpartition(':')[2]} has another shape than SCIM's")
        value = value.get(part)
    return value


def _listed(resource: Mapping[str, Any], attribute: str, kind: str, part: str) -> Any:
    entries = resource.get(attribute) or []
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ValueError(f"{attribute} has another shape than SCIM's")
    found = _entry(entries, kind)
    return found.get(part) if found else None


def _entry(entries: Sequence[Any], kind: str) -> Any:
    """The value of a type, the primary one of several. Of values without a type, as some servers
    have them, the one for work is meant."""
    some = [e for e in entries if _kind(e) == kind]
    if not some and kind == "work" and not any(map(_kind, entries)):
        some = list(entries)
    return next((e for e in some if e.get("primary") is True), some[0] if some else None)


def fitted(resource: Mapping[str, Any], parts: Mapping[str, frozenset[str]]) -> Resource:
    """``resource`` with only those parts of its lists that the server's schemas name (attribute ->
    parts)."""
    new: Resource = _copy(resource)
    for attribute in {attribute for attribute, _, _ in LISTED.values()} & set(new) & set(parts):
        new[attribute] = [
            {n: v for n, v in entry.items() if n in parts[attribute]} for entry in new[attribute]
        ]
    return new


def _kind(entry: Mapping[str, Any]) -> str:
    return str(entry.get("type") or "").lower()


def _put(resource: Resource, path: Sequence[str], value: Any) -> None:
    *outer, last = path
    for part in outer:
        resource = resource.setdefault(part, {})
    if value is None:
        resource.pop(last, None)
    else:
        resource[last] = value


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copy(inner) for name, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


def _moment(value: Any) -> datetime | None:
    found = moment(value)
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found
