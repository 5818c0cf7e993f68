"""How the receiver knows who sends: headers, credentials, signatures; and what it shows to whom."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from connectors.settings import AccessplanitSettings, WebhookSettings, load
from reconciliation.errors import Misconfigured

from .desks import HEADERS, SECRET, Desk

DOCS = Path(__file__).resolve().parents[3] / "docs" / "webhooks.md"
PASSWORD = "pass:wörd"


def basic(name: str, password: str, encoding: str = "utf-8") -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode(encoding)).decode()


def refusals(desk: Desk, reason: str) -> int:
    found = re.search(
        rf'refused_total{{reason="{reason}"}} (\d+)', desk.client.get("/metrics").text
    )
    return int(found[1]) if found else 0


def raw(desk: Desk, header: str, value: bytes) -> httpx.Response:
    """A delivery with a header of any bytes."""
    return desk.client.post("/webhooks/user/a", headers=[(header.encode(), value)])


# -- secrets and credentials ---------------------------------------------------------------------


@pytest.fixture
def credentials(make_desk: Callable[..., Desk]) -> Desk:
    return make_desk(secret=None, username="svç", password=SecretStr(PASSWORD), open_pages=True)


def test_basic_authentication_and_the_secret_must_both_hold(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(username="svc", password=SecretStr("pass:word"))
    right = {**HEADERS, "Authorization": basic("svc", "pass:word")}
    assert desk.send("user/a", headers=right).status_code == 202
    for wrong in (
        HEADERS,
        {**right, "X-Webhook-Secret": "no"},
        {**HEADERS, "Authorization": basic("svc", "password")},
        {**HEADERS, "Authorization": basic("SVC", "pass:word")},
        {**HEADERS, "Authorization": "Basic ###"},
    ):
        assert desk.send("user/b", headers=wrong).status_code == 401, wrong
    assert {key for _, _, key, _ in desk.written()} == {"a"}


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_password_may_hold_any_letter(credentials: Desk, encoding: str) -> None:
    assert (
        credentials.send(
            "user/a", headers={"Authorization": basic("svç", PASSWORD, encoding)}
        ).status_code
        == 202
    )


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_secret_may_hold_any_letter(make_desk: Callable[..., Desk], encoding: str) -> None:
    desk = make_desk(secret="gehëim", open_pages=True)
    assert raw(desk, "X-Webhook-Secret", "gehëim".encode(encoding)).status_code == 202
    for wrong in ("geheim", "gehëimm", "gehïim"):
        assert raw(desk, "X-Webhook-Secret", wrong.encode(encoding)).status_code == 401
    assert refusals(desk, "secret") == 3


def test_a_secret_beyond_latin_1_is_not_shortened_to_it(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(secret="a€b")
    assert raw(desk, "X-Webhook-Secret", "a€b".encode()).status_code == 202
    for wrong in (b"ab", b"a?b"):
        assert raw(desk, "X-Webhook-Secret", wrong).status_code == 401


MALFORMED = {
    "nothing": b"",
    "no credentials": b"Basic",
    "letters that are not ASCII": "Basic äöü".encode(),
    "bytes that are no text": b"Basic \xff\xfe",
    "no base64": b"Basic ###",
    "base64 without its end": b"Basic " + base64.b64encode(f"svç:{PASSWORD}".encode())[:-1],
    "no colon": b"Basic " + base64.b64encode(b"svc"),
    "another scheme": b"Bearer " + base64.b64encode(f"svç:{PASSWORD}".encode()),
    "no scheme": base64.b64encode(f"svç:{PASSWORD}".encode()),
    "several spaces": b"Basic   " + base64.b64encode(f"svç:{PASSWORD}".encode()),
    "something after it": b"Basic " + base64.b64encode(f"svç:{PASSWORD}".encode()) + b" x",
    "credentials that are no text": b"Basic " + base64.b64encode(b"\xff:\xfe"),
    "huge": b"Basic " + b"QUFB" * 3000,
}


@pytest.mark.parametrize("value", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_authorization_is_a_counted_refusal(credentials: Desk, value: bytes) -> None:
    answer = raw(credentials, "Authorization", value)
    assert (answer.status_code, answer.json()["reason"]) == (401, "credentials")
    assert refusals(credentials, "credentials") == 1


def test_a_header_beyond_all_bounds_is_a_4xx_and_others_are_served(credentials: Desk) -> None:
    # The server hangs up while the rest is on its way: whether the client still reads the answer is
    # chance.
    with suppress(httpx.ReadError, httpx.WriteError):
        assert (
            400
            <= raw(credentials, "Authorization", b"Basic " + b"QUFB" * 100_000).status_code
            < 500
        )
    assert (
        credentials.send("user/a", headers={"Authorization": basic("svç", PASSWORD)}).status_code
        == 202
    )


@pytest.mark.parametrize("kind", [WebhookSettings, AccessplanitSettings])
@pytest.mark.parametrize(
    "given", [{"username": "svc"}, {"password": "geheim"}, {"username": "svc", "password": ""}]
)
def test_half_of_the_credentials_is_refused_when_settings_are_made(
    kind: type[Any], given: dict[str, str]
) -> None:
    for more in ({}, {"secret": SECRET} if kind is WebhookSettings else {"api_key": "key"}):
        with pytest.raises(
            ValidationError,
            match=r"has a (username|password) without a (username|password): set both or neither",
        ) as found:
            kind(**given, **more)
        assert "geheim" not in str(found.value)
    assert kind(username="svc", password="geheim").password is not None


def test_half_of_the_credentials_is_named_with_the_settings_it_is_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HRSYNC_WEBHOOKS__PASSWORD", "geheim")
    with pytest.raises(
        Misconfigured, match="HRSYNC_WEBHOOKS has a password without a username"
    ) as found:
        load()
    assert "geheim" not in str(found.value)


# -- a gateway's signature -----------------------------------------------------------------------


def sign(
    body: bytes,
    stamp: str,
    key: str = "gateway-key",
    method: str = "POST",
    target: str = "/webhooks/user",
) -> dict[str, str]:
    mark = hmac.new(
        key.encode(), f"{stamp}\n{method}\n{target}\n".encode() + body, hashlib.sha256
    ).hexdigest()
    return {"X-Webhook-Timestamp": stamp, "X-Webhook-Signature": f"sha256={mark}"}


@pytest.fixture
def gateway(make_desk: Callable[..., Desk]) -> Desk:
    return make_desk(secret=None, signing_key=SecretStr("gateway-key"))


def test_a_signature_covers_body_and_time(gateway: Desk) -> None:
    body, now = b'{"ID": "jasmit"}', str(int(time.time()))
    assert gateway.send("user", body, headers=sign(body, now)).json()["status"] == "accepted"
    assert gateway.send("user", body, headers=sign(body, now)).json()["status"] == "duplicate", (
        "the same, replayed"
    )
    old = str(int(time.time()) - 301)
    for headers, reason in (
        (sign(body, old), "time"),
        (sign(body, "soon"), "time"),
        (sign(body, "nan"), "time"),
        (sign(b"other", now), "signature"),
        (sign(body, now, "another-key"), "signature"),
        ({**sign(body, old), "X-Webhook-Timestamp": now}, "signature"),
        ({}, "signature"),
    ):
        answer = gateway.send("user", body, headers=headers)
        assert (answer.status_code, answer.json()["reason"]) == (401, reason), headers
    assert len(gateway.written()) == 1


def test_a_signature_covers_method_path_and_query_as_they_were_sent(gateway: Desk) -> None:
    body, now = b'{"ID": "jasmit"}', str(int(time.time()))
    target = "/webhooks/user/jas%6Dit?id=a%20b&x=1"
    headers = sign(body, now, target=target)

    def sent(method: str, to: str) -> int:
        url = httpx.URL(gateway.url).copy_with(raw_path=to.encode())
        return gateway.client.request(method, url, content=body, headers=headers).status_code

    assert sent("POST", target) == 202
    before = gateway.written()
    for method, to in (
        ("DELETE", target),
        ("PUT", target),
        ("POST", "/webhooks/useraward/jas%6Dit?id=a%20b&x=1"),
        ("POST", "/webhooks/user/jasmit?id=a%20b&x=1"),
        ("POST", "/webhooks/user/jas%6Dit?id=a+b&x=1"),
        ("POST", "/webhooks/user/jas%6Dit?x=1&id=a%20b"),
        ("POST", "/webhooks/user/jas%6Dit"),
        ("POST", "/webhooks/user"),
    ):
        assert sent(method, to) == 401, (method, to)
    assert gateway.written() == before


@pytest.mark.parametrize(
    ("signed", "replayed"),
    [
        (("/webhooks/user/jas.mit", b'{"ID": 1}'), ("/webhooks/user/jas", b'mit\n{"ID": 1}')),
        (("/webhooks/user/jas", b'5\n{"ID": 1}'), ("/webhooks/user/jas%0A5", b'{"ID": 1}')),
    ],
)
def test_nothing_of_a_signed_path_can_become_a_part_of_the_body(
    gateway: Desk, signed: tuple[str, bytes], replayed: tuple[str, bytes]
) -> None:
    now = str(int(time.time()))
    headers = sign(signed[1], now, target=signed[0])
    assert (
        gateway.send(signed[0].removeprefix("/webhooks/"), signed[1], headers=headers).status_code
        == 202
    )
    before = gateway.written()
    # Not with httpx, which would percent-encode the path.
    with closing(HTTPConnection("127.0.0.1", gateway.served.port, timeout=20)) as connection:
        connection.request("POST", replayed[0], replayed[1], headers)
        assert connection.getresponse().status in (401, 404)
    assert gateway.written() == before


def test_a_strangers_body_is_not_read(make_desk: Callable[..., Desk]) -> None:
    """A million tiny chunks of it would keep the receiver busy."""
    desk = make_desk()
    with socket.create_connection(("127.0.0.1", desk.served.port), timeout=5) as stranger:
        stranger.sendall(
            b"POST /webhooks/user HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: "
            b"chunked\r\n\r\n1\r\n{\r\n"
        )
        assert stranger.recv(100).startswith(b"HTTP/1.1 401"), "before the body is complete"


def test_a_senders_id_that_no_signature_covers_does_not_count(gateway: Desk) -> None:
    """Whoever repeats a signed delivery could give it another ID, and another delivery's ID to come
    before that."""
    body, now = b'{"ID": "jasmit"}', str(int(time.time()))
    headers = sign(body, now)
    said = [
        gateway.send("user", body, headers={**headers, "X-Webhook-Id": n}).json()["status"]
        for n in ("1", "2", "EVT-7")
    ]
    assert said == ["accepted", "duplicate", "duplicate"]
    other = b'{"ID": "another"}'
    assert (
        gateway.send("user", other, headers={**sign(other, now), "X-Webhook-Id": "EVT-7"}).json()[
            "status"
        ]
        == "accepted"
    )


def test_the_example_of_the_docs_is_what_the_receiver_asks_for(gateway: Desk) -> None:
    block = next(
        text
        for text in re.findall(r"```sh\n(.*?)```", DOCS.read_text(), re.DOTALL)
        if "openssl dgst" in text
    )
    assigned = dict(re.findall(r"^(\w+)='(.*)'$", block, re.MULTILINE))
    now = str(int(time.time()))
    message = "\n".join((now, assigned["method"], assigned["target"], assigned["body"]))
    mark = hmac.new(b"gateway-key", message.encode(), hashlib.sha256).hexdigest()
    url = httpx.URL(gateway.url).copy_with(raw_path=assigned["target"].encode())
    headers = {"X-Webhook-Timestamp": now, "X-Webhook-Signature": mark}
    answer = gateway.client.request(
        assigned["method"], url, content=assigned["body"].encode(), headers=headers
    )
    assert answer.json()["status"] == "accepted"

    computed, _, _ = block.partition("curl")
    script = re.sub(r"timestamp=.*", f"timestamp={now}", computed) + '\necho "$signature"'
    done = subprocess.run(
        ["sh", "-c", script],
        env={**os.environ, "KEY": "gateway-key"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == mark, "the shell computes the same"


# -- what is shown to whom -----------------------------------------------------------------------


@pytest.mark.parametrize("page", ["/metrics", "/openapi.json"])
def test_a_page_is_shown_to_who_knows_the_secret(make_desk: Callable[..., Desk], page: str) -> None:
    desk = make_desk(username="svc", password=SecretStr("pässword"))
    right = {**HEADERS, "Authorization": basic("svc", "pässword")}
    assert desk.client.get(page, headers=right).status_code == 200
    for wrong in (
        {},
        HEADERS,
        {**right, "X-Webhook-Secret": "no"},
        {**right, "Authorization": "Basic ä".encode()},
    ):
        answer = desk.client.get(page, headers=wrong)
        assert (answer.status_code, "hrsync_webhooks" in answer.text, "paths" in answer.text) == (
            401,
            False,
            False,
        ), wrong
    assert (
        'refused_total{reason="credentials"} 2.0' in desk.client.get("/metrics", headers=right).text
    )


def test_who_guesses_at_a_page_is_limited_like_any_other(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(rate="3/minute")
    assert [
        desk.client.get("/metrics", headers={"X-Webhook-Secret": str(n)}).status_code
        for n in range(4)
    ] == [401] * 3 + [429]


def test_pages_are_shown_to_all_if_the_setting_says_so_and_to_nobody_without_a_secret(
    make_desk: Callable[..., Desk],
) -> None:
    opened = make_desk(open_pages=True)
    assert [opened.client.get(page).status_code for page in ("/metrics", "/openapi.json")] == [
        200,
        200,
    ]
    signs = make_desk(secret=None, signing_key=SecretStr("gateway-key"))
    assert [
        signs.client.get(page, headers=HEADERS).status_code
        for page in ("/metrics", "/openapi.json")
    ] == [401, 401]


def test_health_says_nothing_else(gateway: Desk) -> None:
    answer = gateway.client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_the_document_says_what_a_delivery_must_carry(make_desk: Callable[..., Desk]) -> None:
    desk = make_desk(
        username="svc", password=SecretStr("p"), signing_key=SecretStr("k"), open_pages=True
    )
    document = json.loads(desk.client.get("/openapi.json").text)
    assert document["components"]["securitySchemes"] == {
        "secret": {"type": "apiKey", "in": "header", "name": "X-Webhook-Secret"},
        "basic": {"type": "http", "scheme": "basic"},
        "signature": {"type": "apiKey", "in": "header", "name": "X-Webhook-Signature"},
    }
    assert document["paths"]["/webhooks/{subscription}"]["post"]["security"] == [
        {"secret": [], "basic": [], "signature": []}
    ]
