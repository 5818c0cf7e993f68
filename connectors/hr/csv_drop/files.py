"""A file as its folder lists it, on this machine or on a server."""

from __future__ import annotations

from typing import NamedTuple

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


def is_visible(name: str) -> bool:
    """Whether a file with this name is complete."""
    return not name.startswith(".") and not name.endswith((PART, ".tmp"))
