"""CSV cells that a spreadsheet would take for formulas, made harmless and made whole again."""

from __future__ import annotations

import re

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection)."""
NUMBER = re.compile(r"[+-][\d\s()./-]*(?:\s*(?:x|ext\.?)\s*\d+)?", re.IGNORECASE)
"""A number or a telephone number, with an extension or without: it begins like a formula but is not
one."""


def defused(text: str) -> str:
    """``text`` with an apostrophe before it if a spreadsheet would take it for a formula, or
    :func:`restored` for a defused text."""
    bare = text.lstrip("'")
    return (
        f"'{text}"
        if bare.startswith(FORMULA) and (bare != text or not NUMBER.fullmatch(text))
        else text
    )


def restored(text: str) -> str:
    """The text of which ``text`` is the :func:`defused` form."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(FORMULA) else text
