"""Which addresses of servers are accepted."""

from __future__ import annotations

import pytest

from connectors.address import checked_http_address


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("https://tenant.example/plan?", "a query or a fragment"),
        ("https://tenant.example/plan#", "a query or a fragment"),
        (" https://tenant.example", "a blank or a control character"),
        ("https://tenant.example ", "a blank or a control character"),
        ("https://tenant.example\n", "a blank or a control character"),
        ("https://tenant.example:99999", "a port from 1 to 65535"),
        ("ftp://tenant.example", "write it as https://host"),
        ("tenant.example", "write it as https://host"),
        ("https://u:p@tenant.example", "a user name or a password"),
    ],
)
def test_an_address_that_would_fail_later_is_refused_with_the_reason(
    address: str, why: str
) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        checked_http_address(address)
    assert "tenant" not in str(raised.value), "the address may hold a secret"


def test_an_ordinary_address_is_accepted_as_it_is() -> None:
    for address in ("https://tenant.example/plan", "http://127.0.0.1:8600/plan"):
        assert checked_http_address(address) == address
