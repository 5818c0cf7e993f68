"""Creates files and folders for personal data that only their owner can read, whatever the
umask."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

OTHERS = 0o077
"""Permission bits of everybody but the owner."""
ENTER = 0o011
"""Permission bits with which others can enter a folder."""


def private_folder(folder: Path) -> None:
    """Creates a folder and its missing parents, with mode 0700. Existing folders keep their
    mode."""
    for missing in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
        with suppress(FileExistsError):
            missing.mkdir(mode=0o700)
            missing.chmod(0o700)


def private_file(file: Path) -> None:
    """Creates an empty file with mode 0600, and its folder if missing. An existing file keeps its
    mode and content."""
    private_folder(file.parent)
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
        file.chmod(0o600)


def write_private(file: Path, text: str) -> None:
    """Writes a private file atomically: completely or not at all."""
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    private_file(part)
    part.write_text(text)
    part.replace(file)


def is_ours(file: Path) -> bool:
    """Whether a regular file exists, belongs to this account and is closed to all others, so that
    nobody else can have written or read it."""
    try:
        status = file.lstat()
    except OSError:
        return False
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_uid == os.geteuid()
        and not status.st_mode & OTHERS
    )


def open_to_others(path: Path) -> bool:
    """Whether a file or folder exists and other accounts can reach it: they have rights to it and
    can enter every folder above it."""
    try:
        return bool(path.stat().st_mode & OTHERS) and all(
            folder.stat().st_mode & ENTER for folder in path.absolute().parents
        )
    except OSError:
        return False
