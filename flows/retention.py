"""Deletes old data from the sync store and from the report folder."""

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
        days: Plans and figures are deleted after this number of days. The values of rows stay as
            versions, for questions about the past.
        history_days: Versions are deleted this number of days after they were replaced (default:
            five years).
        report_days: Reports of historical reconciliations, lists of people, and the saved reads of
            reconciliations that never finished are deleted after this number of days.
    """
    settings, now = load(), datetime.now(UTC)
    store = SyncStore(settings.store_url)
    try:
        hour = settings.accessplanit.hour_seconds
        pruned = discreet(store.prune)(
            now - timedelta(days=days), now - timedelta(days=max(days, history_days)), hour
        )
        reports, oldest = Folder(settings.history_folder), now - timedelta(days=report_days)
        pruned["reports"] = discreet(prune_reports)(reports, oldest)
    finally:
        store.close()
    return Completed(
        message="Pruned: " + ", ".join(f"{rows:,} {name}" for name, rows in pruned.items()) + "."
    )
