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
def retention(days: Annotated[int, Field(ge=1)] = 90) -> State[None]:
    """Prune plans, the details of ledger entries, closed quarantine entries and figures of runs.

    Args:
        days: what is older goes. The ledger keeps which row was changed when, why and by which run; not the values.
    """
    store = SyncStore(load().store_url)
    try:
        pruned = discreet(store.prune)(datetime.now(UTC) - timedelta(days=days))
    finally:
        store.close()
    return Completed(message="Pruned: " + ", ".join(f"{rows:,} {name}" for name, rows in pruned.items()) + ".")
