"""Describes the data that an HR system can hold, and narrows a process to it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from .errors import Misconfigured
from .frame import Kind
from .spec import AwardStates, Frozen, HeldByReason, Join, ProcessSpec
from .values import CUSTOM_PREFIX

CUSTOM_FOR_ACCESSPLANIT = "custom_for_accessplanit"
"""HR's column with custom fields of accessplanit, as a JSON object (``CF_…`` -> value)."""


class Holds(Frozen):
    """The columns that a system has for one entity, named as in ``connectors/hr/schema.py``."""

    key: str
    columns: Mapping[str, Kind]
    """The columns that can be written: name -> kind."""
    read_only: Mapping[str, Kind] = Field(default_factory=dict)
    """The columns that can only be read: name -> kind."""
    mandatory: tuple[str, ...] = ()
    """The columns in which every row must have a value."""
    lost: str = ""
    """The part of the entity that the system cannot hold, in words."""
    by_person: bool = False
    """Whether rows are found by the person they belong to instead of by their key."""
    same: Mapping[str, tuple[tuple[str, str], ...]] = Field(default_factory=dict)
    """Column -> pairs of values that the system cannot tell apart."""

    def kinds(self) -> dict[str, str]:
        """Returns every column that can be read, name -> kind, with the key first."""
        return {self.key: "text", **self.columns, **self.read_only}


class Capabilities(Frozen):
    """The data that an HR system can hold."""

    system: str
    """The name of the system, in messages."""
    entities: Mapping[str, Holds]


def narrowed(spec: ProcessSpec, can: Capabilities) -> ProcessSpec:
    """Returns ``spec`` with only the columns that the HR system can hold (or provide, if it is the
    source). Other columns are never compared or written.

    If the system does not hold the entity at all, the spec has no fields and no look-ups, and its
    rows are refused when the plan is made. The result contains the system's name, so that another
    system gets a watermark of its own and is read from the beginning.

    Raises:
        Misconfigured: the process does not fill a mandatory column.
    """
    holds = can.entities.get(spec.entity if spec.direction == "to_hr" else spec.feed)
    if holds is None:
        # Nothing is looked up for rows that the system cannot hold.
        bare = {
            "fields": (),
            "custom": (),
            "match": (),
            "references": (),
            "person": None,
            "pair": None,
            "rules": tuple(r for r in spec.rules if isinstance(r, Join | HeldByReason)),
        }
        closing = spec.scope.model_copy(update={"closed": (), "gone": "report", "leaves": "ignore"})
        return spec.model_copy(update={**bare, "scope": closing, "system": can.system})
    to_hr = spec.direction == "to_hr"
    if to_hr:
        _check_mandatory(spec, holds, can.system)
    # The columns of HR that the process may use.
    available = {holds.key, *holds.columns} if to_hr else set(holds.kinds())
    if CUSTOM_FOR_ACCESSPLANIT in available:
        available |= {f.source for f in spec.fields if f.source.startswith(CUSTOM_PREFIX)}
    with_hr_column = ((f, f.target if to_hr else f.source) for f in spec.fields)
    fields = tuple(
        f.model_copy(update={"alike": (*f.alike, *holds.same.get(hr_column, ()))})
        for f, hr_column in with_hr_column
        if hr_column in available
    )
    # A match rule stays only if all its columns of HR are available.
    matchable = {spec.entity_key, *spec.columns()} & available if to_hr else available
    match = tuple(
        r
        for r in spec.match
        if {(r.target if to_hr else r.source), *(r.together if to_hr else ())} - {""} <= matchable
    )
    changes: dict[str, object] = {"system": can.system, "fields": fields, "match": match}
    if not to_hr:
        changes["updated"] = spec.updated if spec.updated in available else None
    else:
        can_close = all(name in available for name, _ in spec.scope.closed)
        without_closing = {
            "closed": (),
            "gone": "report",
            "leaves": "ignore" if spec.scope.leaves == "close" else spec.scope.leaves,
        }
        changes |= {
            "scope": spec.scope if can_close else spec.scope.model_copy(update=without_closing),
            "rules": tuple(
                rule
                for rule in spec.rules
                if not isinstance(rule, AwardStates) or {"state", "superseded_by"} <= available
            ),
            "by_person": holds.by_person,
            "custom": spec.custom if "custom" in available else (),
            "references": tuple(r for r in spec.references if r.entity in can.entities),
            "target_updated": spec.target_updated if spec.target_updated in holds.kinds() else None,
        }
    return spec.model_copy(update=changes)


def _check_mandatory(spec: ProcessSpec, holds: Holds, system: str) -> None:
    lacking = [name for name in holds.mandatory if name not in spec.columns()]
    if lacking:
        raise Misconfigured(
            f"{spec.name} does not fill {', '.join(lacking)}, and {system} needs a value there in "
            f"every row of {spec.entity}",
            "Map a field to it.",
        )
