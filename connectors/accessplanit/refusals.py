"""What accessplanit's answer to a write means: done, refused for the row's sake, or a fault of the
system.

What a genuine answer looks like is not public. Assumed: a write that was done is answered 2xx, with
a JSON object or array or with nothing; one that was refused has ``errors`` or ``error`` in its
JSON. Anything else with 2xx, such as a login page, is not the API's answer: whether the write was
done is found out by reading.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from reconciliation.errors import CredentialsRefused, Misconfigured, TargetFailed

from .feeds import FEEDS

AGAIN = (
    "Run again later. Nothing was lost: the next run reads what became of the changes that "
    "were sent."
)
LATER = frozenset({408, 425, 429})
"""Statuses below 500 that say nothing about the record."""
KINDS = (
    ("not found", r"not found|does ?n.t exist|does not exist|no such|unknown|not the id"),
    ("no place left", r"no place|fully booked|course is full"),
    ("already in use", r"in use|already|exist|duplicate|unique|taken"),
    ("too long", r"too long|longer than|exceed|max"),
    ("mandatory", r"mandatory|required|missing|blank|empty|must be (given|supplied|provided)"),
    ("not valid", r"valid|not in the list|not allowed|format|must be"),
)
"""Kinds of refusals, and the vendor's words by which each is known; the first that fits counts."""
OTHER = "for another reason"
WORDS = ("message", "error", "description", "detail", "title", "reason", "code")
"""Where an error object has its words."""
NAMES = ("field", "property", "name", "key", "member")
"""Where an error object names its field."""


def refusal(response: httpx.Response, entity: str, body: Mapping[str, Any]) -> str | None:
    """Why accessplanit refused the record, in our words and with field names only; ``None`` if it
    was written.

    Raises:
        CredentialsRefused: the service user may not write here.
        Misconfigured: this tenant has no such module, or takes no such request.
        TargetFailed: the system failed, or what answered is not API v2; whether the record was
            written is not known.
    """
    status = response.status_code
    if status == 403:
        raise CredentialsRefused(
            f"accessplanit refuses to let this service user write {entity} (403)",
            "The accessplanit administrator must give it the right; nothing was lost.",
        )
    if status in (404, 405) and (status == 405 or response.request.method == "POST"):
        raise Misconfigured(
            f"accessplanit takes no {response.request.method} for {entity} ({status})",
            "Check base_url and that the module can be written.",
        )
    if status in LATER or status >= 500:
        raise TargetFailed(f"accessplanit answered {status} when {entity} was written", AGAIN)
    if 400 <= status:
        return (
            "accessplanit has no such record (404)"
            if status == 404
            else _reason(_json(response), status, entity, body)
        )
    if response.is_success and not response.content.strip():
        return None
    said = _json(response)
    if not response.is_success or not isinstance(said, dict | list):
        raise TargetFailed(
            f"accessplanit answered something that is not API v2 when {entity} was written "
            f"({status}; a login or proxy page?)",
            AGAIN,
        )
    return (
        _reason(said, status, entity, body)
        if isinstance(said, dict) and (said.get("errors") or said.get("error"))
        else None
    )


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None


def _reason(said: Any, status: int, entity: str, body: Mapping[str, Any]) -> str:
    """Our sentence. A field is named only if we have sent it or know it: anything else may be a
    value."""
    known = {
        name.lower(): name
        for name in (*(f.alias or n for n, f in FEEDS[entity].model_fields.items()), *body)
    }
    found = dict.fromkeys(
        (_field(name, words, known), _kind(words)) for name, words in _errors(said)
    )
    reasons = list(found) or [(None, OTHER)]
    return "; ".join(
        f"accessplanit refused {name or 'it'} ({status}): {kind}" for name, kind in reasons
    )


def _errors(said: Any) -> Iterator[tuple[str, str]]:
    """(field, words) of each error, whatever the shape that ``errors`` has."""
    errors = (
        (said.get("errors") or said.get("error") or said.get("message"))
        if isinstance(said, dict)
        else said
    )
    if isinstance(errors, dict) and not any(name in errors for name in (*NAMES, *WORDS)):
        for name, words in errors.items():
            yield (
                str(name),
                " ".join(map(_text, words)) if isinstance(words, list) else _text(words),
            )
        return
    for error in errors if isinstance(errors, list) else [errors] if errors else []:
        name = (
            next((str(error[n]) for n in NAMES if error.get(n)), "")
            if isinstance(error, dict)
            else ""
        )
        yield name, _text(error)


def _text(error: Any) -> str:
    return (
        " ".join(str(error[n]) for n in WORDS if error.get(n))
        if isinstance(error, dict)
        else str(error)
    )


def _field(name: str, words: str, known: Mapping[str, str]) -> str | None:
    if name:
        return known.get(name.lower())
    return next((known[word] for word in re.findall(r"\w+", words.lower()) if word in known), None)


def _kind(words: str) -> str:
    return next((kind for kind, pattern in KINDS if re.search(pattern, words.lower())), OTHER)
