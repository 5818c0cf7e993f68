"""Converts a person to a SCIM user resource and back, without I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from reconciliation.values import flag, moment, text

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
CORE = "urn:ietf:params:scim:schemas:core:2.0:User"
Resource = dict[str, Any]

PATHS: dict[str, tuple[str, ...]] = {
    "accessplanit_id": ("externalId",),
    "forenames": ("name", "givenName"),
    "surname": ("name", "familyName"),
    "job_title": ("title",),
    "company_name": (ENTERPRISE, "organization"),
    "employee_number": (ENTERPRISE, "employeeNumber"),
}
"""Column -> path in the resource."""
IN_LISTS: dict[str, tuple[str, str, str]] = {
    "email": ("emails", "work", "value"),
    "phone": ("phoneNumbers", "work", "value"),
    "mobile": ("phoneNumbers", "mobile", "value"),
    "address": ("addresses", "work", "streetAddress"),
    "town": ("addresses", "work", "locality"),
    "county": ("addresses", "work", "region"),
    "postcode": ("addresses", "work", "postalCode"),
}
"""Column -> (multi-valued attribute, ``type`` of the entry, sub-attribute of the entry)."""
ACTIVE, INACTIVE = "Active", "Inactive"
LEFT = frozenset({"inactive", "left", "leaver", "terminated", "deleted"})
"""Statuses, in lower case, that mean inactive."""


def attribute_path(column: str) -> str:
    """Returns the dotted path of the attribute that a column is stored in, such as
    ``name.givenName``. For columns in lists it is the list's name."""
    if column in IN_LISTS:
        return IN_LISTS[column][0]
    return "active" if column == "status" else ".".join(PATHS[column])


def key_of(resource: Mapping[str, Any], key: str) -> str | None:
    """Returns the ``employee_id`` of a user. ``key`` is ``ScimSettings.key``.

    Raises:
        ValueError: it cannot be read.
    """
    return text(_at(resource, ("userName",) if key == "user_name" else PATHS["employee_number"]))


def value_of(resource: Mapping[str, Any], column: str) -> Any:
    """Returns the typed value of a column of a user, ``None`` without a value.

    Raises:
        ValueError: it cannot be read. The message gives the reason.
    """
    if column in IN_LISTS:
        return text(_listed(resource, *IN_LISTS[column]))
    if column == "status":
        return INACTIVE if flag(resource.get("active")) is False else ACTIVE
    if column == "written_at":
        return _moment(_at(resource, ("meta", "lastModified")))
    return text(_at(resource, PATHS[column]))


def with_values(resource: Mapping[str, Any], values: Mapping[str, Any]) -> Resource:
    """Returns a copy of ``resource`` with these values (column -> value). ``None`` removes a value;
    the status stays, since every user has one."""
    new: Resource = _copy(resource)
    for column, value in values.items():
        if column == "status" and value is not None:
            new["active"] = str(value).lower() not in LEFT
        elif column in PATHS:
            _put(new, PATHS[column], value)
    _put_in_lists(new, values)
    if {"forenames", "surname"} & set(values):
        names = [_at(new, PATHS[column]) for column in ("forenames", "surname")]
        _put(new, ("name", "formatted"), " ".join(str(name) for name in names if name) or None)
    schemas = [CORE] + ([ENTERPRISE] if ENTERPRISE in new else [])
    new["schemas"] = list(dict.fromkeys([*new.get("schemas", []), *schemas]))
    return new


