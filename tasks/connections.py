"""From settings (environment or Prefect block) to the open connections of a run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from connectors.accessplanit.client import AccessplanitSource
from connectors.accessplanit.target import AccessplanitTarget
from connectors.hr import REGISTRY
from connectors.hr.source import SqlHrSource
from connectors.settings import AccessplanitSettings, Settings
from connectors.store.sql import SyncStore
from reconciliation.errors import Misconfigured
from reconciliation.ports import Source, Target
from reconciliation.spec import ProcessSpec


class Accessplanit(Block):
    """The accessplanit tenant and the service user, kept encrypted by Prefect and filled in in its UI."""

    _block_type_slug = "accessplanit"
    _block_type_name = "accessplanit"

    base_url: str = Field(description="https://{tenant}.accessplanit.com/{accessplan|accessplantest|accessplansandbox}")
    api_key: SecretStr | None = Field(None, description="An API key, or else a user name and password")
    username: str | None = None
    password: SecretStr | None = None


def accessplanit_settings(settings: Settings) -> AccessplanitSettings:
    """The environment's settings, with the address and credentials of the block if one is named.

    Raises:
        Misconfigured: the named block cannot be loaded.
    """
    if settings.accessplanit_block is None:
        return settings.accessplanit
    try:
        block = Accessplanit.load(settings.accessplanit_block)
    except Exception as error:  # Prefect raises ValueError, HTTP and validation errors here; all mean the same to us
        raise Misconfigured(
            f"The Prefect block accessplanit/{settings.accessplanit_block} cannot be loaded ({type(error).__name__})",
            "The data engineer must create it in the Prefect UI, or unset HRSYNC_ACCESSPLANIT_BLOCK.",
        ) from None
    chosen = {name: getattr(block, name) for name in ("base_url", "api_key", "username", "password")}
    return settings.accessplanit.model_copy(update=chosen)


class Connections:
    """The open source, target and store of a run."""

    def __init__(self, settings: Settings) -> None:
        with ExitStack() as opened:
            self.store = SyncStore(settings.store_url, settings.lease_seconds)
            opened.callback(self.store.close)
            self.target = REGISTRY["sql"](settings)
            tenant = accessplanit_settings(settings)
            budget = self.store.budget(tenant.requests_per_hour, tenant.hour_seconds)
            self.source = AccessplanitSource(tenant, settings.dialect, budget)
            opened.callback(self.source.close)
            self._updated = settings.hr.updated_column
            self._opened = opened.pop_all()

    def ways(self, spec: ProcessSpec) -> tuple[Source, Target]:
        """What a process reads and what it writes."""
        if spec.direction == "to_hr":
            return self.source, self.target
        return SqlHrSource(self.target, self._updated), AccessplanitTarget(self.source)

    def close(self) -> None:
        """Closes all."""
        self._opened.close()


@contextmanager
def connections(settings: Settings) -> Iterator[Connections]:
    """Opens what a run needs and closes it again."""
    opened = Connections(settings)
    try:
        yield opened
    finally:
        opened.close()
