"""Receives webhooks: a small ASGI application that saves deliveries in the store and then
acknowledges them.

A delivery is only a hint that a record has changed; the run that follows reads the record. A
request that cannot be authenticated gets a 401.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import anyio
import typer
import uvicorn
from anyio.to_thread import run_sync
from fastapi import FastAPI, Path, Request
from fastapi.responses import JSONResponse, Response
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from prometheus_client import generate_latest
from starlette.requests import ClientDisconnect

from connectors.home import make_private
from connectors.settings import Settings, WebhookSettings
from connectors.store.sql import SyncStore
from connectors.webhooks import Arrival, Delivery, Forged, Unreadable, Watch, digest
from reconciliation.errors import HrsyncError, Misconfigured, StoreFailed

from .announce import Announcer, Tell, pace, tell
from .journal import Journal
from .metrics import Metrics
from .protocol import protocol_class, raise_file_limit
from .subscriptions import FLOW_OF, Subscriptions, subscriptions

METHODS = ("POST", "PUT", "PATCH", "DELETE")
ANSWERS = {
    202: "The delivery is saved, and a run will read the record. Also the answer to a repeated "
    "delivery.",
    401: "The delivery could not be authenticated.",
    404: "Unknown subscription.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    422: "The delivery does not name a record.",
    429: "Too many requests from this address. Retry-After has the seconds to wait.",
    503: "The delivery could not be saved. Send it again.",
}
"""HTTP status -> its description."""
Subscription = Annotated[
    str,
    Path(description="Name of an accessplanit module in lower case, such as user; or bamboohr."),
]
Key = Annotated[str, Path(description="The record's ID.")]
CLOSED = (
    "Send the secret or the password of the webhooks. HRSYNC_WEBHOOKS__OPEN_PAGES=true opens this "
    "page to everybody."
)
STRANGER = {"WWW-Authenticate": 'Basic realm="webhooks"'}
log = logging.getLogger("hrsync.receiver")


def _headers(request: Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _target(request: Request) -> bytes:
    """Returns the path with its query string, exactly as sent."""
    path, query = request.scope["raw_path"], request.scope["query_string"]
    return bytes(path + b"?" + query if query else path)


class TooMuch(Exception):
    """The body exceeds the maximum size."""


class Receiver:
    """Handles a request: checks its rate, subscription, size, authentication and content, then
    saves it."""

    def __init__(
        self, settings: WebhookSettings, known: Subscriptions, store: SyncStore, metrics: Metrics
    ) -> None:
        self.settings, self.known, self.metrics = settings, known, metrics
        self.journal = Journal(store, known.concerned)
        self._rate = parse(settings.rate)
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def receive(self, request: Request, subscription: str, key: str | None) -> Response:
        """Returns the answer to one delivery. ``key``: the record's ID, if it is in the path."""
        began = time.perf_counter()
        if (limited := self._too_often(request)) is not None:
            return limited
        name = subscription.lower()
        sender = self.known.senders.get(name)
        if sender is None:
            return self._refused(404, "subscription")
        try:
            sender.screen(_headers(request))
            body = await self._body(request)
        except Forged as forged:
            return self._refused(401, forged.reason, STRANGER | {"Connection": "close"})
        except TooMuch:
            return self._refused(413, "size", {"Connection": "close"})
        except TimeoutError:
            return self._refused(408, "slow", {"Connection": "close"})
        except ClientDisconnect:
            return self._refused(422, "content")
        delivery = Delivery(
            name,
            request.method,
            _target(request),
            key,
            dict(request.query_params),
            _headers(request),
            body,
            datetime.now(UTC),
        )
        try:
            sender.verify(delivery)
            arrival = sender.read(delivery)
            new = await self.journal.write(arrival)
        except Forged as forged:
            return self._refused(401, forged.reason, STRANGER)
        except Unreadable as unreadable:
            return self._refused(422, "content", detail=str(unreadable))
        except StoreFailed:
            return self._refused(503, "store", {"Retry-After": "5"})
        self.metrics.received.labels(name).inc()
        if not new:
            self.metrics.duplicates.labels(name).inc()
        self.metrics.acknowledged.observe(time.perf_counter() - began)
        return JSONResponse(
            {"status": "accepted" if new else "duplicate", "records": len(arrival.records)}, 202
        )

    def page(self, request: Request) -> Response | None:
        """Returns the refusal of a protected page, or ``None`` if the caller may see it."""
        if self.settings.open_pages:
            return None
        if (limited := self._too_often(request)) is not None:
            return limited
        proof = self.settings.proof
        # With only a signing key, nobody can authenticate a request for a page.
        reasons = proof.wanting(_headers(request)) if proof.asked else ["closed"]
        return self._refused(401, reasons[0], STRANGER, CLOSED) if reasons else None

    def _too_often(self, request: Request) -> Response | None:
        address = request.client.host if request.client else ""
        if self._limiter.hit(self._rate, address):
            return None
        wait = self._limiter.get_window_stats(self._rate, address).reset_time - time.time()
        return self._refused(429, "rate", {"Retry-After": str(max(1, math.ceil(wait)))})

    async def _body(self, request: Request) -> bytes:
        """Reads the body.

        Raises:
            TooMuch: it is too large. Raised as soon as that is known.
            TimeoutError: it is not complete in time.
        """
        length = request.headers.get("content-length", "0")
        # A length of more than 15 digits is too large anyway; int() fails on very long ones.
        if length.isdecimal() and (len(length) > 15 or int(length) > self.settings.max_bytes):
            raise TooMuch
        body = bytearray()
        async with asyncio.timeout(self.settings.body_seconds):
            async for part in request.stream():
                body += part
                if len(body) > self.settings.max_bytes:
                    raise TooMuch
        return bytes(body)

    def _refused(
        self,
        status: int,
        reason: str,
        headers: dict[str, str] | None = None,
        detail: str | None = None,
    ) -> Response:
        self.metrics.refused(reason)
        return JSONResponse(
            {"status": "refused", "reason": reason, "detail": detail or ANSWERS[status]},
            status,
            headers,
        )

    async def watch(self, name: str, watch: Watch) -> None:
        """Watches a connector without end, and treats each new file as a delivery."""
        known: set[str] = set()
        while True:
            try:
                feeds = await run_sync(watch.look)
                for mark in feeds.keys() - known:
                    # An earlier receiver may have saved a delivery for the same file. If a run has
                    # processed that one, this one counts as new, and the file is checked again.
                    await self.journal.write(
                        Arrival(
                            subscription=name,
                            method="WATCH",
                            records=((feeds[mark], None),),
                            identity=digest(name, mark),
                            once=False,
                        )
                    )
                known = set(feeds)
            except Exception as error:
                log.warning(
                    "%s cannot be watched: %s",
                    name,
                    error.what if isinstance(error, HrsyncError) else type(error).__name__,
                )
            await anyio.sleep(self.settings.watch_seconds)


