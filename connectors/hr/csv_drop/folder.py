"""Exchanges files in a local folder. A file becomes visible only when it is complete."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path

from reconciliation.errors import Misconfigured, TargetFailed

from .files import LAST, PART, Entry, is_visible


class LocalFolder:
    """Implements :class:`.places.Place`.

    Args:
        root: the folder.
        creates: whether missing folders are created when they are listed.
        mode: permissions of our files; ``None``: the umask decides.
        group: group of our files; ``None``: the default.
    """

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
                # The importer needs access, so its permissions come from the umask, the folder's
                # defaults or the settings.
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
            path = self.root / folder
            if self._creates:
                path.mkdir(parents=True, exist_ok=True)
            elif not path.is_dir():
                return []
            entries = [self._entry(file) for file in path.iterdir() if is_visible(file.name)]
        return sorted(entry for entry in entries if entry)

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
        """Returns the entry of a regular file, or ``None``."""
        with contextlib.suppress(FileNotFoundError):
            status = file.stat()
            if stat.S_ISREG(status.st_mode):
                return Entry(file.name, status.st_size, min(status.st_mtime_ns, LAST))
        return None

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """Converts errors of the file system to ours."""
        try:
            yield
        except LookupError:
            raise Misconfigured(
                f"There is no group {self._group}", "Correct HRSYNC_CSV_DROP__FILE_GROUP."
            ) from None
        except OSError as error:
            raise TargetFailed(
                f"The folder {self.name} cannot be used ({type(error).__name__})",
                "Check the folder and its permissions, then run again. Nothing was lost.",
            ) from None
