"""What the sync store keeps no longer than needed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from prefect import State, flow
from prefect.states import Completed
from pydantic import Field

from connectors.checkpoints import Folder
from connectors.report.page import prune_reports
from connectors.settings import load
from connectors.store.sql import SyncStore
from reconciliation.discreet import discreet


@flow(name="retention", flow_run_name="retention {days} days", persist_result=False)
def retention(
    days: Annotated[int, Field(ge=1)] = 90,
    history_days: Annotated[int, Field(ge=1)] = 1826,
    report_days: Annotated[int, Field(ge=1)] = 365,
) -> State[None]:
    """Prune plans, closed quarantine entries, figures of runs, old versions of rows, and reports.

    Args:
        days: plans and figures that are older go. What plans say of rows is kept as versions, for
            questions about the past.
        history_days: versions that were replaced longer ago go; five years unless told otherwise.
        report_days: reports of historical reconciliations that are older go, lists of people that
            were last written longer ago, and what was read for a reconciliation that was never
            finished.
    """
    settings, now = load(), datetime.now(UTC)
    store = SyncStore(settings.store_url)
    try:
        hour = settings.accessplanit.hour_seconds
        pruned = discreet(store.prune)(
            now - timedelta(days=days), now - timedelta(days=max(days, history_days)), hour
        )
        home, edge = Folder(settings.history_folder), now - timedelta(days=report_days)
        pruned["reports"] = discreet(prune_reports)(home, edge)
    finally:
        store.close()
    return Completed(
        message="Pruned: " + ", ".join(f"{rows:,} {name}" for name, rows in pruned.items()) + "."
    )