def make_app(settings: Settings, store: SyncStore, tell: Tell = tell) -> FastAPI:
    """Builds the ASGI application. Its lifespan runs the journal, the announcer and the watches.

    Raises:
        Misconfigured: no secret is set, and no connector is watched.
    """
    hooks, metrics, known = settings.webhooks, Metrics(), subscriptions(settings)
    receiver = Receiver(hooks, known, store, metrics)
    announcer = Announcer(
        store, metrics, FLOW_OF, pace(hooks.window_seconds, hooks.burst, hooks.burst_seconds), tell
    )

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with anyio.create_task_group() as group:
            for work in (receiver.journal.run, announcer.run):
                group.start_soon(work)
            for name, watch in known.watches.items():
                group.start_soon(receiver.watch, name, watch)
            yield
            group.cancel_scope.cancel()
        for watch in known.watches.values():
            watch.close()

    app = FastAPI(
        title="hrsync webhooks",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    _deliveries(app, receiver, hooks)
    _pages(app, receiver)
    # The senders authenticate a delivery. This only documents what to send.
    app.openapi()["components"] = {"securitySchemes": schemes(hooks)}
    return app


def schemes(hooks: WebhookSettings) -> dict[str, Any]:
    """Returns the OpenAPI security schemes of a delivery, by name."""
    by_name: dict[str, Any] = {}
    if hooks.secret:
        by_name["secret"] = {"type": "apiKey", "in": "header", "name": hooks.secret_header}
    if hooks.password:
        by_name["basic"] = {"type": "http", "scheme": "basic"}
    if hooks.signing_key:
        by_name["signature"] = {"type": "apiKey", "in": "header", "name": hooks.signature_header}
    return by_name


def _deliveries(app: FastAPI, receiver: Receiver, hooks: WebhookSettings) -> None:
    async def deliver(request: Request, subscription: Subscription) -> Response:
        return await receiver.receive(request, subscription, None)

    async def deliver_key(request: Request, subscription: Subscription, key: Key) -> Response:
        return await receiver.receive(request, subscription, key)

    extra: dict[str, Any] = {
        "requestBody": {
            "content": {
                "application/json": {
                    "schema": {"type": "object", "properties": {"ID": {"type": "string"}}}
                }
            }
        },
        "security": [{name: [] for name in schemes(hooks)}],
    }
    for method in METHODS:
        for path, endpoint in (
            ("/webhooks/{subscription}", deliver),
            ("/webhooks/{subscription}/{key:path}", deliver_key),
        ):
            app.add_api_route(
                path,
                endpoint,
                methods=[method],
                status_code=202,
                summary=f"A record was {'deleted' if method == 'DELETE' else 'created or updated'}",
                operation_id=f"{method.lower()}_{endpoint.__name__}",
                responses={status: {"description": text} for status, text in ANSWERS.items()},
                openapi_extra=extra,
            )


def _pages(app: FastAPI, receiver: Receiver) -> None:
    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, 401: {"description": CLOSED}},
    )
    async def metrics_page(request: Request) -> Response:
        text = generate_latest(receiver.metrics.registry)
        return receiver.page(request) or Response(
            text, media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    @app.get("/openapi.json", include_in_schema=False)
    async def document(request: Request) -> Response:
        return receiver.page(request) or JSONResponse(app.openapi())

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}


