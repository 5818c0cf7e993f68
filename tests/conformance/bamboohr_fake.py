"""A stateful BambooHR on loopback, every request and answer of which is checked against the
vendor's OpenAPI document.

The document is the contract: a request that it does not allow is a 422 that fails the test, an
answer of ours that it does not allow an error as well. The document is not part of this project;
without it these tests are skipped.
"""

from __future__ import annotations

import base64
import json
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

KEY = "bamboo-key"
PATHS = re.compile(
    r"/api/v1/employees(/\{id\})?$|/tables/|datasets/\{datasetName\}/data|/training/"
)
PLACES = (
    Path(os.environ.get("BAMBOOHR_OPENAPI", "bamboohr-public.yaml")),
    Path(__file__).parents[3] / "shared/spec/bamboohr-public.yaml",
)


def contract() -> OpenAPI:
    """The vendor's document, cut down to what we use; the whole of it takes ten times as long to
    load."""
    found = next((place for place in PLACES if place.is_file()), None)
    if found is None:
        pytest.skip(
            "needs BambooHR's OpenAPI document (bamboohr-public.yaml, MIT): name it in "
            "BAMBOOHR_OPENAPI"
        )
    whole = yaml.load(found.read_text(), Loader=yaml.CSafeLoader)
    whole["paths"] = {path: item for path, item in whole["paths"].items() if PATHS.search(path)}
    whole["servers"] = [{"url": "http://127.0.0.1"}]
    return OpenAPI.from_dict(whole)


