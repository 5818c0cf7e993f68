"""Defines the places where files are exchanged: a local folder or an SFTP server."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from .files import Entry
from .folder import LocalFolder
from .settings import CsvDropSettings
from .sftp import SftpServer


class Place(Protocol):
    """Folders with files. Paths use ``/``.

    Raises:
        TargetFailed, CredentialsRefused: the place cannot be used.
    """

    name: str

    def put(self, path: str, content: bytes) -> None:
        """Writes a file, which appears complete and replaces one with the same name."""

    def files(self, folder: str) -> list[Entry]:
        """Lists the files of a folder by name, except those that are being written."""

    def entry(self, path: str) -> Entry | None:
        """Returns one file as :meth:`files` lists it, or ``None`` if it does not exist."""

    def get(self, path: str) -> bytes | None:
        """Returns the content of a file, or ``None`` if it does not exist."""

    def move(self, path: str, to: str) -> None:
        """Moves a file if it exists, and replaces one with the new name."""

    def remove(self, path: str) -> None:
        """Deletes a file if it exists."""

    def close(self) -> None:
        """Closes the connection."""


class ReadOnly:
    """A place for previews: it can be read, and all changes to it are ignored."""

    def __init__(self, place: Place) -> None:
        self._place, self.name = place, place.name
        if isinstance(place, LocalFolder):
            self._place = LocalFolder(place.root, creates=False)

    def files(self, folder: str) -> list[Entry]:
        return self._place.files(folder)

    def entry(self, path: str) -> Entry | None:
        return self._place.entry(path)

    def get(self, path: str) -> bytes | None:
        return self._place.get(path)

    def put(self, path: str, content: bytes) -> None:
        pass

    def move(self, path: str, to: str) -> None:
        pass

    def remove(self, path: str) -> None:
        pass

    def close(self) -> None:
        pass


def place(settings: CsvDropSettings, home: Path) -> Place:
    """Returns the place of the settings. By default it is ``hr-files`` below ``home``."""
    mode = int(settings.file_mode, 8) if settings.file_mode else None
    if settings.sftp:
        return SftpServer(settings.sftp, mode)
    return LocalFolder(settings.folder or home / "hr-files", mode=mode, group=settings.file_group)