def server(settings: Settings, store: SyncStore, tell: Tell = tell) -> dict[str, Any]:
    """Returns the options for uvicorn.

    Raises:
        Misconfigured: no secret is set, and no connector is watched.
    """
    hooks = settings.webhooks
    return {
        "app": make_app(settings, store, tell),
        "http": protocol_class(hooks),
        "ws": "none",
        # A short backlog: the headers of a new connection are read before many others arrive that
        # could take its place.
        "backlog": max(1, hooks.connections // 4),
        "lifespan": "on",
        # No access log: a path may hold a person's ID.
        "access_log": False,
        "server_header": False,
    }


def _within_limits(settings: Settings) -> Settings:
    """Returns the settings with no more connections than the limit of open files allows."""
    hooks = settings.webhooks
    connections = raise_file_limit(hooks.connections)
    if connections < hooks.connections:
        log.warning(
            "the limit of open files allows the receiver only %d connections, not %d; raise it "
            "(ulimit -n)",
            connections,
            hooks.connections,
        )
    return settings.model_copy(
        update={"webhooks": hooks.model_copy(update={"connections": connections})}
    )


def serve(settings: Settings, host: str, port: int, prefect_url: str | None) -> None:
    """Receives webhooks until it is interrupted.

    Raises:
        Misconfigured: no secret is set and no connector is watched, or the address of the Prefect
            server is unknown.
    """
    if not prefect_url:
        raise Misconfigured(
            "The address of the Prefect server is not known",
            "Set PREFECT_API_URL, or start 'hrsync up' first.",
        )
    make_private(settings.home.absolute())
    settings = _within_limits(settings)
    store = SyncStore(settings.store_url)
    try:
        options = server(settings, store)
        typer.echo(f"Receiving at http://{host}:{port}/webhooks/… (Ctrl-C stops it)", err=True)
        uvicorn.run(**options, host=host, port=port, log_level="warning")
    finally:
        store.close()
