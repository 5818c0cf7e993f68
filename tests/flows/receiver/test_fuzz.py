"""The receiver against what nobody would send: never a 5xx, never a trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.store import schema as t
from tests.examples import share

from .desks import HEADERS, Desk

EXAMPLES = share(60)
FRAMING = ("host", "content-length", "transfer-encoding", "connection", "expect", "upgrade")
"""Headers that httpx answers for itself."""


def rows(desk: Desk) -> int:
    with desk.store.engine.connect() as connection:
        return sum(
            connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (t.delivery, t.hint)
        )


@pytest.mark.slow
@pytest.mark.parametrize("secret", [False, True], ids=["stranger", "sender"])
@pytest.mark.filterwarnings("ignore")
def test_whatever_its_document_allows_or_forbids(
    make_desk: Callable[..., Desk], secret: bool
) -> None:
    """Requests made from the OpenAPI document, right and wrong ones."""
    import schemathesis

    desk = make_desk(open_pages=True)
    document = schemathesis.openapi.from_url(f"{desk.url}/openapi.json")
    operations = [found.ok() for found in document.get_all_operations()]
    assert len(operations) == 10
    for operation in operations:
        strategy = st.one_of(
            operation.as_strategy(mode)
            for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
        )

        @given(strategy)
        @settings(
            max_examples=EXAMPLES // 4, deadline=None, suppress_health_check=list(HealthCheck)
        )
        def fuzz(case: Any) -> None:
            headers = HEADERS if secret else {}
            response = case.call(headers=headers, session=None)
            assert response.status_code < 500, (case.method, case.path)

        fuzz()
    assert desk.client.get("/health").status_code == 200
    if not secret:
        assert rows(desk) == 0


BYTES = st.binary(max_size=300)
TOKENS = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~",
    min_size=1,
    max_size=20,
)
VALUES = st.text(
    st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f"), max_size=60
)


@pytest.mark.slow
def test_random_methods_paths_headers_and_bodies(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(max_bytes=2000)
    methods = st.one_of(
        st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE"]),
        TOKENS,
    )
    paths = st.one_of(
        st.sampled_from(["user", "useraward", "bamboohr", "", "user/", "user/a/b"]),
        st.text(max_size=40),
    )

    @given(
        methods,
        paths,
        st.dictionaries(TOKENS, VALUES, max_size=4),
        st.one_of(BYTES, st.binary(min_size=1990, max_size=2100)),
    )
    @settings(max_examples=EXAMPLES * 5, deadline=None, suppress_health_check=list(HealthCheck))
    def fuzz(method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        given_ = {
            name: value.encode("latin-1")
            for name, value in headers.items()
            if name.lower() not in FRAMING
        }
        try:
            url = httpx.URL(f"{desk.url}/webhooks/").copy_with(
                raw_path=b"/webhooks/" + httpx.URL(path=f"/{path}").raw_path[1:]
            )
        except httpx.InvalidURL:
            hypothesis.reject()
        try:
            answer = desk.client.request(method, url, headers=given_, content=body)
        except (httpx.RemoteProtocolError, httpx.LocalProtocolError):
            return
        assert answer.status_code < 500, (method, path, answer.status_code)
        assert answer.status_code >= 400

    fuzz()
    assert rows(desk) == 0
