"""Prefect blocks: the settings of the tenant and of the HR systems as typed forms in the UI.

Prefect encrypts all of a block's values; the UI hides those that are secrets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from prefect.blocks.core import Block
from prefect.exceptions import ObjectNotFound
from pydantic import BaseModel, Field, SecretStr, ValidationError, create_model

from connectors.hr import connectors
from connectors.settings import AccessplanitSettings, Settings, problems
from reconciliation.errors import Misconfigured
from reconciliation.names import named


class Accessplanit(Block):
    """The accessplanit tenant and its service user. Fill in this block in the Prefect UI."""

    _block_type_slug = "accessplanit"
    _block_type_name = "accessplanit"

    base_url: str = Field(
        description="https://{tenant}.accessplanit.com/{accessplan|accessplantest|accessplansandbox}"
    )
    api_key: SecretStr | None = Field(
        None, description="An API key. If there is none, give a user name and a password."
    )
    username: str | None = None
    password: SecretStr | None = None


@cache
def block_type_of(name: str) -> type[Block]:
    """Returns the block type of a connector. Its slug is ``hrsync-<name>``, and its form has the
    fields of the connector's settings."""
    connector = connectors()[name]
    fields: dict[str, Any] = {
        field: (info.annotation, info) for field, info in connector.settings.model_fields.items()
    }
    slug = name.replace("_", "-")
    block_type = create_model(
        "".join(word.capitalize() for word in slug.split("-")) + "Hr",
        __base__=Block,
        __doc__=connector.settings.__doc__,
        **fields,
    )
    block_type._block_type_slug = f"hrsync-{slug}"
    block_type._block_type_name = f"HR: {connector.title}"
    return block_type


def register() -> None:
    """Makes all block types known to Prefect's UI."""
    block_types: list[type[Block]] = [Accessplanit, *(block_type_of(name) for name in connectors())]
    for block_type in block_types:
        block_type.register_type_and_schema()


def hr_settings(settings: Settings, name: str, block: str) -> BaseModel:
    """Returns a connector's settings, from the Prefect block ``block``, or from the environment if
    no block is named (``block`` is an empty string).

    Raises:
        Misconfigured: the block cannot be loaded, or holds invalid values.
    """
    if not block:
        return settings.of_connector(name)
    block_type = block_type_of(name)
    loaded = _load_block(block_type, block, _settings_for(settings, f"{name}/{block}"))
    model = connectors()[name].settings
    with _hiding_values(f"{block_type._block_type_slug}/{block}"):
        return model.model_validate({field: getattr(loaded, field) for field in model.model_fields})


def _settings_for(settings: Settings, system: str) -> str:
    """Returns the names of the settings that choose this HR system, for use in an error message."""
    of_processes = [
        f"HRSYNC_HR_OF__{process.upper()}"
        for process, chosen in settings.hr_of.items()
        if chosen == system
    ]
    of_all = ["HRSYNC_HR"] if settings.hr == system or not of_processes else []
    return " and ".join([*of_all, *of_processes])


@contextmanager
def _hiding_values(block_name: str) -> Iterator[None]:
    """Replaces pydantic's validation error by one that does not show the values, which may be
    secret."""
    try:
        yield
    except ValidationError as error:
        raise Misconfigured(
            f"The Prefect block {block_name} has invalid values: {problems(error)}",
            "Correct it in the Prefect UI.",
        ) from None


def _load_block(block_type: type[Block], name: str, setting: str) -> Any:
    """Loads the block with this name. ``setting`` is the setting to change if that fails."""
    named(name, "a Prefect block")
    try:
        return block_type.load(name)
    # Prefect raises many types here. If the block is missing, it raises ValueError, caused by
    # ObjectNotFound. If values are invalid, it raises pydantic's ValidationError, or a RuntimeError
    # that was caused by one.
    except Exception as error:
        cause = error if isinstance(error, ValidationError) else error.__cause__
        if isinstance(cause, ValidationError):
            what = f"has invalid values: {problems(cause)}"
            remedy = f"Correct it in the Prefect UI, or change {setting}."
        elif isinstance(cause, ObjectNotFound):
            what = "does not exist"
            remedy = f"Create it in the Prefect UI, or change {setting}."
        else:
            what = f"cannot be loaded ({type(error).__name__})"
            remedy = (
                "Check that Prefect's server is running, and check PREFECT_API_URL and "
                "PREFECT_API_AUTH_STRING."
            )
        raise Misconfigured(
            f"The Prefect block {block_type._block_type_slug}/{name} {what}", remedy
        ) from None


def accessplanit_settings(settings: Settings) -> AccessplanitSettings:
    """Returns the settings of the environment, with the address and credentials of the Prefect
    block if ``HRSYNC_ACCESSPLANIT_BLOCK`` names one.

    Raises:
        Misconfigured: the block cannot be loaded, or holds invalid values.
    """
    if settings.accessplanit_block is None:
        return settings.accessplanit
    block = _load_block(Accessplanit, settings.accessplanit_block, "HRSYNC_ACCESSPLANIT_BLOCK")
    names = ("base_url", "api_key", "username", "password")
    of_block = {name: getattr(block, name) for name in names}
    with _hiding_values(f"accessplanit/{settings.accessplanit_block}"):
        of_environment = settings.accessplanit.model_dump()
        return AccessplanitSettings.model_validate({**of_environment, **of_block})
