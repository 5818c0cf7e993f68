"""One stand for each test: every law is put to every connector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .stands import STANDS, Stand, bamboo, canaille_server, scim_server, sshd

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
