"""Checks what is declared, when a command or the worker starts: processes against the columns of
HR, and the names of your mappings."""

from __future__ import annotations

from connectors.accessplanit.feeds import FEEDS
from connectors.hr.schema import columns_of, metadata
from reconciliation.errors import Misconfigured
from reconciliation.spec import ProcessSpec

from ._declared import LOADED, YOURS


def check(name: str, spec: ProcessSpec) -> None:
    """Checks the SPEC of a process.

    Args:
        name: its name in ``reconciliation.processes``.
        spec: the SPEC.

    Raises:
        Misconfigured: it has another name; or it names an entity, a key or a column that does not
            exist.
    """
    if spec.name != name:
        raise _wrong(name, f"its SPEC has the name '{spec.name}'", "Give both the same name.")
    to_hr = spec.direction == "to_hr"
    entity, key = (spec.entity, spec.entity_key) if to_hr else (spec.feed, spec.key)
    if entity not in metadata.tables:
        what = f"HR has no entity '{entity}'"
        raise _wrong(name, what, f"Use one of {', '.join(metadata.tables)}.")
    if not to_hr and spec.entity not in FEEDS:
        what = f"accessplanit has no module '{spec.entity}'"
        raise _wrong(name, what, f"Use one of {', '.join(FEEDS)}.")
    columns = columns_of(entity)
    if key != next(iter(columns)):
        what = f"a row of {entity} is not identified by '{key}'"
        raise _wrong(name, what, f"Its key is {next(iter(columns))} (connectors/hr/schema.py).")
    named = spec.columns() if to_hr else [field.source for field in spec.fields]
    unknown = [column for column in named if column not in columns]
    if unknown:
        what = f"{entity} has no column {', '.join(unknown)}"
        raise _wrong(name, what, f"Use a mapping whose entity is {entity}.")


def check_mappings() -> None:
    """Checks your folder of mappings.

    Raises:
        Misconfigured: the folder does not exist; or no process uses one of its files.
    """
    if YOURS is None:
        return
    if not YOURS.is_dir():
        raise Misconfigured(f"There is no folder {YOURS}", "Correct HRSYNC_MAPPINGS.")
    unused = sorted({file.stem for file in YOURS.glob("*.toml")} - LOADED)
    if unused:
        raise Misconfigured(
            f"No process uses {', '.join(f'{name}.toml' for name in unused)} in {YOURS}",
            f"Correct the name; there are {', '.join(sorted(LOADED))}.",
        )


def _wrong(name: str, what: str, remedy: str) -> Misconfigured:
    return Misconfigured(f"The process {name} is invalid: {what}", remedy)
