"""The search for known vulnerabilities, against a service that speaks OSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests import audit
from tests.served import Served, free_port

pytest.importorskip("pip_audit")
Advisories = dict[tuple[str, str], str | None]
"""(package, version) -> the version that mends it, if there is one."""
OLD: Advisories = {("jinja2", "3.1.2"): "3.1.3"}


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Advisories], None]]:
    served: list[Served] = []

    def start(known: Advisories) -> None:
        async def query(request: Request) -> JSONResponse:
            asked = await request.json()
            name, version = asked["package"]["name"], asked["version"]
            if (name, version) not in known:
                return JSONResponse({})
            events = [{"introduced": "0"}] + (
                [{"fixed": mended}] if (mended := known[name, version]) else []
            )
            affected = {
                "package": {"name": name, "ecosystem": "PyPI"},
                "ranges": [{"type": "ECOSYSTEM", "events": events}],
            }
            return JSONResponse(
                {
                    "vulns": [
                        {
                            "id": f"GHSA-{name}",
                            "aliases": [f"CVE-{name}"],
                            "summary": "x",
                            "affected": [affected],
                        }
                    ]
                }
            )

        served.append(Served(Starlette(routes=[Route("/v1/query", query, methods=["POST"])])))
        monkeypatch.setenv("OSV_URL", f"http://127.0.0.1:{served[0].port}/v1/query")

    yield start
    for one in served:
        one.stop()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    file = tmp_path / "requirements.lock"
    file.write_text(
        "".join(f"{name}==1.0 \\\n    --hash=sha256:{'0' * 64}\n" for name in ("leaky", "sound"))
    )
    return file


def test_a_vulnerability_that_a_newer_version_mends_fails(
    serve: Callable[[Advisories], None], lock: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    serve({**OLD, ("leaky", "1.0"): "1.1"})
    assert audit.main(lock) == 1
    assert "leaky 1.0 has CVE-leaky, which 1.1 mends" in capsys.readouterr().out


def test_a_vulnerability_that_nothing_mends_or_that_is_accepted_passes(
    serve: Callable[[Advisories], None],
    lock: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(audit, "ACCEPTED", {"GHSA-sound": "a test"})
    serve({**OLD, ("leaky", "1.0"): None, ("sound", "1.0"): "1.1"})
    assert audit.main(lock) == 0
    assert "none that a newer version mends, in 2 packages" in capsys.readouterr().out


def test_advisories_that_cannot_be_reached_or_know_nothing_are_told_in_one_line_and_pass(
    serve: Callable[[Advisories], None],
    lock: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    serve({("leaky", "1.0"): "1.1"})
    assert audit.main(lock) == 0
    monkeypatch.setenv("OSV_URL", f"http://127.0.0.1:{free_port()}/v1/query")
    assert audit.main(lock) == 0
    assert capsys.readouterr().out.splitlines() == [audit.UNREACHED] * 2
