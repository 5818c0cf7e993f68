"""Escapes CSV cells that a spreadsheet would run as formulas, and undoes it."""

from __future__ import annotations

import re

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Characters with which a formula begins in a spreadsheet (OWASP, CSV injection)."""
NUMBER = re.compile(r"[+-][\d\s()./-]*(?:\s*(?:x|ext\.?)\s*\d+)?", re.IGNORECASE)
"""A signed number or a telephone number, with or without an extension. It begins like a formula but
is harmless."""


def defused(text: str) -> str:
    """Returns the text with an apostrophe before it if a spreadsheet would take it for a formula.
    A text that already looks escaped gets one too, so that :func:`restored` returns the
    original."""
    bare = text.lstrip("'")
    return (
        f"'{text}"
        if bare.startswith(FORMULA) and (bare != text or not NUMBER.fullmatch(text))
        else text
    )


def restored(text: str) -> str:
    """Undoes :func:`defused`: removes the apostrophe that it added."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(FORMULA) else text
