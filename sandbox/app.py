"""The HTTP face: accessplanit's own paths, and ``/sandbox/…`` to drive the sandbox."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import orjson
import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from .accounts import Accounts, ServiceUser
from .faults import Faults
from .people import ZONE, Organisation
from .query import BadQuery, Names, Page
from .schema import DATES, FLAGS, MODULES, NUMBERS, changes, metadata, open_database, orphans, state
from .tenant import STANDARD, Tenant
from .tick import EVENTS, Ticker
from .webhooks import Webhooks
from .writing import Refused, Writer

ROOT = "/accessplansandbox"
SEED = 7
"""Which organisation is invented, unless another seed is given."""


def _json(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(body), status, headers, "application/json; charset=utf-8")


def _error(status: int, message: str, errors: object = None, **headers: str) -> Response:
    return _json(
        {"message": message, "errors": errors or []},
        status,
        {k.replace("_", "-"): v for k, v in headers.items()},
    )


class Sandbox:
    """One tenant: its data, its accounts, its clock, its limits and its moods."""

    def __init__(
        self,
        path: str = ":memory:",
        *,
        seed: int = SEED,
        size: int = 2000,
        tenant: Tenant = STANDARD,
        hourly_limit: int = 5000,
        hour_seconds: float = 3600.0,
        accounts: Accounts | None = None,
    ) -> None:
        self.tenant, self.seed = tenant, seed
        self.engine = open_database(path)
        self.accounts = accounts or Accounts()
        self.faults = Faults()
        self.hourly_limit, self.hour_seconds = hourly_limit, hour_seconds
        self.requests: Counter[str] = Counter()
        self.webhooks = Webhooks(self)
        self._hours: dict[str, tuple[int, int]] = {}
        self.lock = threading.RLock()
        with self.engine.begin() as connection:
            kept: dict[str, str] = dict(connection.execute(sa.select(state)).all())
            self.offset = timedelta(seconds=float(kept.get("offset", 0)))
            self.orphaned = self._orphaned(connection)
            if "seed" not in kept:
                for module, rows in Organisation(seed, size, self.now()).modules():
                    self._fill(connection, module, rows)
                connection.execute(
                    state.insert(),
                    [
                        {"name": "seed", "value": str(seed)},
                        {"name": "size", "value": str(size)},
                        {"name": "offset", "value": "0"},
                    ],
                )

    @staticmethod
    def _fill(connection: sa.Connection, module: str, rows: list[dict[str, object]]) -> None:
        if rows:
            columns = list(rows[0])
            names = ", ".join(f'"{c}"' for c in columns)
            marks = ", ".join("?" for _ in columns)
            connection.exec_driver_sql(
                f'INSERT INTO "{module}" ({names}) VALUES ({marks})',
                [tuple(row[c] for c in columns) for row in rows],
            )

    def close(self) -> None:
        """Stops sending webhooks and closes the database."""
        self.webhooks.close()
        self.engine.dispose()

    def now(self) -> datetime:
        """Wall time in the tenant's zone, moved by what ``tick`` has moved it."""
        return datetime.now(ZONE).replace(tzinfo=None) + self.offset

    def tick(
        self, events: int = 20, days: float = 0.0, kinds: tuple[str, ...] = EVENTS
    ) -> dict[str, int]:
        """Moves the clock by ``days`` and applies ``events``; returns how many of each kind. kinds:
        also of ``tick.RARE``."""
        with self.lock, self.engine.begin() as connection:
            self.offset += timedelta(days=days)
            connection.execute(
                state.update()
                .where(state.c.name == "offset")
                .values(value=str(self.offset.total_seconds()))
            )
            done = Ticker(connection, self.seed, self.now()).run(events, kinds)
            self.orphaned = self._orphaned(connection)
            return done

    @staticmethod
    def _orphaned(connection: sa.Connection) -> bool:
        """Whether there are users whom no service user sees."""
        return connection.execute(sa.select(orphans).limit(1)).first() is not None

    def changes_since(self, seq: int) -> list[dict[str, object]]:
        """The sandbox's own log after ``seq``, oldest first."""
        with self.engine.connect() as connection:
            rows = connection.execute(
                sa.select(changes).where(changes.c.seq > seq).order_by(changes.c.seq)
            )
            return [{str(name): value for name, value in row.items()} for row in rows.mappings()]

    def _visible(self, table: sa.Table, user: ServiceUser) -> Any:
        """What the service user may see: the result set depends on its role [14]."""
        if user.companies is None and not self.orphaned:
            return None
        people = metadata.tables["User"]
        own = people.c.ID.not_in(sa.select(orphans.c.ID))
        if user.companies is not None:
            own &= people.c.MainCompanyID.in_(sorted(user.companies))
        if table is people:
            return own
        if "UserID" in table.c:
            return table.c.UserID.in_(sa.select(people.c.ID).where(own))
        return None

    def _over_limit(self, endpoint: str) -> int | None:
        """Seconds until the endpoint's next hour, if this hour's requests are used up."""
        with self.lock:
            hour, remainder = divmod(time.time(), self.hour_seconds)
            last, used = self._hours.get(endpoint, (int(hour), 0))
            used = used if last == int(hour) else 0
            if used >= self.hourly_limit:
                return max(1, round(self.hour_seconds - remainder))
            self._hours[endpoint] = (int(hour), used + 1)
            return None

    def answer(
        self,
        method: str,
        path: list[str],
        query: dict[str, str],
        headers: dict[str, str],
        body: bytes,
    ) -> Response:
        """The answer to a request below ``/api/v2/`` or ``/apihelp/v2/modules/``."""
        response = self._answer(method, path, query, headers, body)
        return (
            response
            if response.status_code < 400
            else self._naming_somebody(response, {*path[1:], *_texts(body)})
        )

    def _naming_somebody(self, response: Response, mentioned: set[str]) -> Response:
        """An error that repeats personal data, as those of many systems do: of whom the request is
        about, else of anybody."""
        people = metadata.tables["User"].c
        query = sa.select(people.ID, people.Fullname, people.Email, people.DOB)
        with self.engine.connect() as connection:
            row = (
                connection.execute(query.where(people.ID.in_(mentioned)).limit(1)).first()
                or connection.execute(query.limit(1)).first()
            )
        said = orjson.loads(response.body)
        if row is None or not isinstance(said, dict):
            return response
        whose = f"{row.Fullname} ({row.ID}, {row.Email}, born {str(row.DOB)[:10]})"
        errors = [{**error, "message": f"{error['message']}: {whose}"} for error in said["errors"]]
        return _error(
            response.status_code,
            f"{said['message']}: {whose}",
            errors,
            **{name: value for name, value in response.headers.items() if name == "retry-after"},
        )

    def _answer(
        self,
        method: str,
        path: list[str],
        query: dict[str, str],
        headers: dict[str, str],
        body: bytes,
    ) -> Response:
        authorization = headers.get("authorization", "")
        fault = (
            self.faults.draw(headers.get("x-sandbox-fault"))
            if self.faults.concerns(path[0])
            else None
        )
        if fault == "expired":
            self.accounts.forget(authorization)
            return _error(401, "the token has expired")
        user = self.accounts.who(authorization)
        if user is None:
            return _error(401, "the token or API key is not valid")
        self.requests[f"{method} {path[0]}"] += 1
        wait = self._over_limit(path[0].lower())
        if wait is not None:
            return _error(
                429, "the hourly limit of this endpoint is used up", Retry_After=str(wait)
            )
        if fault == "429":
            return _error(429, "too many requests", Retry_After=str(self.faults.retry_after))
        if fault in ("500", "502", "503"):
            return _error(int(fault), "the server could not answer")
        if fault == "timeout":
            time.sleep(self.faults.delay)
            return _error(504, "late")
        table = MODULES.get(path[0].lower())
        if table is None:
            return _error(404, f"there is no module '{path[0]}'")
        try:
            if method == "GET":
                refusing = self.faults.read(path[0])
                if refusing is not None:
                    return _lost(refusing)
                return self._read(table, path[1:], query, user, fault)
            with self.lock, self.engine.begin() as connection:
                lost = self.faults.write(path[0])
                if lost is None or self.faults.done:
                    answer = self._write(connection, method, table, path[1:], query, user, body)
                return answer if lost is None else _lost(lost)
        except BadQuery as bad:
            return _error(400, str(bad))
        except Refused as refused:
            return _error(400, "the record was refused", refused.errors)

    def _read(
        self,
        table: sa.Table,
        item: list[str],
        query: dict[str, str],
        user: ServiceUser,
        fault: str | None,
    ) -> Response:
        visible = self._visible(table, user)
        if fault in ("half", "empty"):
            hidden = sa.text("rowid % 2 = 0" if fault == "half" else "1 = 0")
            visible = hidden if visible is None else sa.and_(visible, hidden)
        if fault == "html":
            return _page()
        if fault == "error":
            return _json({"error": {"code": "General", "message": "Something went wrong"}})
        if item:
            if not self.tenant.item_read:
                return _error(404, "there is no such path")
            quoted = item[0].replace("'", "''")
            query = {**query, "$filter": f"ID eq '{quoted}'", "$top": "1"}
        page = Page(
            self.tenant,
            table,
            query,
            visible,
            shift=1 if fault == "shift" and query.get("$skip", "0") != "0" else 0,
        )
        with self.engine.connect() as connection:
            envelope = page.run(connection)
        if item:
            return (
                _json(envelope["results"][0])
                if envelope["results"]
                else _error(404, "there is no such record")
            )
        if fault == "malformed":
            self.faults.spoil(envelope["results"])
        response = _json(envelope)
        if fault == "cut":
            return _cut(bytes(response.body))
        return response

    def _write(
        self,
        connection: sa.Connection,
        method: str,
        table: sa.Table,
        item: list[str],
        query: dict[str, str],
        user: ServiceUser,
        body: bytes,
    ) -> Response:
        writer = Writer(connection, Names(self.tenant, table), self.now())
        try:
            fields = orjson.loads(body) if body else {}
        except orjson.JSONDecodeError:
            return _error(400, "the body is not JSON")
        if not isinstance(fields, dict):
            return _error(400, "the body is not an object")
        if method == "POST":
            if query.get(self.tenant.upsert_parameter, "").lower() == "true":
                row, new = writer.upsert(fields)
                return _json({"ID": row["ID"]}, 201 if new else 200)
            return _json({"ID": writer.insert(fields)["ID"]}, 201)
        visible = self._visible(table, user)
        found = sa.select(table.c.ID).where(
            table.c.ID == (item[0] if item else None), *([] if visible is None else [visible])
        )
        before = writer.existing(item[0]) if item and connection.execute(found).first() else None
        if before is None:
            return _error(404, "there is no such record")
        if method == "PUT":
            writer.update(before, fields)
            return _json({"ID": before["ID"]})
        if method == "DELETE":
            writer.delete(before["ID"])
            return Response(status_code=204)
        return _error(405, f"{method} is not for records")

    def help(self, module: str, authorization: str) -> Response:
        """Metadata of a module. The shape of the answer is this sandbox's assumption."""
        if self.accounts.who(authorization) is None:
            return _error(401, "the token or API key is not valid")
        table = MODULES.get(module.lower())
        if table is None:
            return _error(404, f"there is no module '{module}'")
        names = Names(self.tenant, table)
        kinds = [("Boolean", FLAGS), ("Int32", NUMBERS), ("DateTime", DATES)]
        return _json(
            {
                "module": table.name,
                "fields": [
                    {
                        "name": wire,
                        "type": next((kind for kind, those in kinds if name in those), "String"),
                        "custom": name.startswith("CF_"),
                    }
                    for name, wire in names.wire.items()
                ],
            },
        )


