"""Which addresses of servers are accepted."""

from __future__ import annotations

import pytest

from connectors.address import plain


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("https://tenant.example/plan?", "a query or a fragment"),
        ("https://tenant.example/plan#", "a query or a fragment"),
        (" https://tenant.example", "a space or a line break"),
        ("https://tenant.example ", "a space or a line break"),
        ("https://tenant.example\n", "a space or a line break"),
        ("https://tenant.example:99999", "a valid port"),
        ("ftp://tenant.example", "must begin with https://"),
        ("tenant.example", "must begin with https://"),
        ("https://u:p@tenant.example", "a user name or a password"),
    ],
)
def test_an_address_that_would_fail_later_is_refused_with_the_reason(
    address: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        plain(address)
    assert "tenant" not in str(raised.value), "the address may hold a secret"


def test_an_ordinary_address_is_accepted_as_it_is() -> None:
    for address in ("https://tenant.example/plan", "http://127.0.0.1:8600/plan"):
        assert plain(address) == address
