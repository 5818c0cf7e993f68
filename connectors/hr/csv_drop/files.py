"""Describes a file in a folder listing, local or on a server."""

from __future__ import annotations

from typing import NamedTuple

PART = ".part"
"""Ending of the name of a file that is being written."""
LAST = 2**63 - 1
"""Latest time, in nanoseconds since 1970, that a database can store. A server's clock may be
wrong."""


class Entry(NamedTuple):
    """A file in a folder listing."""

    name: str
    size: int
    """In bytes."""
    written: int
    """Time of the last write in nanoseconds since 1970, by the clock of the folder's machine; 0 if
    unknown. Over SFTP it may have whole seconds only."""

    @property
    def label(self) -> str:
        """The name as text that every database can store. Names may hold bytes other than UTF-8."""
        return self.name.encode("utf-8", "backslashreplace").decode()


def is_visible(name: str) -> bool:
    """Whether a name is that of a finished file, not a hidden or temporary one."""
    return not name.startswith(".") and not name.endswith((PART, ".tmp"))
