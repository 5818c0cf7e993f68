"""Prefect blocks: the settings of the tenant and of the HR systems as typed forms in the UI.

Prefect encrypts all of a block's values; the UI hides those that are secrets.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from prefect.blocks.core import Block
from pydantic import BaseModel, Field, SecretStr, ValidationError, create_model

from connectors.hr import connectors
from connectors.settings import AccessplanitSettings, Settings, problems
from reconciliation.errors import Misconfigured
from reconciliation.names import named


class Accessplanit(Block):
    """The accessplanit tenant and its service user. You fill the block in in the Prefect UI."""

    _block_type_slug = "accessplanit"
    _block_type_name = "accessplanit"

    base_url: str = Field(
        description="https://{tenant}.accessplanit.com/{accessplan|accessplantest|accessplansandbox}"
    )
    api_key: SecretStr | None = Field(
        None, description="An API key, or else a user name and password"
    )
    username: str | None = None
    password: SecretStr | None = None


@cache
def block_of(name: str) -> type[Block]:
    """The block type of a connector, ``hrsync-<name>``: its settings model as a form."""
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
    block_types: list[type[Block]] = [Accessplanit, *(block_of(name) for name in connectors())]
    for block_type in block_types:
        block_type.register_type_and_schema()


def hr_settings(settings: Settings, name: str, block: str) -> BaseModel:
    """A connector's settings, from the Prefect block ``block``, or from the environment if it is
    empty.

    Raises:
        Misconfigured: the block cannot be loaded, or holds invalid values.
    """
    if not block:
        return settings.of_connector(name)
    block_type = block_of(name)
    loaded = _loaded(block_type, block, "HRSYNC_HR")
    model = connectors()[name].settings
    with _hiding_values(f"{block_type._block_type_slug}/{block}"):
        return model.model_validate({field: getattr(loaded, field) for field in model.model_fields})


@contextmanager
def _hiding_values(block: str) -> Iterator[None]:
    """Turns pydantic's error, which shows the values of a block, into one that does not."""
    try:
        yield
    except ValidationError as error:
        raise Misconfigured(
            f"The Prefect block {block} is wrong: {problems(error)}",
            "Correct it in the Prefect UI.",
        ) from None


def _loaded(block_type: type[Block], name: str, setting: str) -> Any:
    """The block ``name``. ``setting``: the setting that names it."""
    named(name, "a Prefect block")
    try:
        return block_type.load(name)
    # Prefect raises ValueError, HTTP and validation errors here; all mean the same to us. Its
    # RuntimeError about values that do not fit has pydantic's error as its cause.
    except Exception as error:
        cause = error.__cause__
        why = problems(cause) if isinstance(cause, ValidationError) else type(error).__name__
        raise Misconfigured(
            f"The Prefect block {block_type._block_type_slug}/{name} cannot be loaded ({why})",
            f"Create it in the Prefect UI, or change {setting}.",
        ) from None


def accessplanit_settings(settings: Settings) -> AccessplanitSettings:
    """The settings of the environment, with the address and credentials of the Prefect block if
    ``HRSYNC_ACCESSPLANIT_BLOCK`` names one.

    Raises:
        Misconfigured: the block cannot be loaded, or holds invalid values.
    """
    if settings.accessplanit_block is None:
        return settings.accessplanit
    block = _loaded(Accessplanit, settings.accessplanit_block, "HRSYNC_ACCESSPLANIT_BLOCK")
    names = ("base_url", "api_key", "username", "password")
    of_block = {name: getattr(block, name) for name in names}
    with _hiding_values(f"accessplanit/{settings.accessplanit_block}"):
        of_environment = settings.accessplanit.model_dump()
        return AccessplanitSettings.model_validate({**of_environment, **of_block})
