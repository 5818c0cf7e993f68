"""SCIM 2.0 (RFC 7643, 7644) as an HR system: people in identity providers and HR systems. SCIM has
no training data."""

from __future__ import annotations

from pathlib import Path

from reconciliation.errors import Misconfigured
from reconciliation.ports import HrSystem

from ..connector import Connector
from .settings import ScimSettings, capabilities


def _open(settings: ScimSettings, home: Path) -> HrSystem:
    from .system import ScimHr

    if not settings.base_url or not settings.token:
        raise Misconfigured(
            "The SCIM server is not configured",
            "Set HRSYNC_SCIM__BASE_URL and HRSYNC_SCIM__TOKEN, or use a block.",
        )
    return ScimHr(settings)


CONNECTOR = Connector("SCIM 2.0", ScimSettings, _open, capabilities)
