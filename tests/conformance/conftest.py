"""A stand for each test, so that every law is put to every connector; and what stands on it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .boxes import Box
from .people import People, somebody
from .stands import STANDS, Sshd, Stand, bamboo, canaille_server, scim_server, sshd

__all__ = ["bamboo", "canaille_server", "scim_server", "sshd", "stand"]
EVERY = [
    pytest.param((name, kind), id=f"{name}-{kind}")
    for name, kinds in STANDS.items()
    for kind in kinds
]


@pytest.fixture(params=EVERY)
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stand]:
    """A connector before a server without rows."""
    name, kind = request.param
    with STANDS[name][kind](request, tmp_path) as made:
        yield made
        made.close()


@pytest.fixture
def people(stand: Stand) -> People:
    return People(stand.open())


@pytest.fixture
def three(people: People) -> People:
    people.write(somebody("E1"), somebody("E2", surname="Beck"), somebody("E3", surname="Crag"))
    return people


@pytest.fixture
def between(stand: Stand) -> Any:
    if stand.between is None:
        pytest.skip("is not called by HTTP")
    return stand.between


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return tmp_path / "files"


@pytest.fixture(params=["folder", "sftp"])
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Box:
    """An inbox in a folder and one over SFTP."""
    if request.param == "folder":
        return Box(tmp_path, tmp_path / "files/from_hr", {})
    server: Sshd = request.getfixturevalue("sshd")
    name = f"box{time.time_ns()}"
    return Box(tmp_path, server.root / name / "inbox", {"folder": None, **server.settings(name)})
