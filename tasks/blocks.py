"""Prefect blocks: the tenant's and the HR systems' settings as typed forms in the UI, secrets
encrypted."""

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
    """The accessplanit tenant and the service user, kept encrypted by Prefect and filled in in its
    UI."""

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
    words = name.replace("_", "-")
    made = create_model(
        "".join(word.capitalize() for word in words.split("-")) + "Hr",
        __base__=Block,
        __doc__=connector.settings.__doc__,
        **fields,
    )
    made._block_type_slug, made._block_type_name = f"hrsync-{words}", f"HR: {connector.title}"
    return made


def register() -> None:
    """Makes all block types known to Prefect's UI."""
    kinds: tuple[type[Block], ...] = (Accessplanit, *(block_of(name) for name in connectors()))
    for kind in kinds:
        kind.register_type_and_schema()


def hr_settings(settings: Settings, name: str, block: str) -> BaseModel:
    """A connector's settings: those of a Prefect block, or, if none is named, of the environment.

    Raises:
        Misconfigured: the block cannot be loaded, or holds what cannot be used.
    """
    if not block:
        return settings.of_connector(name)
    kind = block_of(name)
    loaded = _loaded(kind, block, "HRSYNC_HR")
    model = connectors()[name].settings
    with _usable(f"{kind._block_type_slug}/{block}"):
        return model.model_validate({field: getattr(loaded, field) for field in model.model_fields})


@contextmanager
def _usable(block: str) -> Iterator[None]:
    """What is wrong with the values of a block is said without them."""
    try:
        yield
    except ValidationError as error:
        raise Misconfigured(
            f"The Prefect block {block} is wrong: {problems(error)}",
            "Correct it in the Prefect UI.",
        ) from None


def _loaded(kind: type[Block], name: str, setting: str) -> Any:
    named(name, "a Prefect block")
    try:
        return kind.load(name)
    # Prefect raises ValueError, HTTP and validation errors here; all mean the same to us
    except Exception as error:
        wrong = (
            problems(error.__cause__)
            if isinstance(error.__cause__, ValidationError)
            else type(error).__name__
        )
        raise Misconfigured(
            f"The Prefect block {kind._block_type_slug}/{name} cannot be loaded ({wrong})",
            f"Create it in the Prefect UI, or change {setting}.",
        ) from None


def accessplanit_settings(settings: Settings) -> AccessplanitSettings:
    """The environment's settings, with the address and credentials of the block if one is named.

    Raises:
        Misconfigured: the named block cannot be loaded, or its address cannot be used.
    """
    if settings.accessplanit_block is None:
        return settings.accessplanit
    block = _loaded(Accessplanit, settings.accessplanit_block, "HRSYNC_ACCESSPLANIT_BLOCK")
    chosen = {
        name: getattr(block, name) for name in ("base_url", "api_key", "username", "password")
    }
    with _usable(f"accessplanit/{settings.accessplanit_block}"):
        return AccessplanitSettings.model_validate({**settings.accessplanit.model_dump(), **chosen})
