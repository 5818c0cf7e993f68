"""The HR systems by name. A new one is a folder or file here and a line in :func:`connectors`, or a
distribution of its own with an entry point in the group ``hrsync.hr``."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from .connector import Connector

GROUP = "hrsync.hr"
"""Entry points of this group are connectors: ``name = "module:CONNECTOR"``."""


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
