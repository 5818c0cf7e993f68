"""What a system and accessplanit hold after a run."""

from __future__ import annotations

from typing import Any

import pandas as pd

from reconciliation.ports import HrSystem
from tests.sides import Side


def writes(side: Side) -> list[Any]:
    return [c for c in side.sandbox.changes_since(0) if "api" in str(c["event"])]


def rows(system: HrSystem, entity: str, columns: dict[str, str]) -> dict[str, dict[str, Any]]:
    holds = system.capabilities.entities[entity]
    found = system.read(entity, columns).frame.to_dict("records")
    return {
        str(row[holds.key]): {n: None if pd.isna(row[n]) else row[n] for n in columns}
        for row in found
    }
