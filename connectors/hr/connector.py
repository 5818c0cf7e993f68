"""What an HR system declares of itself, so that it can be chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from reconciliation.capabilities import Capabilities
from reconciliation.ports import HrSystem

from ..webhooks import Sender, Watch


@dataclass(frozen=True)
class Connector:
    """An HR system that can be chosen."""

    title: str
    settings: type[BaseModel]
    """Its settings; every field has a default. The environment's variables are
    ``HRSYNC_<NAME>__<FIELD>``; it is a Prefect block as well."""
    open: Callable[[Any, Path], HrSystem]
    """Opens it with its settings and the folder where it may keep files of its own."""
    can: Callable[[Any], Capabilities]
    """What it can hold with these settings, before it is asked."""
    webhook: Callable[[Any], Sender | None] = lambda _settings: None
    """Who sends its webhooks, if it sends any."""
    watch: Callable[[Any, Path], Watch | None] = lambda _settings, _home: None
    """How changes are noticed, where it cannot tell them."""
    keeps: tuple[str, ...] = ()
    """Names of files below the home folder in which it keeps copies of rows. Who is forgotten is
    forgotten there, too."""
