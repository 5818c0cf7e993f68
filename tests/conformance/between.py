"""A proxy between a connector and its server that does what networks and servers do: refuse, tire,
hang, swallow an answer."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any

import httpx

from tests.evidence import STRANGER
from tests.served import Served


class Between:
    """``fault(kind)`` is what becomes of the next request, or of the next write: ``write=True``."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream.rstrip("/")
        self._client = httpx.AsyncClient(timeout=30)
        self._served = Served(self)
        self.url = f"http://127.0.0.1:{self._served.port}"
        self._faults: deque[tuple[str, bool]] = deque()
        self.seen: list[tuple[str, str]] = []

    def fault(self, kind: str, times: int = 1, *, write: bool = False) -> None:
        self._faults.extend([(kind, write)] * times)

    def clear(self) -> None:
        self._faults.clear()
        self.seen.clear()

    def stop(self) -> None:
        self._served.stop()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        method, path = scope["method"], scope["path"]
        self.seen.append((method, path))
        kind = ""
        if self._faults and (not self._faults[0][1] or method != "GET"):
            kind, _ = self._faults.popleft()
        if kind.isdigit():
            return await _answer(send, int(kind), [(b"retry-after", b"0")], STRANGER.encode())
        if kind == "html":
            return await _answer(
                send,
                200,
                [(b"content-type", b"text/html")],
                b"<html><body>Please sign in</body></html>",
            )
        if kind == "hang":
            await asyncio.sleep(3)
            return None
        query = scope["query_string"].decode()
        url = self.upstream + scope["raw_path"].decode() + (f"?{query}" if query else "")
        headers = [(k.decode(), v.decode()) for k, v in scope["headers"] if k != b"content-length"]
        answer = await self._client.request(method, url, content=body, headers=headers)
        if kind == "lost":
            # It was carried out, and the answer never comes.
            await asyncio.sleep(3)
            return None
        passed = [
            (k.encode(), v.encode())
            for k, v in answer.headers.items()
            if k in ("content-type", "location", "etag")
        ]
        if answer.status_code >= 400:
            return await _answer(
                send,
                answer.status_code,
                [*passed, (b"x-bamboohr-error-message", STRANGER.encode())],
                _naming(answer),
            )
        return await _answer(send, answer.status_code, passed, answer.content)


def _naming(answer: httpx.Response) -> bytes:
    """An error that repeats personal data, as those of many systems do."""
    try:
        said = answer.json()
    except ValueError:
        return answer.content or STRANGER.encode()
    return (
        json.dumps({**said, "detail": f"{said.get('detail')}: {STRANGER}"}).encode()
        if isinstance(said, dict)
        else answer.content
    )


async def _answer(send: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, (b"content-length", str(len(body)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": body})
