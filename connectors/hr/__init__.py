"""Lists the supported HR systems.

A new one is either a folder or file here with a line in :func:`connectors`, or a separate
distribution with an entry point in the group ``hrsync.hr``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points

from .connector import Connector

GROUP = "hrsync.hr"
"""Entry points of this group are connectors: ``name = "module:CONNECTOR"``."""


@cache
def connectors() -> Mapping[str, Connector]:
    """Maps names to connectors: ours, and those of other installed distributions. Ours win if a
    name is used twice.

    Raises:
        ImportError, AttributeError: the entry point of another distribution cannot be loaded.
    """
    from . import bamboohr, csv_drop, scim, sql

    ours = {
        "sql": sql.CONNECTOR,
        "csv_drop": csv_drop.CONNECTOR,
        "scim": scim.CONNECTOR,
        "bamboohr": bamboohr.CONNECTOR,
    }
    return {**{point.name: point.load() for point in entry_points(group=GROUP)}, **ours}
