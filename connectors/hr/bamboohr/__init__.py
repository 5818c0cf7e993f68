"""BambooHR as an HR system: people, job information and completed trainings, over its public REST
API (OpenAPI document of 2026-04-27)."""

from __future__ import annotations

from pathlib import Path

from reconciliation.errors import Misconfigured
from reconciliation.ports import HrSystem

from ...webhooks import Sender
from ..connector import Connector
from .settings import BamboohrSettings, capabilities


def _open(settings: BamboohrSettings, home: Path) -> HrSystem:
    from .system import BambooHr

    if not settings.base_url or not settings.api_key:
        raise Misconfigured(
            "BambooHR is not configured",
            "Set HRSYNC_BAMBOOHR__BASE_URL and HRSYNC_BAMBOOHR__API_KEY, or use a block.",
        )
    return BambooHr(settings)


def _webhook(settings: BamboohrSettings) -> Sender | None:
    from .webhook import BamboohrWebhooks

    return (
        BamboohrWebhooks(settings.webhook_key, settings.names()["employee_id"])
        if settings.webhook_key
        else None
    )


CONNECTOR = Connector("BambooHR", BamboohrSettings, _open, capabilities, _webhook)
