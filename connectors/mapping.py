"""Loads mappings from TOML files and checks them against the columns of both sides."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ValidationError

from reconciliation.errors import Misconfigured
from reconciliation.frame import Kind
from reconciliation.mapping import Mapping, problems
from reconciliation.names import named
from reconciliation.validation import fault_of
from reconciliation.values import CUSTOM_PREFIX

from .accessplanit.feeds import FEEDS, kinds
from .hr.schema import columns_of, metadata

REMEDY = "Correct the mapping; nothing runs with a wrong one."


def kinds_of(mapping: Mapping) -> dict[str, Kind]:
    """Returns the kinds of the accessplanit columns that a mapping may name. A custom field has the
    kind of its HR column."""
    columns = columns_of(mapping.entity)
    custom = {
        name: columns[field.hr]
        for name, field in mapping.fields.items()
        if name.startswith(CUSTOM_PREFIX) and field.hr in columns
    }
    return {**kinds(FEEDS[mapping.feed]), **custom}


def load_mapping(name: str, folders: list[Path]) -> Mapping:
    """Loads the mapping ``name`` from the first of ``folders`` that has it.

    Raises:
        Misconfigured: no folder has it, or it is wrong. The message names the file and the place.
    """
    named(name, "a mapping")
    file = next(
        (folder / f"{name}.toml" for folder in folders if (folder / f"{name}.toml").exists()), None
    )
    if file is None:
        raise Misconfigured(
            f"There is no mapping {name}.toml in {', '.join(map(str, folders))}", REMEDY
        )
    try:
        mapping = Mapping.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{file} is not valid TOML: {error}", REMEDY) from None
    except ValidationError as error:
        places = "; ".join(
            f"{'.'.join(map(str, e['loc']))} {fault_of(e)}"
            for e in error.errors(include_input=False, include_url=False)
        )
        raise Misconfigured(f"{file} is invalid: {places}", REMEDY) from None
    if mapping.feed not in FEEDS:
        raise Misconfigured(
            f"{file} is invalid: feed: accessplanit has no feed '{mapping.feed}'", REMEDY
        )
    if mapping.entity not in metadata.tables:
        raise Misconfigured(
            f"{file} is invalid: entity: HR has no entity '{mapping.entity}'", REMEDY
        )
    wrong = problems(mapping, kinds_of(mapping), columns_of(mapping.entity))
    if wrong:
        raise Misconfigured(f"{file} is invalid: {'; '.join(wrong)}", REMEDY)
    return mapping
