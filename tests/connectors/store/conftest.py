"""A store of each database for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from connectors.store.sql import SyncStore


@pytest.fixture
def store(store_url: str) -> Iterator[SyncStore]:
    opened = SyncStore(store_url)
    yield opened
    opened.close()
