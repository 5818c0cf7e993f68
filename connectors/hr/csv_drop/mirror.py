"""The mirror: a database with the tables of the SQL connector and, beside them, the drop's own."""

from __future__ import annotations

from pathlib import Path

from ...database import migrate
from ..sql import SqlHr, speaking
from .schema import VERSION


def opened(home: Path) -> SqlHr:
    """``hr-mirror.db`` below ``home``; it is made if it is not there.

    Raises:
        TargetFailed: it cannot be used.
    """
    mirror = SqlHr(f"sqlite:///{home.absolute() / 'hr-mirror.db'}")
    with speaking():
        migrate(mirror.engine, Path(__file__).parent / "migrations", VERSION)
    return mirror
