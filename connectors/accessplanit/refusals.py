"""Interprets accessplanit's answer to a write: written, refused because of the row, or a fault of
the system.

The format of the answers is not public. The assumptions: the answer to a successful write is 2xx
with a JSON object, a JSON array or an empty body; a refusal has ``errors`` or ``error`` in its
JSON. Anything else with 2xx, such as a login page, does not come from the API. Only the next read
shows then whether the record was written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from reconciliation.errors import CredentialsRefused, Misconfigured, TargetFailed

from .feeds import FEEDS

AGAIN = "Run again later. Nothing was lost: the next run reads which of the changes were written."
LATER = frozenset({408, 425, 429})
"""Statuses below 500 that mean "try again later" and say nothing about the record."""
KINDS = (
    ("not found", r"not found|does ?n.t exist|does not exist|no such|unknown|not the id"),
    ("no place left", r"no place|fully booked|course is full"),
    ("already in use", r"in use|already|exist|duplicate|unique|taken"),
    ("too long", r"too long|longer than|exceed|max"),
    ("mandatory", r"mandatory|required|missing|blank|empty|must be (given|supplied|provided)"),
    ("not valid", r"valid|not in the list|not allowed|format|must be"),
)
"""(our reason, pattern of the vendor's words for it). The first match counts."""
OTHER = "for another reason"
WORDS = ("message", "error", "description", "detail", "title", "reason", "code")
"""Keys of an error object that may hold its text."""
NAMES = ("field", "property", "name", "key", "member")
"""Keys of an error object that may name its field."""


def refusal(response: httpx.Response, entity: str, body: Mapping[str, Any]) -> str | None:
    """Returns why accessplanit refused a record, or ``None`` if it was written.

    The reason is in our own words and names fields, never values.

    Args:
        response: the answer.
        entity: the module.
        body: the fields that were sent, by wire name.

    Raises:
        CredentialsRefused: the service user may not write this module.
        Misconfigured: this tenant has no such module, or does not accept such a request.
        TargetFailed: the system failed, or the answer is not from API v2. It is unknown whether the
            record was written.
    """
    status = response.status_code
    if status == 403:
        raise CredentialsRefused(
            f"accessplanit does not let this service user write {entity} (403)",
            "Ask the accessplanit administrator to grant the permission. Nothing was lost.",
        )
    # A PUT with 404 is different: the record does not exist, see below.
    if status == 405 or (status == 404 and response.request.method == "POST"):
        raise Misconfigured(
            f"accessplanit does not accept {response.request.method} for {entity} ({status})",
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
    answer = _json(response)
    if not response.is_success or not isinstance(answer, dict | list):
        raise TargetFailed(
            f"accessplanit answered something that is not API v2 when {entity} was written "
            f"({status}; a login or proxy page?)",
            AGAIN,
        )
    return (
        _reason(answer, status, entity, body)
        if isinstance(answer, dict) and (answer.get("errors") or answer.get("error"))
        else None
    )


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        return None


def _reason(answer: Any, status: int, entity: str, body: Mapping[str, Any]) -> str:
    """Describes a refusal. Only fields that we know or have sent are named: any other name may be a
    value."""
    known = {
        name.lower(): name
        for name in (*(f.alias or n for n, f in FEEDS[entity].model_fields.items()), *body)
    }
    distinct = dict.fromkeys(
        (_field(name, words, known), _kind(words)) for name, words in _errors(answer)
    )
    reasons = list(distinct) or [(None, OTHER)]
    return "; ".join(
        f"accessplanit refused {name or 'it'} ({status}): {kind}" for name, kind in reasons
    )


def _errors(answer: Any) -> Iterator[tuple[str, str]]:
    """Yields (field, text) of each error, whatever the shape of ``errors``. The field is empty if
    the error names none."""
    errors = (
        (answer.get("errors") or answer.get("error") or answer.get("message"))
        if isinstance(answer, dict)
        else answer
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
    """Returns the text of an error."""
    return (
        " ".join(str(error[n]) for n in WORDS if error.get(n))
        if isinstance(error, dict)
        else str(error)
    )


def _field(name: str, words: str, known: Mapping[str, str]) -> str | None:
    """Returns the known field that an error names or, if it names none, mentions in its text."""
    if name:
        return known.get(name.lower())
    return next((known[word] for word in re.findall(r"\w+", words.lower()) if word in known), None)


def _kind(words: str) -> str:
    return next((kind for kind, pattern in KINDS if re.search(pattern, words.lower())), OTHER)
