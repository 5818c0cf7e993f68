"""The receiver of webhooks: a small ASGI application that writes deliveries down and acknowledges
them, and nothing else.

What a delivery says is a hint; the run that it leads to reads the record. A request without the
secret gets a 401.
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
from .protocol import affordable, limited
from .subscriptions import FLOW_OF, Subscriptions, subscriptions

METHODS = ("POST", "PUT", "PATCH", "DELETE")
ANSWERS = {
    202: "Written down: a run will read the record. Or it has come before, and nothing more is "
    "needed.",
    401: "The delivery cannot be shown to be genuine.",
    404: "Unknown subscription.",
    408: "The body has not come in time.",
    413: "The body is too large.",
    422: "The delivery names no record.",
    429: "Too many requests from this address; Retry-After says when to come again.",
    503: "It could not be written down; send it again.",
}
Subscription = Annotated[
    str, Path(description="A module of accessplanit in lower case, such as user, or bamboohr.")
]
Key = Annotated[str, Path(description="The record's ID.")]
CLOSED = (
    "This page is for those who know the secret, or for all with HRSYNC_WEBHOOKS__OPEN_PAGES=true."
)
STRANGER = {"WWW-Authenticate": 'Basic realm="webhooks"'}
log = logging.getLogger("hrsync.receiver")


def _headers(request: Request) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items()}


def _target(request: Request) -> bytes:
    """The path with its query string, as they were sent."""
    path, query = request.scope["raw_path"], request.scope["query_string"]
    return bytes(path + b"?" + query if query else path)


class TooMuch(Exception):
    """The body is larger than it may be."""


class Receiver:
    """What a request goes through: rate, subscription, size, proof, content, store."""

    def __init__(
        self, settings: WebhookSettings, known: Subscriptions, store: SyncStore, metrics: Metrics
    ) -> None:
        self.settings, self.known, self.metrics = settings, known, metrics
        self.journal = Journal(store, known.concerned)
        self._rate = parse(settings.rate)
        self._limiter = FixedWindowRateLimiter(MemoryStorage())

    async def receive(self, request: Request, subscription: str, key: str | None) -> Response:
        """The answer to one delivery."""
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
        """The refusal of a page that is not for everybody; ``None`` if the caller may see it."""
        if self.settings.open_pages:
            return None
        if (limited := self._too_often(request)) is not None:
            return limited
        proof = self.settings.proof
        wrong = proof.wanting(_headers(request)) if proof.asked else ["closed"]
        return self._refused(401, wrong[0], STRANGER, CLOSED) if wrong else None

    def _too_often(self, request: Request) -> Response | None:
        address = request.client.host if request.client else ""
        if self._limiter.hit(self._rate, address):
            return None
        wait = self._limiter.get_window_stats(self._rate, address).reset_time - time.time()
        return self._refused(429, "rate", {"Retry-After": str(max(1, math.ceil(wait)))})

    async def _body(self, request: Request) -> bytes:
        """Raises:
        TooMuch: as soon as that is known.
        TimeoutError: it is not complete in time.
        """
        said = request.headers.get("content-length", "0")
        if said.isdecimal() and (len(said) > 15 or int(said) > self.settings.max_bytes):
            raise TooMuch
        found = bytearray()
        async with asyncio.timeout(self.settings.body_seconds):
            async for part in request.stream():
                found += part
                if len(found) > self.settings.max_bytes:
                    raise TooMuch
        return bytes(found)

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
        """For ever: takes what is newly there for a delivery."""
        told: set[str] = set()
        while True:
            try:
                there = await run_sync(watch.look)
                for mark in there.keys() - told:
                    # It may have been there, unread, when an earlier receiver told of it: it is
                    # looked at once more.
                    await self.journal.write(
                        Arrival(name, "WATCH", ((there[mark], None),), digest(name, mark), False)
                    )
                told = set(there)
            except Exception as error:
                log.warning(
                    "%s cannot be watched: %s",
                    name,
                    error.what if isinstance(error, HrsyncError) else type(error).__name__,
                )
            await anyio.sleep(self.settings.watch_seconds)


def make_app(settings: Settings, store: SyncStore, tell: Tell = tell) -> FastAPI:
    """The ASGI application; its lifespan runs what works in the background.

    Raises:
        Misconfigured: there is no secret.
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
    # Who sends is judged by the senders; this says in the document what to send.
    app.openapi()["components"] = {"securitySchemes": schemes(hooks)}
    return app


def schemes(hooks: WebhookSettings) -> dict[str, Any]:
    """What a delivery must carry, as OpenAPI says it."""
    found: dict[str, Any] = {}
    if hooks.secret:
        found["secret"] = {"type": "apiKey", "in": "header", "name": hooks.secret_header}
    if hooks.password:
        found["basic"] = {"type": "http", "scheme": "basic"}
    if hooks.signing_key:
        found["signature"] = {"type": "apiKey", "in": "header", "name": hooks.signature_header}
    return found


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
        found = generate_latest(receiver.metrics.registry)
        return receiver.page(request) or Response(
            found, media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    @app.get("/openapi.json", include_in_schema=False)
    async def document(request: Request) -> Response:
        return receiver.page(request) or JSONResponse(app.openapi())

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}


def server(settings: Settings, store: SyncStore, tell: Tell = tell) -> dict[str, Any]:
    """The options for uvicorn.

    Raises:
        Misconfigured: there is no secret.
    """
    hooks = settings.webhooks
    return {
        "app": make_app(settings, store, tell),
        "http": limited(hooks),
        "ws": "none",
        # So few are accepted at a time that the headers of each are read before many others can
        # take its place.
        "backlog": max(1, hooks.connections // 4),
        "lifespan": "on",
        # No access log: a path may hold the ID of a person.
        "access_log": False,
        "server_header": False,
    }


def _within_limits(settings: Settings) -> Settings:
    """These settings, with no more connections than this process can have."""
    hooks = settings.webhooks
    connections = affordable(hooks.connections)
    if connections < hooks.connections:
        log.warning(
            "this process may open so few files that the receiver has %d connections, not %d; "
            "raise the limit (ulimit -n)",
            connections,
            hooks.connections,
        )
    return settings.model_copy(
        update={"webhooks": hooks.model_copy(update={"connections": connections})}
    )


def serve(settings: Settings, host: str, port: int, prefect_url: str | None) -> None:
    """Receives until it is interrupted.

    Raises:
        Misconfigured: there is no secret, or no Prefect to tell.
    """
    if not prefect_url:
        raise Misconfigured(
            "There is no Prefect server to tell",
            "Set PREFECT_API_URL, or start 'hrsync up' first.",
        )
    make_private(settings.home.absolute())
    settings = _within_limits(settings)
    store = SyncStore(settings.store_url)
    try:
        chosen = server(settings, store)
        typer.echo(f"Receiving at http://{host}:{port}/webhooks/… (Ctrl-C stops it)", err=True)
        uvicorn.run(**chosen, host=host, port=port, log_level="warning")
    finally:
        store.close()
