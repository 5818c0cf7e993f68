"""Defines the declaration with which an HR system can be chosen."""

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
    """The declaration of an HR system."""

    title: str
    settings: type[BaseModel]
    """Its settings; every field has a default. They are read from ``HRSYNC_<NAME>__<FIELD>`` or
    from a Prefect block."""
    open: Callable[[Any, Path], HrSystem]
    """Opens the system with its settings and a folder for its own files."""
    can: Callable[[Any], Capabilities]
    """Returns what the system can hold with these settings, without a connection."""
    webhook: Callable[[Any], Sender | None] = lambda _settings: None
    """Returns the reader of its webhooks, if it sends any."""
    watch: Callable[[Any, Path], Watch | None] = lambda _settings, _home: None
    """Returns a watch that polls for changes, if it sends no webhooks."""
    keeps: tuple[str, ...] = ()
    """Names of files below the home folder with copies of rows. An erased person is erased there
    too."""
