"""Unforeseen errors lose what they say of the data."""

from __future__ import annotations

import traceback

import pytest

from reconciliation.discreet import discreet
from reconciliation.errors import Defect, Misconfigured


def test_law_10_an_unforeseen_error_says_where_and_not_what() -> None:
    """Neither its message nor the error that it came from is passed on."""

    @discreet
    def broken() -> None:
        raise KeyError("Petronella Quibbling")

    with pytest.raises(Defect, match=r"An unforeseen KeyError at test_discreet\.py:\d+") as caught:
        broken()
    assert "Petronella" not in "".join(traceback.format_exception(caught.value))


def test_our_own_errors_pass() -> None:
    @discreet
    def misconfigured() -> None:
        raise Misconfigured("No tenant", "Set one.")

    with pytest.raises(Misconfigured):
        misconfigured()
