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
    """Deletes old plans, closed quarantine entries, figures of runs, values of rows, and reports.

    Args:
        days: Number of days after which plans, closed quarantine entries and figures of runs are
            deleted.
        history_days: Number of days for which the earlier values of a row are kept after they were
            replaced (default: five years), at least `days`. Historical reconciliations need them.
        report_days: Number of days after which the files of historical reconciliations are
            deleted: reports, lists of people, and data of reconciliations that never finished.
    """
    settings, now = load(), datetime.now(UTC)
    store = SyncStore(settings.store_url)
    try:
        budget_seconds = settings.accessplanit.hour_seconds
        pruned = discreet(store.prune)(
            now - timedelta(days=days),
            now - timedelta(days=max(days, history_days)),
            budget_seconds,
        )
        reports, oldest = Folder(settings.history_folder), now - timedelta(days=report_days)
        pruned["reports"] = discreet(prune_reports)(reports, oldest)
    finally:
        store.close()
    return Completed(
        message="Pruned: " + ", ".join(f"{rows:,} {name}" for name, rows in pruned.items()) + "."
    )
