"""What the sync store keeps no longer than needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from prefect import State, flow
from prefect.states import Completed
from pydantic import Field

from connectors.settings import load
from connectors.store.sql import SyncStore
from tasks.steps import discreet


@flow(name="retention", flow_run_name="retention {days} days", persist_result=False)
def retention(days: Annotated[int, Field(ge=1)] = 90, history_days: Annotated[int, Field(ge=1)] = 1826) -> State[None]:
    """Prune plans, closed quarantine entries, figures of runs, and old versions of rows.

    Args:
        days: plans and figures that are older go. What plans say of rows is kept as versions, for questions about the past.
        history_days: versions that were replaced longer ago go; five years unless told otherwise.
    """
    store, now = SyncStore(load().store_url), datetime.now(UTC)
    try:
        pruned = discreet(store.prune)(now - timedelta(days=days), now - timedelta(days=max(days, history_days)))
    finally:
        store.close()
    return Completed(message="Pruned: " + ", ".join(f"{rows:,} {name}" for name, rows in pruned.items()) + ".")
