"""Where files lie: a local folder or an SFTP server. A file comes into sight whole or not at
all."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Protocol

import anyio
import asyncssh
from anyio.from_thread import start_blocking_portal

from reconciliation.errors import CredentialsRefused, Misconfigured, TargetFailed

from .settings import CsvDropSettings, SftpSettings

PART = ".part"
"""The end of the name of a file that is being written."""
LAST = 2**63 - 1
"""The latest moment, in nanoseconds, that a database can keep: the clock of a place may say
anything."""


class Entry(NamedTuple):
    """A file as its folder lists it."""

    name: str
    size: int
    """In bytes."""
    written: int
    """When it was last written, by the clock of the place: nanoseconds since 1970. SFTP gives whole
    seconds; 0: not told."""

    @property
    def label(self) -> str:
        """The name as text that every database can keep: names come from outside, and some are not
        UTF-8."""
        return self.name.encode("utf-8", "backslashreplace").decode()


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


class Looking:
    """A place that is looked at only: what is put, moved or removed there stays as it is."""

    def __init__(self, place: Place) -> None:
        self._place, self.name = (
            Folder(place.root, creates=False) if isinstance(place, Folder) else place,
            place.name,
        )

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


class Folder:
    """A local folder."""

    def __init__(
        self, root: Path, creates: bool = True, mode: int | None = None, group: str | None = None
    ) -> None:
        self.root, self.name, self._creates = root.absolute(), str(root.absolute()), creates
        self._mode, self._group = mode, group

    def put(self, path: str, content: bytes) -> None:
        target = self.root / path
        with self._failing():
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}{PART}")
            try:
                # What the importer may do with it the umask says, the folder's default rights, or
                # the settings.
                with temporary.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                if self._group:
                    shutil.chown(temporary, group=self._group)
                if self._mode is not None:
                    temporary.chmod(self._mode)
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise

    def files(self, folder: str) -> list[Entry]:
        with self._failing():
            place = self.root / folder
            if self._creates:
                place.mkdir(parents=True, exist_ok=True)
            elif not place.is_dir():
                return []
            found = [self._entry(file) for file in place.iterdir() if _visible(file.name)]
        return sorted(entry for entry in found if entry)

    def entry(self, path: str) -> Entry | None:
        with self._failing():
            return self._entry(self.root / path)

    def get(self, path: str) -> bytes | None:
        with self._failing(), contextlib.suppress(FileNotFoundError):
            return (self.root / path).read_bytes()
        return None

    def move(self, path: str, to: str) -> None:
        with self._failing():
            (self.root / to).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                (self.root / path).replace(self.root / to)

    def remove(self, path: str) -> None:
        with self._failing():
            (self.root / path).unlink(missing_ok=True)

    def close(self) -> None:
        pass

    def _entry(self, file: Path) -> Entry | None:
        with contextlib.suppress(FileNotFoundError):
            found = file.stat()
            return (
                Entry(file.name, found.st_size, min(found.st_mtime_ns, LAST))
                if stat.S_ISREG(found.st_mode)
                else None
            )
        return None

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except LookupError:
            raise Misconfigured(
                f"There is no group {self._group}", "Correct HRSYNC_CSV_DROP__FILE_GROUP."
            ) from None
        except OSError as error:
            raise TargetFailed(
                f"The folder {self.name} cannot be used ({type(error).__name__})",
                "Look at the folder and its rights, then run again; nothing was lost.",
            ) from None


class Sftp:
    """An SFTP server, over one connection that is opened when it is first needed."""

    def __init__(self, settings: SftpSettings, mode: int | None = None) -> None:
        self.settings, self._mode = settings, mode
        self.name = f"sftp://{settings.host}:{settings.port}"
        self._stack = contextlib.ExitStack()
        self._portal: Any = None
        self._client: Any = None

    def put(self, path: str, content: bytes) -> None:
        self._call(self._put, path, content)

    def files(self, folder: str) -> list[Entry]:
        found: list[Entry] = self._call(self._files, folder)
        return found

    def entry(self, path: str) -> Entry | None:
        found: Entry | None = self._call(self._entry, path)
        return found

    def get(self, path: str) -> bytes | None:
        content: bytes | None = self._call(self._get, path)
        return content

    def move(self, path: str, to: str) -> None:
        self._call(self._move, path, to)

    def remove(self, path: str) -> None:
        self._call(self._remove, path)

    def close(self) -> None:
        self._client = self._portal = None
        self._stack.close()

    async def _put(self, path: str, content: bytes) -> None:
        where = PurePosixPath(path)
        await self._client.makedirs(str(where.parent), exist_ok=True)
        temporary = str(where.with_name(f".{where.name}{PART}"))
        async with self._client.open(temporary, "wb") as file:
            await file.write(content)
        if self._mode is not None:
            await self._client.chmod(temporary, self._mode)
        await self._rename(temporary, path)

    async def _rename(self, path: str, to: str) -> None:
        try:
            await self._client.posix_rename(path, to)
            return
        except asyncssh.SFTPOpUnsupported:
            pass
        # Without a rename that replaces: whoever sees no file for a moment sees no half of one
        # either.
        if await self._client.exists(to):
            await self._client.remove(to)
        await self._client.rename(path, to)

    async def _files(self, folder: str) -> list[Entry]:
        if not await self._client.isdir(folder):
            return []
        listed = [
            _listed(e.filename, e.attrs)
            async for e in self._client.scandir(folder)
            if _visible(e.filename)
        ]
        return sorted(entry for entry in listed if entry)

    async def _entry(self, path: str) -> Entry | None:
        try:
            return _listed(PurePosixPath(path).name, await self._client.lstat(path))
        except asyncssh.SFTPNoSuchFile:
            return None

    async def _get(self, path: str) -> bytes | None:
        try:
            async with self._client.open(path, "rb") as file:
                content: bytes = await file.read()
                return content
        except asyncssh.SFTPNoSuchFile:
            return None

    async def _move(self, path: str, to: str) -> None:
        await self._client.makedirs(str(PurePosixPath(to).parent), exist_ok=True)
        with contextlib.suppress(asyncssh.SFTPNoSuchFile):
            await self._rename(path, to)

    async def _remove(self, path: str) -> None:
        if await self._client.exists(path):
            await self._client.remove(path)

    async def _connect(self) -> None:
        s = self.settings
        key = s.private_key.get_secret_value() if s.private_key else None
        passphrase = s.passphrase.get_secret_value() if s.passphrase else None
        connection = await asyncssh.connect(
            s.host,
            s.port,
            username=s.username,
            password=s.password.get_secret_value() if s.password else None,
            client_keys=[asyncssh.import_private_key(key, passphrase)] if key else None,
            known_hosts=s.known_hosts.encode(),
            agent_path=None,
            config=None,
            connect_timeout=s.timeout,
        )
        self._client = await connection.start_sftp_client(path_errors="surrogateescape")

    def _call(self, function: Any, *args: Any) -> Any:
        async def within() -> Any:
            with anyio.fail_after(self.settings.timeout):
                if self._client is None:
                    await self._connect()
                return await function(*args)

        try:
            if self._portal is None:
                self._portal = self._stack.enter_context(start_blocking_portal())
            return self._portal.call(within)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError) as error:
            raise Misconfigured(
                f"The private key or known_hosts for {self.name} cannot be read "
                f"({type(error).__name__})",
                "Correct HRSYNC_CSV_DROP__SFTP__PRIVATE_KEY, __PASSPHRASE or __KNOWN_HOSTS.",
            ) from None
        except asyncssh.HostKeyNotVerifiable:
            raise Misconfigured(
                f"The host key of {self.name} is not the one in known_hosts",
                "Ask the server's administrator for its key; if it has "
                "changed for a reason, correct known_hosts.",
            ) from None
        except asyncssh.PermissionDenied:
            raise CredentialsRefused(
                f"{self.name} refuses the credentials", "Renew them."
            ) from None
        except (OSError, asyncssh.Error, TimeoutError) as error:
            self.close()
            raise TargetFailed(
                f"{self.name} cannot be used ({type(error).__name__})",
                "Look at the server and our rights there, then run again; nothing was lost.",
            ) from None


def _listed(name: str, attributes: asyncssh.SFTPAttrs) -> Entry | None:
    if attributes.type != asyncssh.FILEXFER_TYPE_REGULAR:
        return None
    return Entry(
        name,
        attributes.size or 0,
        min((attributes.mtime or 0) * 10**9 + (attributes.mtime_ns or 0), LAST),
    )


def _visible(name: str) -> bool:
    return not name.startswith(".") and not name.endswith((PART, ".tmp"))


def place(settings: CsvDropSettings, home: Path) -> Place:
    """Where the settings say that files are exchanged."""
    mode = int(settings.file_mode, 8) if settings.file_mode else None
    if settings.sftp:
        return Sftp(settings.sftp, mode)
    return Folder(settings.folder or home / "hr-files", mode=mode, group=settings.file_group)
