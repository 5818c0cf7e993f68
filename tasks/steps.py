"""What every step has in common: no caching, no stored results, no data in Prefect's database."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

step: Callable[..., Any] = partial(task, cache_policy=NO_CACHE, persist_result=False, log_prints=False)
"""``@step(name=…)``: a task whose arguments and result stay in this process."""
