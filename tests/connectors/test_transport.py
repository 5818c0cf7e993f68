"""Which requests are sent again when an answer breaks off in the middle of its body."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import httpx
import pytest

from connectors.transport import network, posting, retrying


class CutsTheFirstAnswer(BaseHTTPRequestHandler):
    """Breaks off its first answer after 3 of 10 bytes; answers in full from then on."""

    protocol_version = "HTTP/1.1"
    answered = 0

    def do_POST(self) -> None:
        type(self).answered += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "10")
        self.end_headers()
        self.wfile.write(b"0123456789" if self.answered > 1 else b"012")
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Writes nothing to the terminal."""


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    CutsTheFirstAnswer.answered = 0
    with HTTPServer(("127.0.0.1", 0), CutsTheFirstAnswer) as made:
        threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
        yield made
        made.shutdown()


def post(server: HTTPServer, *, safe: bool) -> httpx.Response:
    with httpx.Client(transport=retrying(network(), 3, 0.001)) as client:
        url = f"http://127.0.0.1:{server.server_port}/"
        extensions = {"retry": posting(3, 0.001, safe=safe)}
        return client.post(url, json={}, extensions=extensions)


def test_a_safe_post_whose_answer_breaks_off_is_sent_again(server: HTTPServer) -> None:
    assert post(server, safe=True).text == "0123456789"
    assert CutsTheFirstAnswer.answered == 2


def test_an_unsafe_post_whose_answer_breaks_off_is_not_sent_again(server: HTTPServer) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        post(server, safe=False)
    assert CutsTheFirstAnswer.answered == 1
