"""Converts a person to a SCIM user resource and back, without I/O."""

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
"""Column -> path in the resource."""
LISTED: dict[str, tuple[str, str, str]] = {
    "email": ("emails", "work", "value"),
    "phone": ("phoneNumbers", "work", "value"),
    "mobile": ("phoneNumbers", "mobile", "value"),
    "address": ("addresses", "work", "streetAddress"),
    "town": ("addresses", "work", "locality"),
    "county": ("addresses", "work", "region"),
    "postcode": ("addresses", "work", "postalCode"),
}
"""Column -> (multi-valued attribute, type of its entry, sub-attribute of the entry)."""
ACTIVE, INACTIVE = "Active", "Inactive"
LEFT = frozenset({"inactive", "left", "leaver", "terminated", "deleted"})
"""Statuses, in lower case, that mean inactive."""


def attributes(column: str) -> str:
    """Returns the dotted path of the attribute that has a column's value, such as
    ``name.givenName``."""
    if column in LISTED:
        return LISTED[column][0]
    return "active" if column == "status" else ".".join(PLACES[column])


def key_of(resource: Mapping[str, Any], key: str) -> str | None:
    """Returns the ``employee_id`` of a user. ``key`` is ``ScimSettings.key``.

    Raises:
        ValueError: it cannot be read.
    """
    return text(_at(resource, ("userName",) if key == "user_name" else PLACES["employee_number"]))


def value_of(resource: Mapping[str, Any], column: str) -> Any:
    """Returns the typed value of a column of a user, ``None`` without a value.

    Raises:
        ValueError: it cannot be read. The message gives the reason.
    """
    if column in LISTED:
        return text(_listed(resource, *LISTED[column]))
    if column == "status":
        return INACTIVE if flag(resource.get("active")) is False else ACTIVE
    if column == "written_at":
        return _moment(_at(resource, ("meta", "lastModified")))
    return text(_at(resource, PLACES[column]))


def with_values(resource: Mapping[str, Any], values: Mapping[str, Any]) -> Resource:
    """Returns a copy of ``resource`` with these values (column -> value). ``None`` removes a value,
    except that of the status, which stays as it is."""
    new: Resource = _copy(resource)
    for attribute in dict.fromkeys(LISTED[column][0] for column in values if column in LISTED):
        columns = {c: v for c, v in values.items() if c in LISTED and LISTED[c][0] == attribute}
        entries = _with_listed(attribute, new.pop(attribute, []), columns)
        if entries:
            new[attribute] = entries
    for column, value in values.items():
        if column == "status" and value is not None:
            new["active"] = str(value).lower() not in LEFT
        elif column in PLACES:
            _put(new, PLACES[column], value)
    if {"forenames", "surname"} & set(values) and "name" in new:
        name = new["name"]
        parts = (str(name[part]) for part in ("givenName", "familyName") if name.get(part))
        _put(name, ("formatted",), " ".join(parts) or None)
    schemas = [CORE] + ([ENTERPRISE] if ENTERPRISE in new else [])
    new["schemas"] = list(dict.fromkeys([*new.get("schemas", []), *schemas]))
    return new


def _with_listed(
    attribute: str, entries: Sequence[Resource], values: Mapping[str, Any]
) -> list[Resource]:
    """Returns the entries of a multi-valued attribute with these values (column -> value)."""
    changed = [dict(entry) for entry in entries]
    touched: list[Resource] = []
    for column, value in values.items():
        _, kind, part = LISTED[column]
        entry = _entry(changed, kind)
        if entry is None and value is not None:
            if _untyped(changed):
                if any(e.get(part) == value for e in changed):
                    # The server drops the type: the value is there, and would be added again by
                    # each run.
                    continue
                # Beside an entry with a type, it would no longer count as "work".
                _entry(changed, "work").update(type="work")
            entry = {"type": kind}
            if attribute == "emails" and not changed:
                entry["primary"] = True
            changed.append(entry)
        if entry is not None:
            _put(entry, (part,), value)
            # The formatted address is outdated now.
            entry.pop("formatted", None)
            touched.append(entry)
    # An entry whose last managed value was removed is left out.
    managed = {part for name, _, part in LISTED.values() if name == attribute}
    emptied = [e for e in touched if not managed & set(e)]
    return [entry for entry in changed if not any(entry is e for e in emptied)]


