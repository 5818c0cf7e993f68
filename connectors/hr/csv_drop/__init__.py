"""Files for an HR system that imports them: CSV into a folder or over SFTP, and its answers out of
an inbox.

What was delivered is kept in a mirror, a database with the tables of the SQL connector: it is what
a run compares with, and what HR's answer files change.
"""

from __future__ import annotations

from pathlib import Path

from reconciliation.ports import HrSystem

from ...webhooks import Watch
from ..connector import Connector
from .settings import CsvDropSettings, capabilities_of


def _open(settings: CsvDropSettings, home: Path) -> HrSystem:
    from .system import CsvDrop

    return CsvDrop.of(settings, home)


def _watch(settings: CsvDropSettings, home: Path) -> Watch:
    from .inbox import Inbox
    from .places import place

    return Inbox(place(settings, home), settings, home)


CONNECTOR = Connector(
    "CSV files, to a folder or over SFTP",
    CsvDropSettings,
    _open,
    capabilities_of,
    watch=_watch,
    keeps=("hr-mirror.db",),
)
