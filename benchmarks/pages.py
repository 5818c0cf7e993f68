"""A server that hands out prepared records: the cost of being accessplanit is not what is measured.

``python -m benchmarks.pages FILE PORT`` serves the records of FILE (one JSON object a line) under
``/first``, with every hundredth record changed under ``/second``, and of these alone the n-th
revision under ``/window-n``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def prepare(people: int, rows: int, file: Path) -> None:
    """Writes ``rows`` user awards of an invented organisation to ``file``, in the order of their
    IDs."""
    from datetime import datetime

    from sandbox.people import Organisation

    found: list[dict[str, object]] = []
    for module, batch in Organisation(7, people, datetime(2026, 11, 23, 9)).modules():
        if module == "UserAward":
            found += batch
    found.sort(key=lambda row: str(row["ID"]))
    if len(found) < rows:
        raise ValueError(f"{people} people have only {len(found)} awards")
    with file.open("wb") as out:
        for row in found[:rows]:
            out.write(orjson.dumps(row) + b"\n")


def changed(record: bytes, revision: str = "revised") -> bytes:
    row = orjson.loads(record)
    return orjson.dumps(
        {
            **row,
            "AwardLabel": f"{row['AwardLabel']} ({revision})",
            "DateUpdated": "2026-11-23T10:00:00",
        }
    )


def serve(file: Path, port: int) -> None:
    first = file.read_bytes().splitlines()
    second = [changed(record) if i % 100 == 0 else record for i, record in enumerate(first)]
    versions = {"first": first, "second": second}

    async def page(request: Request) -> Response:
        version = request.path_params["version"]
        if version not in versions:
            versions[version] = [changed(record, version) for record in first[::100]]
        records = versions[version]
        top, skip = int(request.query_params["$top"]), int(request.query_params["$skip"])
        body = b'{"results":[%s],"count":%d}' % (
            b",".join(records[skip : skip + top]),
            len(records),
        )
        return Response(body, media_type="application/json")

    app = Starlette(routes=[Route("/{version}/api/v2/UserAward", page)])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="critical", lifespan="off")


if __name__ == "__main__":
    serve(Path(sys.argv[1]), int(sys.argv[2]))
