"""The HR systems by name. A new one is a folder or file here and a line in :func:`connectors`, or a
distribution of its own with an entry point in the group ``hrsync.hr``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from reconciliation.capabilities import Capabilities
from reconciliation.ports import HrSystem

from ..webhooks import Sender, Watch

GROUP = "hrsync.hr"
"""Entry points of this group are connectors: ``name = "module:CONNECTOR"``."""


@dataclass(frozen=True)
class Connector:
    """An HR system that can be chosen. settings: its model, whose fields all have defaults; the
    environment's variables are ``HRSYNC_<NAME>__<FIELD>``, and it is a Prefect block as well. open:
    from these and the folder where files of its own may be kept. can: what it can hold with these
    settings, before it is asked. webhook: who sends its webhooks, if it sends any. watch: how new
    things of it are noticed, where it cannot tell."""

    title: str
    settings: type[BaseModel]
    open: Callable[[Any, Path], HrSystem]
    can: Callable[[Any], Capabilities]
    webhook: Callable[[Any], Sender | None] = lambda _settings: None
    watch: Callable[[Any, Path], Watch | None] = lambda _settings, _home: None
    keeps: tuple[str, ...] = ()
    """Names of files below the home folder in which it keeps copies of rows: who is forgotten is
    forgotten there, too."""


@cache
def connectors() -> Mapping[str, Connector]:
    """Name -> connector: ours, and those of other distributions that are installed.

    Raises:
        ImportError, AttributeError: the entry point of another distribution leads nowhere.
    """
    from . import bamboohr, csv_drop, scim, sql

    ours = {
        "sql": sql.CONNECTOR,
        "csv_drop": csv_drop.CONNECTOR,
        "scim": scim.CONNECTOR,
        "bamboohr": bamboohr.CONNECTOR,
    }
    return {**{point.name: point.load() for point in entry_points(group=GROUP)}, **ours}
