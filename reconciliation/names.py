"""Checks names that become part of a path or an address, so that they cannot lead elsewhere."""

from __future__ import annotations

from .errors import Misconfigured


def is_name(text: str) -> bool:
    """Whether a text is a single, printable path component."""
    return (
        text not in ("", ".")
        and ".." not in text
        and not set(text) & set("/\\")
        and text.isprintable()
    )


def is_below(text: str) -> bool:
    """Whether a text is a relative path that stays below its folder, or the folder itself
    (``.``)."""
    return text == "." or all(is_name(part) for part in text.removesuffix("/").split("/"))


def named(text: str, what: str) -> str:
    """Returns ``text`` if it is a name. ``what`` says what it names, for the message.

    Raises:
        Misconfigured: it is not a name. The message does not repeat it, because it may contain
            personal data.
    """
    if not is_name(text):
        raise Misconfigured(
            f"The text given for {what} is not a name: it is empty, or contains a separator, '..' "
            "or a control character",
            "Give the name only.",
        )
    return text