class Bamboo:
    """The account: what it holds, and the checks."""

    def __init__(self) -> None:
        self.contract = contract()
        self.violations: list[str] = []
        self.clear()
        verbs = ["GET", "POST", "PUT", "DELETE"]
        self.app = Starlette(routes=[Route("/{path:path}", self.checked, methods=verbs)])

    def clear(self) -> None:
        self.people: dict[int, dict[str, str]] = {}
        self.tables: dict[tuple[int, str], list[dict[str, Any]]] = {}
        self.types: dict[int, dict[str, Any]] = {}
        self.categories: dict[int, dict[str, Any]] = {}
        self.records: dict[int, dict[str, Any]] = {}
        self._last = 100

    def number(self) -> int:
        self._last += 1
        return self._last

    async def checked(self, request: Request) -> Response:
        body = await request.body()
        path = request.url.path
        if (
            base64.b64decode(request.headers.get("authorization", "Basic ")[6:])
            .decode()
            .partition(":")[0]
            != KEY
        ):
            return Response(status_code=401)
        asked = MockRequest(
            "http://127.0.0.1",
            request.method.lower(),
            path,
            args=dict(request.query_params),
            data=body or None,
            content_type="application/json",
        )
        try:
            self.contract.validate_request(asked)
        except OpenAPIError as error:
            if "security" not in type(error).__name__.lower():
                self.violations.append(f"{request.method} {path}: {error} {error.__cause__ or ''}")
                return JSONResponse({"error": "the contract does not allow this"}, 422)
        answer = self.answer(
            request.method, path.removeprefix("/api/"), json.loads(body) if body else {}
        )
        told = MockResponse(
            bytes(answer.body),
            status_code=answer.status_code,
            content_type="application/json",
            headers=dict(answer.headers),
        )
        try:
            if answer.body:
                self.contract.validate_response(asked, told)
        except OpenAPIError as error:
            self.violations.append(
                f"the fake's answer to {request.method} {path}: {error} {error.__cause__ or ''}"
            )
        return answer

    def answer(self, method: str, path: str, body: dict[str, Any]) -> Response:
        version, *parts = path.split("/")
        match (method, parts):
            case "POST", ["datasets", "employee", "data"]:
                return self.dataset(body)
            case "POST", ["employees"]:
                if not body["firstName"] or not body["lastName"] or len(body["lastName"]) > 300:
                    return Response(status_code=409)
                key = self.number()
                title = body.pop("jobTitle", None)
                self.people[key] = {"status": "Active", **{n: str(v) for n, v in body.items()}}
                self.tables[key, "jobInfo"] = (
                    [{"id": str(self.number()), "date": today(), "jobTitle": title}]
                    if title
                    else []
                )
                return Response(
                    status_code=201,
                    headers={"Location": f"https://x.bamboohr.com/api/v1/employees/{key}"},
                )
            case "POST", ["employees", key] if int(key) in self.people:
                if body.get("lastName") == "":
                    return Response(status_code=409)
                self.people[int(key)].update({n: str(v) for n, v in body.items()})
                return Response(status_code=200)
            case "GET", ["employees", key, "tables", table] if int(key) in self.people:
                return JSONResponse(self.tables.get((int(key), table), []))
            case "POST", ["employees", key, "tables", table] if (
                version == "v1_1" and int(key) in self.people
            ):
                row = {"id": str(self.number()), "employeeId": key, **body}
                self.tables.setdefault((int(key), table), []).append(row)
                return Response(status_code=200)
            case "POST", ["employees", key, "tables", table, row]:
                next(r for r in self.tables[int(key), table] if r["id"] == row).update(body)
                return Response(status_code=200)
            case _, ["training", *rest]:
                return self.training(method, rest, body)
        return Response(status_code=404)

    def dataset(self, body: dict[str, Any]) -> Response:
        size, page = body.get("pageSize", 100), body.get("page", 1)
        keys = sorted(self.people)
        some = keys[(page - 1) * size : page * size]
        data = [
            {"fields": {name: self.field(key, name) for name in body["fields"]}} for key in some
        ]
        pages = -(-len(keys) // size)
        meta = {"page": page, "pageSize": size, "totalPages": pages, "totalItems": len(keys)}
        return JSONResponse({"data": data, "links": {"next": None, "prev": None}, "meta": meta})

    def field(self, key: int, name: str) -> str:
        if name == "id":
            return str(key)
        if name == "jobTitle":
            rows = sorted(
                self.tables.get((key, "jobInfo"), []), key=lambda r: (r["date"], int(r["id"]))
            )
            return str(rows[-1].get("jobTitle") or "") if rows else ""
        return self.people[key].get(name, "")

    def training(self, method: str, parts: list[str], body: dict[str, Any]) -> Response:
        match (method, parts):
            case "GET", ["type"]:
                return JSONResponse({str(k): v for k, v in self.types.items()})
            case "POST", ["type"]:
                if body.get("renewable") and not body.get("frequency"):
                    return Response(status_code=400)
                key = self.number()
                category = self.categories.get(body.get("category", {}).get("id"), [])
                self.types[key] = {
                    "id": key,
                    "renewable": False,
                    "required": None,
                    **body,
                    "category": category,
                }
                return JSONResponse(self.types[key], 201)
            case "GET", ["category"]:
                return JSONResponse({str(k): v for k, v in self.categories.items()})
            case "POST", ["category"]:
                key = self.number()
                self.categories[key] = {"id": key, "name": body["name"]}
                return JSONResponse(self.categories[key], 201)
            case "GET", ["record", "employee", person]:
                found = {str(k): v for k, v in self.records.items() if v["employeeId"] == person}
                return JSONResponse(found or [])
            case "POST", ["record", "employee", person]:
                if int(person) not in self.people or body["type"] not in self.types:
                    return Response(status_code=400)
                key = self.number()
                # A string where an integer was sent: so the vendor's own lists have it.
                self.records[key] = {
                    "id": key,
                    "employeeId": person,
                    **body,
                    "type": str(body["type"]),
                }
                return JSONResponse(self.records[key], 201)
            case "PUT", ["record", key] if int(key) in self.records:
                self.records[int(key)].update(body)
                return JSONResponse(self.records[int(key)], 201)
            case "DELETE", ["record", key] if int(key) in self.records:
                del self.records[int(key)]
                return Response(status_code=200)
        return Response(status_code=404)


def today() -> str:
    return datetime.now(UTC).date().isoformat()
