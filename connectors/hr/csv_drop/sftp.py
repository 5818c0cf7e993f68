"""Exchanges files with an SFTP server. A file becomes visible only when it is complete.

It uses asyncssh. fsspec's sshfs, which is built on asyncssh, was not chosen: by default it does not
check host keys, it needs a shell on servers that cannot rename over a file, it follows links, and
it knows the time of a file only by the second.
"""

from __future__ import annotations

import contextlib
from pathlib import PurePosixPath
from typing import Any

import anyio
import asyncssh
from anyio.from_thread import start_blocking_portal

from reconciliation.errors import CredentialsRefused, Misconfigured, TargetFailed

from .files import LAST, PART, Entry, is_visible
from .settings import SftpSettings


class SftpServer:
    """Implements :class:`.places.Place` over one connection, which is opened at first use.

    Args:
        settings: the server.
        mode: permissions of our files; ``None`` leaves them to the server.
    """

    def __init__(self, settings: SftpSettings, mode: int | None = None) -> None:
        self.settings, self._mode = settings, mode
        self.name = f"sftp://{settings.host}:{settings.port}"
        self._stack = contextlib.ExitStack()
        self._portal: Any = None
        self._client: Any = None

    def put(self, path: str, content: bytes) -> None:
        self._call(self._put, path, content)

    def files(self, folder: str) -> list[Entry]:
        entries: list[Entry] = self._call(self._files, folder)
        return entries

    def entry(self, path: str) -> Entry | None:
        entry: Entry | None = self._call(self._entry, path)
        return entry

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
        """Renames a file, and replaces one with the new name."""
        try:
            await self._client.posix_rename(path, to)
            return
        except asyncssh.SFTPOpUnsupported:
            pass
        # The server cannot replace a file by a rename: it is missing for a moment, but never
        # incomplete.
        if await self._client.exists(to):
            await self._client.remove(to)
        await self._client.rename(path, to)

    async def _files(self, folder: str) -> list[Entry]:
        if not await self._client.isdir(folder):
            return []
        listed = [
            _listed(e.filename, e.attrs)
            async for e in self._client.scandir(folder)
            if is_visible(e.filename)
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
        """Runs one of the coroutines above, with a connection and a time limit."""

        async def limited() -> Any:
            with anyio.fail_after(self.settings.timeout):
                if self._client is None:
                    await self._connect()
                return await function(*args)

        try:
            if self._portal is None:
                self._portal = self._stack.enter_context(start_blocking_portal())
            return self._portal.call(limited)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError, ValueError) as error:
            raise Misconfigured(
                f"The private key or known_hosts for {self.name} cannot be read "
                f"({type(error).__name__})",
                "Correct HRSYNC_CSV_DROP__SFTP__PRIVATE_KEY, __PASSPHRASE or __KNOWN_HOSTS.",
            ) from None
        except asyncssh.HostKeyNotVerifiable:
            raise Misconfigured(
                f"The host key of {self.name} is not the one in known_hosts",
                "Ask the server's administrator whether the key has changed. If so, correct "
                "known_hosts.",
            ) from None
        except asyncssh.PermissionDenied:
            raise CredentialsRefused(
                f"{self.name} refuses the credentials",
                "Renew HRSYNC_CSV_DROP__SFTP__USERNAME, __PASSWORD or __PRIVATE_KEY.",
            ) from None
        except (OSError, asyncssh.Error, TimeoutError) as error:
            self.close()
            raise TargetFailed(
                f"{self.name} cannot be used ({type(error).__name__})",
                "Check the server and our permissions there, then run again. Nothing was lost.",
            ) from None


def _listed(name: str, attributes: asyncssh.SFTPAttrs) -> Entry | None:
    """Returns the entry of a regular file, ``None`` for a folder or a link."""
    if attributes.type != asyncssh.FILEXFER_TYPE_REGULAR:
        return None
    return Entry(
        name,
        attributes.size or 0,
        min((attributes.mtime or 0) * 10**9 + (attributes.mtime_ns or 0), LAST),
    )