def _untyped(entries: Sequence[Resource]) -> bool:
    """Whether there are entries, and none has a type, as on some servers."""
    return bool(entries) and not any(map(_kind, entries))


def operations(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the PATCH operations (RFC 7644, 3.5.2) that turn ``old`` into ``new``. Each changes
    one attribute; a list is replaced as a whole."""
    patch: list[dict[str, Any]] = []
    for name in dict.fromkeys([*old, *new]):
        if name in ("schemas", "meta", "id") or old.get(name) == new.get(name):
            continue
        if name in ("name", ENTERPRISE):
            before, after = old.get(name) or {}, new.get(name) or {}
            separator = ":" if name == ENTERPRISE else "."
            for part in dict.fromkeys([*before, *after]):
                patch += _operation(f"{name}{separator}{part}", before.get(part), after.get(part))
        else:
            patch += _operation(name, old.get(name), new.get(name))
    return patch


def _operation(path: str, old: Any, new: Any) -> list[dict[str, Any]]:
    """Returns the operation for one attribute, none if it does not change."""
    if old == new:
        return []
    return (
        [{"op": "remove", "path": path}]
        if new is None
        else [{"op": "replace", "path": path, "value": new}]
    )


def _at(resource: Mapping[str, Any], path: Sequence[str]) -> Any:
    """Returns the value at a path, or ``None`` if it does not exist."""
    value: Any = resource
    for part in path:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise ValueError(f"the parent of {path[-1]} does not have SCIM's format")
        value = value.get(part)
    return value


def _listed(resource: Mapping[str, Any], attribute: str, kind: str, part: str) -> Any:
    """Finds the entry of this type in a multi-valued attribute and returns one of its
    sub-attributes."""
    entries = resource.get(attribute) or []
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ValueError(f"{attribute} does not have SCIM's format")
    entry = _entry(entries, kind)
    return entry.get(part) if entry else None


def _entry(entries: Sequence[Any], kind: str) -> Any:
    """Returns the entry of a type, or ``None``. Of several, the primary one counts, else the first.
    If no entry has a type, all count as ``work``."""
    candidates = [e for e in entries if _kind(e) == kind]
    if kind == "work" and _untyped(entries):
        candidates = list(entries)
    first = candidates[0] if candidates else None
    return next((e for e in candidates if e.get("primary") is True), first)


def fitted(resource: Mapping[str, Any], parts: Mapping[str, frozenset[str]]) -> Resource:
    """Returns a copy of ``resource`` without the sub-attributes of multi-valued attributes that the
    server does not support. ``parts`` is attribute -> supported sub-attributes."""
    new: Resource = _copy(resource)
    for attribute in {attribute for attribute, _, _ in LISTED.values()} & set(new) & set(parts):
        new[attribute] = [
            {n: v for n, v in entry.items() if n in parts[attribute]} for entry in new[attribute]
        ]
    return new


def _kind(entry: Mapping[str, Any]) -> str:
    return str(entry.get("type") or "").lower()


def _put(resource: Resource, path: Sequence[str], value: Any) -> None:
    """Sets the value at a path in place, or removes it if it is ``None``."""
    *outer, last = path
    for part in outer:
        if value is None and part not in resource:
            return
        resource = resource.setdefault(part, {})
    if value is None:
        resource.pop(last, None)
    else:
        resource[last] = value


def _copy(value: Any) -> Any:
    """Copies nested mappings and lists, without null attributes: in SCIM, null means that an
    attribute has no value (RFC 7643, 2.5)."""
    if isinstance(value, Mapping):
        return {name: _copy(inner) for name, inner in value.items() if inner is not None}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


def _moment(value: Any) -> datetime | None:
    """Reads a moment. One without an offset is in UTC."""
    parsed = moment(value)
    return parsed.replace(tzinfo=UTC) if parsed is not None and parsed.tzinfo is None else parsed
