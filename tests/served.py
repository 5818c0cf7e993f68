"""ASGI applications over real HTTP on loopback."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any, Literal

import uvicorn


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Served:
    """An ASGI application behind a real server on loopback."""

    def __init__(self, app: Any, lifespan: Literal["on", "off"] = "off", **options: Any) -> None:
        self.port = free_port()
        self._server = uvicorn.Server(
            uvicorn.Config(app, port=self.port, log_level="critical", lifespan=lifespan, **options)
        )
        threading.Thread(target=self._server.run, daemon=True).start()
        while not self._server.started:
            time.sleep(0.005)

    def stop(self) -> None:
        # Not waited for: the server looks at this ten times a second, and there are hundreds of
        # servers.
        self._server.should_exit = True