def operations(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the PATCH operations (RFC 7644, 3.5.2) that turn ``old`` into ``new``. Each changes
    one attribute; a list is replaced as a whole."""
    patch: list[dict[str, Any]] = []
    old = _copy(old)
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
            name = "the enterprise extension" if path[0] == ENTERPRISE else path[0]
            raise ValueError(f"{name} does not have SCIM's format")
        value = value.get(part)
    return value


def _listed(resource: Mapping[str, Any], attribute: str, entry_type: str, part: str) -> Any:
    """Finds the entry with this type in a multi-valued attribute and returns one of its
    sub-attributes."""
    entries = resource.get(attribute) or []
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise ValueError(f"{attribute} does not have SCIM's format")
    entry = _entry(entries, entry_type)
    return entry.get(part) if entry else None


def _entry(entries: Sequence[Any], entry_type: str) -> Any:
    """Returns the entry with a type, or ``None``. If several have it, the primary one counts, else
    the first. If none is of type ``work``, those without a type count as ``work``."""
    candidates = [e for e in entries if _type(e) == entry_type]
    if not candidates and entry_type == "work":
        candidates = [e for e in entries if not _type(e)]
    first = candidates[0] if candidates else None
    return next((e for e in candidates if e.get("primary") is True), first)


def _entry_to_write(entries: Sequence[Any], entry_type: str, parts: Mapping[str, Any]) -> Any:
    """Returns the entry to which ``parts`` (sub-attribute -> value) are written, or ``None`` for a
    new one.

    Some servers drop the type. An entry that lacks it and has the values already is the one that an
    earlier run wrote, unless it counts as ``work``.
    """
    entry, work = _entry(entries, entry_type), _entry(entries, "work")
    if entry is not None:
        return entry
    untyped = (e for e in entries if not _type(e) and e is not work)
    return next((e for e in untyped if parts.items() <= e.items()), None)


def _put_in_lists(resource: Resource, values: Mapping[str, Any]) -> None:
    """Sets the values of columns that are stored in multi-valued attributes, in place."""
    by_entry: dict[tuple[str, str], dict[str, Any]] = {}
    for column, (attribute, entry_type, part) in IN_LISTS.items():
        if column in values:
            by_entry.setdefault((attribute, entry_type), {})[part] = values[column]
    # All entries are found before the first is changed: a changed one could count as another type.
    found = [
        _entry_to_write(resource.get(attribute, []), entry_type, parts)
        for (attribute, entry_type), parts in by_entry.items()
    ]
    for ((attribute, entry_type), parts), old in zip(by_entry.items(), found, strict=True):
        entries = resource.get(attribute, [])
        entry: Resource = {} if old is None else old
        if old is None:
            if attribute == "emails" and not entries:
                entry["primary"] = True
            entries = [*entries, entry]
        if not _type(entry):
            entry["type"] = entry_type
        for part, value in parts.items():
            _put(entry, (part,), value)
        # The formatted address is outdated now.
        entry.pop("formatted", None)
        if _is_empty(entry, attribute):
            entries = [other for other in entries if other is not entry]
        _put(resource, (attribute,), entries or None)


def _is_empty(entry: Mapping[str, Any], attribute: str) -> bool:
    """Whether nothing is left of an entry. An address may still have parts that are not ours."""
    if attribute == "addresses":
        return set(entry) <= {"type", "primary"}
    return "value" not in entry


def without_unsupported_parts(
    resource: Mapping[str, Any], parts: Mapping[str, frozenset[str]]
) -> Resource:
    """Returns a copy of ``resource`` without the sub-attributes of multi-valued attributes that the
    server does not support. ``parts``: attribute -> sub-attributes that the server supports."""
    new: Resource = _copy(resource)
    lists = {attribute for attribute, _, _ in IN_LISTS.values()}
    for attribute in lists & set(new) & set(parts):
        new[attribute] = [
            {name: value for name, value in entry.items() if name in parts[attribute]}
            for entry in new[attribute]
        ]
    return new


def _type(entry: Mapping[str, Any]) -> str:
    """Returns the type of an entry in lower case, empty without one."""
    return str(entry.get("type") or "").lower()


def _put(resource: Resource, path: Sequence[str], value: Any) -> None:
    """Sets the value at a path in place, or removes it if it is ``None``. A parent is created for a
    value, and removed when it becomes empty."""
    first, *rest = path
    if rest:
        parent = resource.get(first, {})
        _put(parent, rest, value)
        value = parent or None
    if value is None:
        resource.pop(first, None)
    else:
        resource[first] = value


def _copy(value: Any) -> Any:
    """Copies nested mappings and lists. Attributes that are null are left out: SCIM makes no
    difference between them and absent ones (RFC 7643, 2.5)."""
    if isinstance(value, Mapping):
        return {name: _copy(inner) for name, inner in value.items() if inner is not None}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


def _moment(value: Any) -> datetime | None:
    """Reads a moment. One without an offset is in UTC."""
    parsed = moment(value)
    return parsed.replace(tzinfo=UTC) if parsed is not None and parsed.tzinfo is None else parsed
