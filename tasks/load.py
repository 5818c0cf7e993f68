"""Carries out a plan."""

from __future__ import annotations

import pandas as pd

from reconciliation.plan import Plan
from reconciliation.ports import Target
from reconciliation.spec import ProcessSpec

from .steps import step


@step("load")
def load(target: Target, spec: ProcessSpec, plan: Plan) -> pd.DataFrame:
    """A receipt per change (``reconciliation.ports.RECEIPTS``). A refused row is a receipt; its neighbours load."""
    return target.apply(spec.entity, plan.changes)
