"""The folder on this machine through which files are exchanged with HR. HR sees a file only once it
is complete."""

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
        creates: whether :meth:`files` creates a folder that is missing. :meth:`put` and
            :meth:`move` always do.
        mode: permissions of the files that are put here. ``None``: as the umask says.
        group: group of these files. ``None``: the default group.
    """

    def __init__(
        self, root: Path, creates: bool = True, mode: int | None = None, group: str | None = None
    ) -> None:
        self.root, self.name, self._creates = root.absolute(), str(root.absolute()), creates
        self._mode, self._group = mode, group

    def put(self, path: str, content: bytes) -> None:
        target = self.root / path
        with self._as_our_errors():
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}{PART}")
            try:
                # Not a private file: the program that imports it into HR must be able to read it.
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
        with self._as_our_errors():
            path = self.root / folder
            if self._creates:
                path.mkdir(parents=True, exist_ok=True)
            elif not path.is_dir():
                return []
            entries = [self._entry(file) for file in path.iterdir() if is_visible(file.name)]
        return sorted(entry for entry in entries if entry)

    def entry(self, path: str) -> Entry | None:
        with self._as_our_errors():
            return self._entry(self.root / path)

    def get(self, path: str) -> bytes | None:
        with self._as_our_errors(), contextlib.suppress(FileNotFoundError):
            return (self.root / path).read_bytes()
        return None

    def move(self, path: str, to: str) -> None:
        with self._as_our_errors():
            (self.root / to).parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                (self.root / path).replace(self.root / to)

    def remove(self, path: str) -> None:
        with self._as_our_errors():
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
    def _as_our_errors(self) -> Iterator[None]:
        """Converts errors of the file system to errors of hrsync."""
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
