"""Where files are exchanged: a local folder or an SFTP server."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from .files import Entry
from .folder import LocalFolder
from .settings import CsvDropSettings
from .sftp import SftpServer


class Place(Protocol):
    """Folders with files; paths are relative, with ``/``. Raises TargetFailed,
    CredentialsRefused."""

    name: str

    def put(self, path: str, content: bytes) -> None:
        """A file, whole, in the place of one with this name."""

    def files(self, folder: str) -> list[Entry]:
        """The files of a folder by name, except those that are being written."""

    def entry(self, path: str) -> Entry | None:
        """One file as :meth:`files` lists it, if it is there."""

    def get(self, path: str) -> bytes | None:
        """The content of a file, if it is there."""

    def move(self, path: str, to: str) -> None:
        """Moves a file, if it is there, in the place of one that has the new name."""

    def remove(self, path: str) -> None:
        """Removes a file, if it is there."""

    def close(self) -> None:
        """Ends the connection."""


class ReadOnly:
    """A place that is looked at only: what is put, moved or removed there stays as it is."""

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
    """Where the settings say that files are exchanged."""
    mode = int(settings.file_mode, 8) if settings.file_mode else None
    if settings.sftp:
        return SftpServer(settings.sftp, mode)
    return LocalFolder(settings.folder or home / "hr-files", mode=mode, group=settings.file_group)
