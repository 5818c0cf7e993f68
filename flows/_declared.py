"""Helpers with which flow files declare their processes: mappings, and clauses for filters.

Mappings are read from ``flows/mappings`` and from your own folder (``HRSYNC_MAPPINGS``) when a flow
is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from connectors.mapping import kinds_of, load_mapping
from connectors.settings import load
from reconciliation.mapping import Mapping
from reconciliation.spec import Clause, FieldMap, ProcessSpec

YOURS = load().mappings
"""Your own folder of mappings, if there is one."""
FOLDERS = [*([YOURS] if YOURS else []), Path(__file__).parent / "mappings"]
"""The folders of mappings. The first one that has a mapping wins."""
LOADED: set[str] = set()
"""The names of the mappings that processes use."""


@cache
def mapping(name: str) -> Mapping:
    """Returns the mapping ``<name>.toml``.

    Raises:
        Misconfigured: the file does not exist or is invalid.
    """
    LOADED.add(name)
    return load_mapping(name, FOLDERS)


def to_hr(mapping: Mapping) -> tuple[FieldMap, ...]:
    """Returns the fields that a mapping sends to HR."""
    return mapping.to_hr(kinds_of(mapping))


def from_hr(mapping: Mapping) -> tuple[FieldMap, ...]:
    """Returns the fields that a mapping takes from HR."""
    return mapping.from_hr(kinds_of(mapping))


def among(column: str, values: Sequence[str]) -> tuple[Clause, ...]:
    """Returns the clause that a column has one of these values. No values: no clause."""
    return (Clause(column=column, values=tuple(values)),) if values else ()


def within(
    spec: ProcessSpec, *clauses: Clause, custom_fields: Sequence[str] = (), **scope: Any
) -> ProcessSpec:
    """Returns ``spec`` with these clauses instead of its own, with the given values of its scope,
    and with custom fields in addition to its own. A clause that always holds must be given, too."""
    narrower = spec.scope.model_copy(update={"clauses": clauses, **scope})
    return spec.model_copy(update={"scope": narrower, "custom": (*spec.custom, *custom_fields)})
