"""Whose fault an answer of accessplanit is: the row's or the system's (law 11)."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from connectors.accessplanit.refusals import refusal
from reconciliation.errors import CredentialsRefused, HrsyncError, Misconfigured, TargetFailed

BODY = {"Email": "jo.lee@example.org", "Surname": "Lee"}
SYSTEM: list[tuple[int, type[HrsyncError]]] = [
    (302, TargetFailed),
    (403, CredentialsRefused),
    (405, Misconfigured),
    *((status, TargetFailed) for status in (408, 425, 429, 500, 501, 502, 503, 504)),
]
SAID: list[tuple[Any, str]] = [
    (
        {"errors": [{"field": "Email", "message": "is in use by Peter Bridge (pebrid)"}]},
        "accessplanit refused Email (400): already in use",
    ),
    ({"errors": {"Email": ["already exists"]}}, "accessplanit refused Email (400): already in use"),
    ({"errors": ["Surname is mandatory"]}, "accessplanit refused Surname (400): mandatory"),
    ({"errors": {"Peter Bridge": "is not valid"}}, "accessplanit refused it (400): not valid"),
    (
        {"error": {"code": "General", "message": "Email is too long"}},
        "accessplanit refused Email (400): too long",
    ),
    ({"message": "no such company"}, "accessplanit refused it (400): not found"),
    (["Bridge"], "accessplanit refused it (400): for another reason"),
    ({}, "accessplanit refused it (400): for another reason"),
]


def answered(status: int, method: str = "PUT", **content: Any) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request(method, "http://tenant.example"), **content)


@pytest.mark.parametrize(("status", "error"), SYSTEM)
def test_a_status_of_the_system_ends_the_run(status: int, error: type[HrsyncError]) -> None:
    with pytest.raises(error, match=str(status)):
        refusal(answered(status, json={"errors": ["is not valid"]}), "User", BODY)


@pytest.mark.parametrize("status", [400, 404, 409, 412, 422])
def test_a_status_of_the_row_is_its_own(status: int) -> None:
    assert str(status) in str(refusal(answered(status), "User", BODY))


@pytest.mark.parametrize(("said", "reason"), SAID)
def test_law_10_a_refusal_is_told_by_its_kind_and_in_our_words(said: Any, reason: str) -> None:
    assert refusal(answered(400, json=said), "User", BODY) == reason


def test_what_is_not_the_api_s_answer_is_neither_done_nor_refused() -> None:
    for content in ({"html": "<html>Please sign in</html>"}, {"text": "OK"}, {"json": "OK"}):
        with pytest.raises(TargetFailed, match="not API v2"):
            refusal(answered(200, **content), "User", BODY)
    assert refusal(answered(204), "User", BODY) is None
    assert refusal(answered(200, json={"ID": "U1", "errors": []}), "User", BODY) is None
    assert refusal(
        answered(200, json={"errors": [{"field": "Email", "message": "is in use"}]}), "User", BODY
    )
