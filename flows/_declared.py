"""What flow files use to declare their processes: the mappings, and clauses for filters.

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

_OWN = load().mappings
FOLDERS = [*([_OWN] if _OWN else []), Path(__file__).parent / "mappings"]


@cache
def mapping(name: str) -> Mapping:
    """The mapping ``<name>.toml``.

    Raises:
        Misconfigured: there is none, or it is wrong.
    """
    return load_mapping(name, FOLDERS)


def to_hr(mapping: Mapping) -> tuple[FieldMap, ...]:
    """A mapping's fields on their way to HR."""
    return mapping.to_hr(kinds_of(mapping))


def from_hr(mapping: Mapping) -> tuple[FieldMap, ...]:
    """A mapping's fields on their way back."""
    return mapping.from_hr(kinds_of(mapping))


def among(column: str, values: Sequence[str]) -> tuple[Clause, ...]:
    """The clause that a column has one of these values; no clause if the filter is left empty."""
    return (Clause(column=column, values=tuple(values)),) if values else ()


def within(
    spec: ProcessSpec, *clauses: Clause, custom_fields: Sequence[str] = (), **scope: Any
) -> ProcessSpec:
    """``spec`` with these clauses and other values of its scope, and custom fields beside its
    own."""
    narrower = spec.scope.model_copy(update={"clauses": clauses, **scope})
    return spec.model_copy(update={"scope": narrower, "custom": (*spec.custom, *custom_fields)})
