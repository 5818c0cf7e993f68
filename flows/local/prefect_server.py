"""``python -m flows.local.prefect_server``: Prefect's server as it is, kept from two faults that it
has on SQLite and from telling others.

"database is locked": a transaction that reads first and writes then fails at once when another one
has written meanwhile, however long it might have waited. So each transaction that Prefect begins
takes SQLite's write lock at its beginning, and waits for it. What only reads begins none.

Standing still for a minute: its event loop finalises a cursor, and for that waits for the cursor's
connection, which waits for the database's lock, which a coroutine holds that the loop does not come
to run. So garbage is collected in a thread of its own, which may wait while the loop goes on; and
nobody waits for the lock longer than a few seconds: Prefect's clients and services try again.

Its pages speak to a service that counts their use, whatever Prefect is told of that, and a Markdown
artifact may name a picture anywhere. So they may load nothing but from here.

Seen with Prefect 3.8.8, aiosqlite 0.22, Python 3.11. PostgreSQL has no such lock.
"""

from __future__ import annotations

import gc
import itertools
import runpy
import sys
import threading
import time
from typing import Any

import sqlalchemy as sa
from fastapi import FastAPI
from prefect.server.api import server
from prefect.server.database.configurations import AioSqliteConfiguration
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCK_SECONDS = 10
"""So long a statement waits for SQLite's lock; Prefect sets a minute when it connects."""
PAUSE = 2.0
"""Seconds between two collections of what is young; everything is looked at each thirtieth time."""
HERE = "http://127.0.0.1:* ws://127.0.0.1:* http://localhost:* ws://localhost:*"
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' "
    f"{HERE}; frame-ancestors 'none'"
)
"""What the pages may load and speak to (Content-Security-Policy)."""


def _collect() -> None:
    for number in itertools.count(1):
        time.sleep(PAUSE)
        gc.collect(2 if number % 30 == 0 else 1)


def _impatient(connection: Any, _record: object, _proxy: object) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {LOCK_SECONDS * 1000}")
    cursor.close()


def _lock_at_the_beginning() -> None:
    as_it_is = AioSqliteConfiguration.begin_transaction

    def begin_transaction(
        self: AioSqliteConfiguration, session: Any, with_for_update: bool = False
    ) -> Any:
        return as_it_is(self, session, with_for_update=True)

    # Prefect has no setting for it.
    AioSqliteConfiguration.begin_transaction = begin_transaction  # type: ignore[method-assign]


class WithPolicy:
    """The whole server, each of whose answers has the policy."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", POLICY.encode()),
                ]
            await send(message)

        await self.app(scope, receive, with_policy)


def _speak_to_nobody_else() -> None:
    as_it_is = server.create_app
    policy: object = WithPolicy

    def create_app(*arguments: Any, **options: Any) -> FastAPI:
        app = as_it_is(*arguments, **options)
        # The same application is returned again while it runs, to parts of the server that call it
        # without a socket.
        if not any(middleware.cls is policy for middleware in app.user_middleware):
            app.add_middleware(WithPolicy)
        return app

    server.create_app = create_app


if __name__ == "__main__":
    sa.event.listen(sa.pool.Pool, "checkout", _impatient)
    _lock_at_the_beginning()
    _speak_to_nobody_else()
    gc.disable()
    threading.Thread(target=_collect, daemon=True, name="garbage").start()
    sys.argv = ["prefect", "server", "start", *sys.argv[1:]]
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)
