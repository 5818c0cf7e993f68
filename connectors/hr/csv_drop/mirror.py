"""Opens the mirror: a database with the tables of the SQL connector and those of the CSV drop."""

from __future__ import annotations

from pathlib import Path

from ...database import migrate
from ..sql import SqlHr, speaking
from .schema import VERSION


def opened(home: Path) -> SqlHr:
    """Opens ``hr-mirror.db`` below ``home``, and creates it if it does not exist.

    Raises:
        TargetFailed: it cannot be used.
    """
    mirror = SqlHr(f"sqlite:///{home.absolute() / 'hr-mirror.db'}")
    with speaking():
        migrate(mirror.engine, Path(__file__).parent / "migrations", VERSION)
    return mirror
