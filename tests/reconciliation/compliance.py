"""Whether somebody complies, by the awards of a frame."""

from __future__ import annotations

from datetime import date

import pandas as pd

from reconciliation.frame import empty, of
from reconciliation.job_roles import ASSIGNMENTS, AWARDS, REQUIREMENTS, TARGETS, compliance


def compliance_of(awards: pd.DataFrame, day: date) -> str:
    needed = of(REQUIREMENTS, [("first-aid", "First aid", "R1", "Fitter")])
    who = of(ASSIGNMENTS, [("E1", "u1", "R1", None, None)])
    return str(
        compliance(needed, who, awards[list(AWARDS)], empty(TARGETS), day, 90)["state"].iloc[0]
    )
