"""Two companies whose people lose their awards, as reports and forecasts show them."""

from __future__ import annotations

from datetime import date

import pandas as pd

from reconciliation.frame import of
from reconciliation.history.forecast import Forecast, forecast
from reconciliation.job_roles import ASSIGNMENTS, AWARDS, REQUIREMENTS, TARGETS

DAY = date(2026, 3, 31)
NASTY = "<script>alert('x')</script> & Söhne $5"


def company() -> tuple[pd.DataFrame, ...]:
    """Ten people of two companies; each has the role, which requires two awards."""
    people = of(
        {"employee_id": "text", "company_name": "text", "forenames": "text", "surname": "text"},
        [(f"E{n}", "Acme" if n % 2 else NASTY, "Ann", f"Example{n}") for n in range(10)],
    )
    awards = of(
        {**AWARDS, "award_label": "text"},
        [
            (
                f"E{n}",
                award,
                "Completed",
                "achieved",
                date(2025, 4, 1),
                date(2026, 4, 10 + n) if award == "A1" else date(2027, 1, 1),
                f"Award {award}",
            )
            for n in range(10)
            for award in ("A1", "A2")
            if (n, award) != (9, "A2")
        ],
    )
    requirements = of(
        REQUIREMENTS, [("A1", "Award A1", "R1", "Driver"), ("A2", "Award A2", "R1", "Driver")]
    )
    assignments = of(
        ASSIGNMENTS, [(f"E{n}", f"u{n}", "R1", date(2025, 1, 1), None) for n in range(10)]
    )
    return (
        awards,
        requirements,
        assignments,
        of(TARGETS, []),
        people,
        of({"job_role_id": "text", "label": "text"}, [("R1", "Driver")]),
    )


AHEAD: Forecast = forecast(*company(), DAY)
