"""Exchanges CSV files with an HR system that imports files, in a local folder or over SFTP: our
files in an outbox, its answers in an inbox.

A mirror, a database with the tables of the SQL connector, holds the rows that were delivered. Runs
compare with the mirror, and HR's answer files change it.
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
