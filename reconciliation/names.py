"""Names that become part of a path or an address: what would lead elsewhere is not a name."""

from __future__ import annotations

from .errors import Misconfigured


def is_name(text: str) -> bool:
    """Whether a text names one thing in its folder, and can be shown."""
    return (
        text not in ("", ".")
        and ".." not in text
        and not set(text) & set("/\\")
        and text.isprintable()
    )


def is_below(text: str) -> bool:
    """Whether a text is the path of a folder in another one, or that one itself (``.``)."""
    return text == "." or all(is_name(part) for part in text.removesuffix("/").split("/"))


def named(text: str, what: str) -> str:
    """A name as it was given. what: what it should be the name of.

    Raises:
        Misconfigured: it is not a name; does not repeat it, because people put IDs and other things
            of persons there.
    """
    if not is_name(text):
        raise Misconfigured(
            f"What was given for {what} is not a name: it is empty, or holds a separator, '..' "
            "or a control character",
            "Give the name only.",
        )
    return text
