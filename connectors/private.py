"""Files and folders that their owner alone can read, whatever the umask: personal data lies in
them."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

OTHERS = 0o077
"""The rights of everybody but the owner."""
ENTER = 0o011
"""Of these, that to enter a folder."""


def private_folder(folder: Path) -> None:
    """Makes a folder and those above it that are missing. Folders that are there keep their
    rights."""
    for missing in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
        with suppress(FileExistsError):
            missing.mkdir(mode=0o700)
            missing.chmod(0o700)


def private_file(file: Path) -> None:
    """Makes an empty file, in a folder that is made for it if need be. A file that is there keeps
    its rights and content."""
    private_folder(file.parent)
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL, 0o600))
        file.chmod(0o600)


def write_private(file: Path, text: str) -> None:
    """Writes a file, whole or not at all."""
    part = file.with_name(f".{file.name}.part")
    part.unlink(missing_ok=True)
    private_file(part)
    part.write_text(text)
    part.replace(file)


def is_ours(file: Path) -> bool:
    """Whether a file is there, belongs to this account, and gives rights to nobody else: nobody
    else can have written or read it."""
    try:
        found = file.lstat()
    except OSError:
        return False
    return (
        stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & OTHERS
    )


def open_to_others(path: Path) -> bool:
    """Whether a file or folder is there and others have rights to it; what lies in a folder that
    they cannot enter is closed to them."""
    try:
        return bool(path.stat().st_mode & OTHERS) and all(
            folder.stat().st_mode & ENTER for folder in path.absolute().parents
        )
    except OSError:
        return False