def _texts(body: bytes) -> set[str]:
    """The texts of a request's fields."""
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        return set()
    return (
        {value for value in fields.values() if isinstance(value, str)}
        if isinstance(fields, dict)
        else set()
    )


def _page() -> Response:
    """A page for people, where a program expects JSON."""
    return Response("<html><body>Please sign in</body></html>", 200, media_type="text/html")


def _lost(kind: str) -> Response:
    """What comes instead of the answer."""
    if kind == "html":
        return _page()
    return _cut(b"{}") if kind == "cut" else _error(int(kind), "the sandbox was asked to answer so")


def _cut(body: bytes) -> Response:
    """Promises the whole body and closes the connection in the middle of it."""

    async def half() -> AsyncIterator[bytes]:
        yield body[: len(body) // 2]
        raise ConnectionAbortedError("the sandbox was asked to cut the connection")

    return StreamingResponse(
        half(), 200, {"Content-Length": str(len(body))}, "application/json; charset=utf-8"
    )


def make_app(sandbox: Sandbox) -> Starlette:
    """The ASGI application over one sandbox."""

    async def token(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        granted = sandbox.accounts.grant(form)
        if granted is None:
            return _json(
                {
                    "error": "invalid_grant",
                    "error_description": "the user name or password is incorrect",
                },
                400,
            )
        return _json(granted)

    async def api(request: Request) -> Response:
        path = [part for part in str(request.path_params["path"]).split("/") if part]
        if path and path[0].lower() == "token" and request.method == "POST":
            return await token(request)
        if not path:
            return _error(404, "no module is named")
        return await run_in_threadpool(
            sandbox.answer,
            request.method,
            path,
            dict(request.query_params),
            dict(request.headers),
            await request.body(),
        )

    def help_page(request: Request) -> Response:
        return sandbox.help(
            str(request.path_params["module"]), request.headers.get("authorization", "")
        )

    async def control(request: Request) -> Response:
        verb = str(request.path_params["verb"])
        body = orjson.loads(await request.body() or b"{}")
        if verb == "tick":
            kinds = tuple(body.pop("kinds", EVENTS))
            return _json(await run_in_threadpool(lambda: sandbox.tick(kinds=kinds, **body)))
        if verb == "changes":
            return _json(sandbox.changes_since(int(request.query_params.get("since", 0))))
        if verb == "faults":
            sandbox.faults = Faults(
                **{
                    name: tuple(value) if isinstance(value, list) else value
                    for name, value in body.items()
                }
            )
            return _json({"rate": sandbox.faults.rate, "kinds": sandbox.faults.kinds})
        if verb == "requests":
            return _json(dict(sandbox.requests))
        if verb == "webhooks":
            if request.method == "POST":
                await run_in_threadpool(lambda: sandbox.webhooks.configure(**body))
            return _json(await run_in_threadpool(sandbox.webhooks.status))
        if verb == "health":
            return _json(
                {
                    "tenant": sandbox.tenant.name,
                    "now": sandbox.now().isoformat(),
                    "seed": sandbox.seed,
                }
            )
        return _error(404, "the sandbox knows tick, changes, faults, requests, webhooks and health")

    every = ["GET", "POST", "PUT", "DELETE", "PATCH"]
    return Starlette(
        routes=[
            Route(f"{ROOT}/api/v2/{{path:path}}", api, methods=every),
            Route(f"{ROOT}/apihelp/v2/modules/{{module}}", help_page),
            Route("/sandbox/{verb}", control, methods=["GET", "POST"]),
        ]
    )
