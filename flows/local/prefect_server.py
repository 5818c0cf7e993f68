"""``python -m flows.local.prefect_server``: runs Prefect's server with workarounds for two faults
on SQLite, and keeps its pages from contacting other servers.

Fault 1, "database is locked": a transaction that first reads and then writes fails at once if
another one has written in between; SQLite does not wait. Therefore each transaction that Prefect
begins takes SQLite's write lock at its start, and waits for it. Plain reads begin no transaction.

Fault 2, the server freezes for a minute: garbage collection in the event loop finalises a cursor.
The cursor waits for its connection, the connection waits for the database lock, and the lock is
held by a coroutine that cannot run, because the loop is blocked. Therefore a separate thread
collects garbage and may wait while the loop goes on. Also, no statement waits for the lock longer
than a few seconds; Prefect's clients and services try again.

Prefect's pages contact a service that counts their use, whatever the settings say, and a Markdown
artifact may contain an image from any address. Therefore the pages may load only from this machine.

Observed with Prefect 3.8.8, aiosqlite 0.22, Python 3.11. PostgreSQL has no such lock. The options
are those of ``prefect server start``; ``--background`` and ``--workers`` start processes without
the workarounds.
"""

from __future__ import annotations

import gc
import itertools
import runpy
import sqlite3
import sys
import threading
import time
from typing import Any

import sqlalchemy as sa
from fastapi import FastAPI
from prefect.server.api import server
from prefect.server.database.configurations import AioSqliteConfiguration
from sqlalchemy.dialects.sqlite.aiosqlite import AsyncAdapt_aiosqlite_connection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCK_SECONDS = 10
"""Maximum number of seconds that a statement waits for SQLite's lock. Prefect sets a minute when it
connects."""
COLLECT_EVERY_SECONDS = 2.0
"""Seconds between two garbage collections. Each thirtieth is a full one, the others cover the two
younger generations."""
LOCAL_ORIGINS = "http://127.0.0.1:* ws://127.0.0.1:* http://localhost:* ws://localhost:*"
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' "
    f"{LOCAL_ORIGINS}; frame-ancestors 'none'"
)
"""What the pages may load and contact, as a Content-Security-Policy header."""


def _collect_garbage() -> None:
    for number in itertools.count(1):
        time.sleep(COLLECT_EVERY_SECONDS)
        gc.collect(2 if number % 30 == 0 else 1)


def shorten_lock_wait(connection: Any, _record: object, _proxy: object) -> None:
    """Limits the wait of a connection to SQLite. The arguments are those of SQLAlchemy's event
    ``checkout``. Connections to other databases are left as they are."""
    if not isinstance(connection, sqlite3.Connection | AsyncAdapt_aiosqlite_connection):
        return
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000}")
    cursor.close()


def _lock_when_a_transaction_begins() -> None:
    original = AioSqliteConfiguration.begin_transaction

    def begin_transaction(
        self: AioSqliteConfiguration, session: Any, with_for_update: bool = False
    ) -> Any:
        return original(self, session, with_for_update=True)

    # Prefect has no setting for this.
    AioSqliteConfiguration.begin_transaction = begin_transaction  # type: ignore[method-assign]


class PolicyMiddleware:
    """Adds :data:`POLICY` to each answer of the server."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", POLICY.encode()),
                ]
            await send(message)

        await self.app(scope, receive, send_with_policy)


def _restrict_pages() -> None:
    original = server.create_app

    def create_app(*arguments: Any, **options: Any) -> FastAPI:
        app = original(*arguments, **options)
        # The original caches the application, and in-process clients call it again while the server
        # runs. No middleware can be added then.
        added: list[object] = [middleware.cls for middleware in app.user_middleware]
        if PolicyMiddleware not in added:
            app.add_middleware(PolicyMiddleware)
        return app

    server.create_app = create_app


if __name__ == "__main__":
    sa.event.listen(sa.pool.Pool, "checkout", shorten_lock_wait)
    _lock_when_a_transaction_begins()
    _restrict_pages()
    gc.disable()
    threading.Thread(target=_collect_garbage, daemon=True, name="garbage").start()
    sys.argv = ["prefect", "server", "start", *sys.argv[1:]]
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)
