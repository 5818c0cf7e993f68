"""A receiver over real HTTP, and whoever delivers to it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from connectors.settings import Settings, WebhookSettings
from connectors.store import schema as t
from connectors.store.sql import SyncStore
from flows.receiver.app import server
from tests.served import Served

SECRET = "an-invented-secret"
HEADERS = {"X-Webhook-Secret": SECRET}


class Told:
    """Stands for Prefect: notes what it is told, and is away when it is asked to be."""

    def __init__(self) -> None:
        self.flows: list[tuple[str, int]] = []
        self.away = False

    async def __call__(self, flow: str, records: int) -> None:
        if self.away:
            raise ConnectionError
        self.flows.append((flow, records))


class Desk:
    """A receiver on loopback with its store."""

    def __init__(self, folder: Path, url: str = "", **hooks: Any) -> None:
        chosen = WebhookSettings(**({"secret": SECRET, "window_seconds": 1} | hooks))
        self.settings = Settings(home=folder, webhooks=chosen)  # type: ignore[call-arg]
        self.store = SyncStore(url or f"sqlite:///{folder / 'store.db'}")
        self.told = Told()
        self.served = Served(**server(self.settings, self.store, self.told))
        self.url = f"http://127.0.0.1:{self.served.port}"
        self.client = httpx.Client(base_url=self.url, timeout=20)

    def send(
        self,
        path: str,
        body: object = None,
        method: str = "POST",
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        content = (
            body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        )
        return self.client.request(
            method,
            f"/webhooks/{path}",
            content=content,
            headers=HEADERS if headers is None else headers,
        )

    def metrics(self) -> str:
        return self.client.get("/metrics", headers=HEADERS).text

    def written(self) -> list[tuple[Any, ...]]:
        """Every hint: process, feed, key, deleted."""
        with self.store.engine.connect() as connection:
            rows = connection.execute(
                sa.select(t.hint.c.process, t.hint.c.feed, t.hint.c.key, t.hint.c.deleted).order_by(
                    t.hint.c.seq
                )
            )
            return [tuple(row) for row in rows]

    def close(self) -> None:
        self.client.close()
        self.served.stop()
        self.store.close()


def hear(desk: Desk, process: str = "users_to_hr") -> None:
    with desk.store.engine.begin() as connection:
        desk.store.hear(connection, "run", process, desk.store.hints(process), datetime.now(UTC))


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
