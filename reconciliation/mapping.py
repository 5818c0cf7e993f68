"""The model of a mapping file: it maps the fields of one feed of accessplanit to one entity of HR,
in both directions."""

from __future__ import annotations

from collections.abc import Mapping as Kinds
from typing import Any, Literal

from pydantic import Field, field_validator

from .frame import Kind
from .spec import FieldMap, Frozen
from .values import CUSTOM_PREFIX


class MappedField(Frozen):
    """One field of a mapping file."""

    hr: str
    """HR's column."""
    owner: Literal["accessplanit", "hr", "newest"] | None = None
    """Whose value counts if both sides may change it (``ownership.py``). Without an owner the field
    goes to HR only."""
    carried: bool = False
    """Whether the field is only written along with other changes."""
    to_hr: dict[str, str] = Field(default_factory=dict)
    """Value of accessplanit -> value of HR."""
    from_hr: dict[str, str] = Field(default_factory=dict)
    """Value of HR -> value of accessplanit."""
    strict: bool = False
    """Whether a value of HR that is missing from ``from_hr`` holds the row."""
    alike_hr: dict[str, str] = Field(default_factory=dict)
    """Values of HR that mean the same as another value of HR."""
    alike_accessplanit: dict[str, str] = Field(default_factory=dict)
    """Values of accessplanit that mean the same as another value of accessplanit."""
    otherwise: str | None = None
    """HR's column that gives the value of a new record if ``hr`` is empty."""
    clears: bool = True
    """Whether an empty value clears the other side's."""

    @field_validator("to_hr", "from_hr", "alike_hr", "alike_accessplanit")
    @classmethod
    def _frozen(cls, value: dict[str, str]) -> dict[str, str]:
        if any(not name.strip() or not meant.strip() for name, meant in value.items()):
            raise ValueError("a value list names an empty value")
        return value


class Mapping(Frozen):
    """A mapping file: the mapping of one entity."""

    title: str
    feed: str
    entity: str
    conflict: Literal["newest", "hold"] = "newest"
    """What happens to a field with the owner "newest" that both sides have changed."""
    first: Literal["accessplanit", "hr", "newest", "hold"] = "accessplanit"
    """Whose value counts if both sides have one and nothing was agreed yet."""
    fields: dict[str, MappedField]
    """accessplanit's column -> its field."""
    custom: dict[str, Literal["accessplanit", "hr"]] = Field(default_factory=dict)
    """Custom field (``CF_…``) -> the side that owns it."""

    def to_hr(self, kinds: Kinds[str, Kind]) -> tuple[FieldMap, ...]:
        """Returns the fields for the direction to HR. ``kinds`` is accessplanit's column ->
        kind."""
        owner: dict[Any, Any] = {
            "accessplanit": "source",
            "hr": "target",
            "newest": "newest",
            None: "source",
        }
        return tuple(
            FieldMap(
                source=name,
                target=f.hr,
                kind=kinds[name],
                compare=not f.carried,
                owner=owner[f.owner],
                clears=f.owner is None or (f.owner == "newest" and f.clears),
                values=tuple(f.to_hr.items()),
                alike=tuple(f.alike_hr.items()),
            )
            for name, f in self.fields.items()
        )

    def from_hr(self, kinds: Kinds[str, Kind]) -> tuple[FieldMap, ...]:
        """Returns the fields for the direction from HR: those that have an owner."""
        owner: dict[Any, Any] = {"accessplanit": "target", "hr": "source", "newest": "newest"}
        fields = [
            FieldMap(
                source=f.hr,
                target=name,
                kind=kinds[name],
                owner=owner[f.owner],
                clears=f.owner == "newest" and f.clears,
                values=tuple(f.from_hr.items()),
                strict=f.strict,
                alike=tuple(f.alike_accessplanit.items()),
                instead=f.otherwise,
            )
            for name, f in self.fields.items()
            if f.owner is not None
        ]
        fields += [
            FieldMap(source=name, target=name, owner="source", clears=False)
            for name in self.custom_of("hr")
        ]
        return tuple(fields)

    def ownership(self, direction: Literal["to_hr", "from_hr"]) -> dict[str, Any]:
        """Returns ``conflict`` and ``first`` for a ``ProcessSpec`` in this direction."""
        source = "accessplanit" if direction == "to_hr" else "hr"
        first: str = self.first
        if first in ("accessplanit", "hr"):
            first = "source" if first == source else "target"
        return {"conflict": self.conflict, "first": first}

    def custom_of(self, side: str) -> tuple[str, ...]:
        """Returns the custom fields that a side owns."""
        return tuple(name for name, owner in self.custom.items() if owner == side)


RESERVED = {"custom", "custom_for_accessplanit", "written_at"}
"""HR's columns that no field is mapped to, beside the entity's key."""


def problems(mapping: Mapping, feed: Kinds[str, Any], entity: Kinds[str, Any]) -> list[str]:
    """Returns the problems of a mapping, each with its place. ``feed`` and ``entity`` are the
    columns that exist on either side, name -> kind; HR's key is the first of ``entity``."""
    faults = []
    for name, f in mapping.fields.items():
        place = f"fields.{name}"
        if name not in feed and not name.startswith(CUSTOM_PREFIX):
            faults.append(f"{place}: accessplanit's {mapping.feed} has no '{name}'")
        lacking = [column for column in (f.hr, f.otherwise) if column and column not in entity]
        faults += [f"{place}: HR's {mapping.entity} has no '{column}'" for column in lacking]
        if name in feed and f.hr in entity and feed[name] != entity[f.hr]:
            faults.append(f"{place}: is a {feed[name]} in accessplanit and a {entity[f.hr]} in HR")
        if f.hr == next(iter(entity)) or f.hr in RESERVED:
            faults.append(f"{place}: HR's column '{f.hr}' is filled by hrsync itself")
        if f.carried and f.owner:
            faults.append(f"{place}: a carried field has no owner")
    targets = [f.hr for f in mapping.fields.values()]
    faults += [
        f"fields: {column} is mapped twice"
        for column in sorted({t for t in targets if targets.count(t) > 1})
    ]
    return faults + [
        f"custom.{name}: a custom field's name begins with CF_"
        for name in mapping.custom
        if not name.startswith(CUSTOM_PREFIX)
    ]
