"""HR systems. A new one is a file here and a line in :data:`REGISTRY`."""

from __future__ import annotations

from collections.abc import Callable

from ..settings import Settings
from .sql import SqlHr

REGISTRY: dict[str, Callable[[Settings], SqlHr]] = {"sql": lambda settings: SqlHr(settings.hr_url)}
"""Name of the HR system -> how it is opened."""
